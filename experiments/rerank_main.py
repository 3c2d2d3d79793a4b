"""The order of a search result; see `--help`."""

from common.cli import startup

if __name__ == "__main__":
    startup.start()
    from rerank.main import main

    main()
