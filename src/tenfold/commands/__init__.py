"""Commands that are more than one stage: each parses, calls and prints in a module of its own."""
