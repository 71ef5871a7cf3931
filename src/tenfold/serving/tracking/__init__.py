"""A study written to where others keep their experiments: MLflow and TensorBoard."""
