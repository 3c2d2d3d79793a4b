"""Price zones from photo and attributes; see `--help`."""

from common.cli import startup

if __name__ == "__main__":
    startup.start()
    from ican.main import main

    main()
