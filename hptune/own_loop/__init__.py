"""A training loop of the user's own in the place of hptune's: as a function, or as a command."""
