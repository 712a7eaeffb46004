"""What differs between operating systems: locks, requests to stop, cores and memory. Everything else asks here."""
