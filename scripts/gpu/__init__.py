"""A day at a GPU, prepared: its parts, what they need, and where their results go."""
