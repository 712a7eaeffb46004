"""Scoring: predictions against references."""
