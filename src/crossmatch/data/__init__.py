"""Data: scans on disk, the datasets made of them, and the batches training draws from them."""
