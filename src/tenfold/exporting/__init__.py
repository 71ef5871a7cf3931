"""A finished model as an ONNX file: written, checked against PyTorch, made smaller, run."""
