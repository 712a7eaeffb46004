"""Formats: reading and writing the files that scans come in."""
