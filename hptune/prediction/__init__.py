"""What was trained, used: weights, new data and predictions; export to other runtimes."""
