"""Many trials: which ones, in what order, run by which executor."""
