"""Perturbations of images and of features. Parameters are drawn first; pure functions apply them."""
