"""``python -m sharedbreaker``: the command line."""

from sharedbreaker.cli import main

if __name__ == "__main__":
    main()
