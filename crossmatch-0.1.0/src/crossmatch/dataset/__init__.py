"""Datasets: the layout on disk, and the checks of what lies there."""
