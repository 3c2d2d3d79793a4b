import importlib.util
import pathlib
import re
import sys

import pytest
from PIL import Image

RESULTS = pathlib.Path("docs/results")
PAGES = sorted(RESULTS.rglob("*.md"))
FILES = sorted(RESULTS.glob("*/*_claims.csv"))


def load(path):
    """A script of docs, which is no package."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # dataclasses look for it there
    spec.loader.exec_module(module)
    return module


forest = load(pathlib.Path("docs/make_forest_plot.py").resolve())


@pytest.mark.parametrize("file", FILES, ids=str)
def test_claims_say_what_their_intervals_say(file):
    claims = forest.read_claims(file)
    assert claims
    for claim in claims:
        assert claim.text
        assert (claim.low is None) == (claim.high is None)
        if claim.low is None:
            continue
        assert claim.low <= claim.difference <= claim.high
        if claim.verdict == "lost":
            assert claim.high <= 0
        elif claim.verdict == "not held":
            assert claim.low <= 0 <= claim.high
        else:  # Of a claim not to be behind the interval may reach below 0.
            assert claim.low >= 0 or "is not" in claim.text


def test_the_counts_of_the_overview_are_those_of_the_claims():
    text = (RESULTS / "README.md").read_text()
    told = re.findall(r"\[(\d+) of (\d+)\]\((\S+_claims\.csv)\)(?:, (\d+) lost)?", text)
    assert sorted(RESULTS / name for _, _, name, _ in told) == FILES
    for held, count, name, lost in told:
        claims = forest.read_claims(RESULTS / name)
        counts = forest.count_verdicts(claims)
        assert (int(held), int(count)) == (counts["held"], len(claims)), name
        assert int(lost or 0) == counts["lost"], name


def test_every_figure_of_the_overview_stands_on_the_page_of_its_row():
    page, missing, checked = "", [], 0
    for line in (RESULTS / "README.md").read_text().splitlines():
        if not line.startswith("| ") or line.count("|") != 10:
            continue
        cells = line.strip("|").split("|")
        link = re.search(r"\]\(([^)#]+\.md)", cells[0])
        if link:  # else the row is of the same page as the one above
            page = (RESULTS / link[1]).read_text()
        for figure in re.findall(r"(?<![\d.])\d*\.\d+", " ".join(cells[3:6])):
            checked += 1
            if not re.search(rf"(?<![\d.]){re.escape(figure)}(?!\d)", page):
                missing.append((cells[0], figure))
    assert checked > 50
    assert not missing


def test_every_page_is_linked_from_the_overview():
    text = (RESULTS / "README.md").read_text()
    named = {(RESULTS / name) for name in re.findall(r"\]\(([^)#\s]+)", text)}
    assert {*PAGES, RESULTS / "claims.png"} - named == {RESULTS / "README.md"}


def anchor(heading):
    """The anchor that GitHub makes of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_links_resolve(page):
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text())
    assert links
    for link in links:
        path, _, fragment = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        if fragment:
            headings = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
            assert fragment in map(anchor, headings), link


def test_claims_are_read_as_reproduce_writes_them(tmp_path):
    file = tmp_path / "claims.csv"
    file.write_text(
        "claim,difference,95 % interval,here\n"
        "a beats b,+0.018,+0.012 to +0.024,held\n"
        "a beats c,-0.002,-0.008 to +0.005,not held\n"
        "a beats d,-0.031,-0.043 to -0.020,lost\n"
    )
    claims = forest.read_claims(file)
    assert [c.verdict for c in claims] == ["held", "not held", "lost"]
    assert (claims[1].low, claims[1].high) == (-0.008, 0.005)
    assert claims[0].shown == "+.018 (+.012 to +.024)"
    assert claims[0].metric == claims[0].data == ""


def test_the_farther_end_of_an_interval_is_one(tmp_path):
    file = tmp_path / "claims.csv"
    head = "claim,difference,low,high,verdict,metric,lower_is_better,data\n"
    file.write_text(f"{head}a,0.5,-0.5,2,not held,x,no,y\nb,-3,-4,-1,lost,x,yes,y\n")
    first, second = map(forest.scaled, forest.read_claims(file))
    assert first == (0.25, -0.25, 1.0)
    assert second == (-0.75, -1.0, -0.25)


def test_an_unknown_verdict_is_no_claim(tmp_path):
    file = tmp_path / "claims.csv"
    head = "claim,difference,low,high,verdict,metric,lower_is_better,data\n"
    file.write_text(f"{head}a,0.5,0.1,2,perhaps,x,no,y\n")
    with pytest.raises(ValueError, match="perhaps"):
        forest.read_claims(file)


def test_the_picture_is_small_and_as_tall_as_the_claims_are_many(tmp_path):
    drawn, committed = tmp_path / "claims.png", RESULTS / "claims.png"
    forest.make_forest_plot(drawn)
    assert committed.stat().st_size < 400_000
    with Image.open(drawn) as new, Image.open(committed) as old:
        assert new.size == old.size  # else: python docs/make_forest_plot.py
