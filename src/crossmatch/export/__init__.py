"""Export: a run's network with its pre- and postprocessing, for use without crossmatch."""
