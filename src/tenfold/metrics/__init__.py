"""Scores of predictions; NumPy alone."""
