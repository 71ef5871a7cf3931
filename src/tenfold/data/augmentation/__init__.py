"""Augmentation policies: one file a policy, found by its name."""
