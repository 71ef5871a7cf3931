"""Rebalancing of classes of different size: one file a method, found by its name."""
