"""What is each ingredient of a recipe worth? Train without it, on the same seeds and images."""
