"""An own image backbone; see `--help`."""

from common.backbone.main import main

if __name__ == "__main__":
    main()
