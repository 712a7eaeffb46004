"""Benchmarks: methods compared over numbers of labels and seeds, each in ordinary runs; and the results as a table."""
