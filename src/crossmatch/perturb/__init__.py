"""Perturbations of images and of features. Draw parameters with a passed generator, then apply a pure function."""
