"""Recommendation where items are unique; see `--help`."""

from common.cli.startup import use_huge_pages

if __name__ == "__main__":
    use_huge_pages()
    from recsys.main import main

    main()
