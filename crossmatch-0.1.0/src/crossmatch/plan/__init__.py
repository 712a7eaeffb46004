"""A recipe chosen from the data: facts of the training scans, rules about them, and a measurement on this machine."""
