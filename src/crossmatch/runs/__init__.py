"""Runs: a run's folder, its checkpoints and scalars, and the device it computes on."""
