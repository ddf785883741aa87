"""Where batches come from: tensors in memory, or a data set read by workers."""
