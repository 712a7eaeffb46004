"""Methods, numbers of labels and seeds compared: a benchmark is a folder of ordinary runs and of their results."""
