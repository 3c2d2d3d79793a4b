"""Recommendation where items are unique; see `--help`."""

from common.cli import startup

if __name__ == "__main__":
    startup.start()
    from recsys.main import main

    main()
