"""Commands that have a file of their own; `cli` registers them."""
