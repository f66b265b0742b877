"""`python -m whimbrel.cli` is the same as `whimbrel`."""

from whimbrel.cli.main import main

if __name__ == "__main__":
    main()
