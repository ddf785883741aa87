"""New data in the forms that a model may be given them, one a file."""
