"""Inference: from scans and a trained network to masks."""
