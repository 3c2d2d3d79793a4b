"""Recommendation where items are unique; see `--help`."""

from recsys.main import main

if __name__ == "__main__":
    main()
