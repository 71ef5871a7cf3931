"""A training that makes the best of a stated time: which size of network, and for how long."""
