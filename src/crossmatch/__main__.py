"""`python -m crossmatch` is the command line."""

from crossmatch.cli import main

if __name__ == "__main__":
    main()
