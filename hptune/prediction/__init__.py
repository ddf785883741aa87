"""What was trained, used: weights, new data and predictions; export to other runtimes."""

# What a trained model is exported to, with the endings of the files.
FORMATS = {"torch": ".pt", "torchscript": ".ts", "onnx": ".onnx"}
