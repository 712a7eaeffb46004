"""`python -m crossmatch` is the command line."""

from crossmatch.cli import main

main()
