"""Command line: the commands, what the terminal shows, and the demonstration."""
