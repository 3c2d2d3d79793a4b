"""Reads the tables of docs/own-data."""

import pathlib
import re

OWN_DATA = pathlib.Path(__file__).parents[2] / "docs" / "own-data"


def read_table(page: str, heading: str) -> list[list[str]]:
    """Cells of the first table under a heading, its header first."""
    text = (OWN_DATA / page).read_text(encoding="utf-8")
    found = re.search(
        r"(?:^\|.*\|\n)+", text.split(f"## {heading}\n", 1)[1], re.MULTILINE
    )
    assert found, f"{page}: no table under {heading!r}"
    lines = found[0].splitlines()
    cells = [[cell.strip() for cell in line[1:-1].split("|")] for line in lines]
    assert len({len(row) for row in cells}) == 1, f"{page}: rows of unlike length"
    return [cells[0], *cells[2:]]


def columns_of(system: str, mode: str, file: str) -> list[str]:
    """Columns that are always in a file, as the table tells: names in backticks."""
    (cell,) = [
        columns
        for systems, modes, files, columns in read_table("outputs.md", "All columns")
        if (systems, modes) == (system, mode) and f"`{file}`" in files
    ]
    return re.findall(r"`([^`]+)`", cell.split(";")[0])
