"""Export: a run's network with all that stands around it, for use without crossmatch."""
