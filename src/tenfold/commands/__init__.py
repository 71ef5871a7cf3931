"""Commands that are not stages: one file each; `cli.py` registers them."""
