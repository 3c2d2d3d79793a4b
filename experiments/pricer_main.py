"""Price suggestions from photos, and a gate for good ones; see `--help`."""

from common.cli import startup

if __name__ == "__main__":
    startup.start()
    from pricer.main import main

    main()
