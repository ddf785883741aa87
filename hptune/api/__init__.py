"""The Python API: a task from one's own model and data, and the shell's commands as functions."""
