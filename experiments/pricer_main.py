"""Price suggestions from photos, and a gate for good ones; see `--help`."""

from common.cli.startup import use_huge_pages

if __name__ == "__main__":
    use_huge_pages()
    from pricer.main import main

    main()
