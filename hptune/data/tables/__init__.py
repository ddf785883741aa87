"""Tables: how they are written, what their columns hold, what is of use, and how it becomes numbers."""
