"""An own image backbone; see `--help`."""

from common.cli.startup import use_huge_pages

if __name__ == "__main__":
    use_huge_pages()
    from common.backbone.main import main

    main()
