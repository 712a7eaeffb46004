"""Phantoms: synthetic scans, and datasets of them."""
