"""Ablations: a recipe trained again and again, each time without one of its ingredients."""
