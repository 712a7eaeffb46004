"""Runs: a run's folder, its checkpoints and log, and the device it computes on."""
