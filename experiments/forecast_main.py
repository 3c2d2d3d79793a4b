"""Probabilistic forecasts of many series; see `--help`."""

from common.cli import startup

if __name__ == "__main__":
    startup.start()
    from forecast.main import main

    main()
