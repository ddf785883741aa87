"""Smith's procedure, a stage a file: LR range test, momentum, weight decay, batch size, final run."""
