"""Augmentation policies: one file each, on batched tensors, seeded by sample."""
