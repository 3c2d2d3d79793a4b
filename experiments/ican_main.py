"""Price zones from photo and attributes; see `--help`."""

from common.cli.startup import use_huge_pages

if __name__ == "__main__":
    use_huge_pages()
    from ican.main import main

    main()
