"""One trial: the loop, the optimizer, the device, evaluation and snapshots."""
