"""An own image backbone; see `--help`."""

from common.cli import startup

if __name__ == "__main__":
    startup.start()
    from common.backbone.main import main

    main()
