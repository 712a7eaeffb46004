"""Command line: the commands, and the demonstration."""
