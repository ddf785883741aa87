"""The formats that hptune reads, one a file."""
