"""The audit of a data set: near-duplicates, leaks between the splits, labels that look wrong."""
