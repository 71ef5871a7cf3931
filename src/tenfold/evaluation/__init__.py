"""What a trained model is worth: scores, intervals, audits, explanations."""
