"""Price suggestions from photos, and a gate for good ones; see `--help`."""

from pricer.main import main

if __name__ == "__main__":
    main()
