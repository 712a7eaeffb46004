"""Phantoms: synthetic scans, and datasets of them, to try things on."""

from crossmatch.phantom.phantom import make_phantom

__all__ = ["make_phantom"]
