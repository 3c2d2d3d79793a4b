"""Figures of the README are those of the results, and nothing in it is a dead end."""

import pathlib
import re

ROOT = pathlib.Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SYSTEMS = ["ican", "pricer", "recsys", "rerank", "forecast"]
MOST_BYTES = 250_000  # of a picture


def test_figures_stand_in_the_results_under_their_system():
    results = ROOT / "docs" / "results"
    rows = re.findall(
        r"^\| \[(\w+)\]\(\w+/README\.md\):.* \| (.*) \| .* \|$", README, re.MULTILINE
    )
    assert [system for system, _ in rows] == SYSTEMS
    for system, told in rows:
        pages = sorted((results / system).glob("*.md"))
        known = "\n".join(page.read_text(encoding="utf-8") for page in pages)
        figures = re.findall(r"(?<!\d)\.\d+", told)
        assert len(figures) > 1
        assert set(figures) <= {*re.findall(r"(?<!\d)0?(\.\d+)", known)}, system


def test_folders_of_the_map_are_there():
    map_ = README.split("## Where things are\n\n```\n", 1)[1].split("```", 1)[0]
    assert len(map_.splitlines()) == 8
    named = re.findall(r"(?:^|(?<= ))[\w/-]+/(?= |$)", map_, re.MULTILINE)
    assert {f"{system}/" for system in SYSTEMS} <= set(named)
    assert all((ROOT / name).is_dir() or name == "flagfiles/" for name in named)


def test_pictures_are_small():
    pictures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", README)
    assert len(pictures) == 2
    assert all((ROOT / name).stat().st_size < MOST_BYTES for name in pictures)
