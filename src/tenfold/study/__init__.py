"""A study: a data set, a recipe and a run folder."""
