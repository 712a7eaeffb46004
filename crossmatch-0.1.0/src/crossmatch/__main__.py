"""`python -m crossmatch` is the command line."""

from crossmatch.cli.app import main

if __name__ == "__main__":
    main()
