"""Training: the loop, its step, and the ranks that take it together."""
