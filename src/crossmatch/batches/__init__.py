"""Batches: from the cases of a dataset to the views that a training step takes."""
