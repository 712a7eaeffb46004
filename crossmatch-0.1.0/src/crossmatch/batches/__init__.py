"""Batches: from the voxels of a dataset to the views that a training step takes."""
