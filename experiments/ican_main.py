"""Price zones from photo and attributes; see `--help`."""

from ican.main import main

if __name__ == "__main__":
    main()
