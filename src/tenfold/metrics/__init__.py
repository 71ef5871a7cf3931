"""Scores of predictions and how sure they are; NumPy, SciPy and scikit-learn."""
