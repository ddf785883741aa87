"""The experiment: a YAML file, checked, and turned into a task."""
