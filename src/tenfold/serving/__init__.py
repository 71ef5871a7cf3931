"""A finished model behind HTTP: a page for people, an API for programs."""
