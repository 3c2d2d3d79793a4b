import base64
import dataclasses
import html.parser
import io

from PIL import Image

from common.config.configs import knob
from common.reports import figures
from common.reports import page as report

VOID = {"meta", "img", "br"}


class Page(html.parser.HTMLParser):
    """Checks that every element is closed; keeps tags and text."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.text = [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.text.append(data.strip())


EVIL = "<script>alert('&\"')</script>"


def make_page():
    figure = figures.histogram([1, 2, 2], xlabel="x")
    return report.render_page(
        f"title {EVIL}",
        f"lead {EVIL}",
        report.Table([{"model": EVIL, "top3": 0.5}], caption=f"caption {EVIL}"),
        [
            report.Section(
                f"first {EVIL}",
                [
                    report.Picture(figure, f"alt {EVIL}", f"under {EVIL}"),
                    report.Text(f"text {EVIL}"),
                ],
            ),
            report.Section(
                "second",
                [
                    report.Code(f"  a\n  b {EVIL}"),
                    report.Table([{f"name {EVIL}": "x", "n": 12345, "none": None}]),
                    report.Table([]),
                ],
            ),
        ],
    )


def test_all_text_is_escaped_and_shown():
    text = make_page()
    page = Page(text)
    assert not any(tag == "script" for tag, _ in page.tags)
    shown = [piece for piece in page.text if piece]
    for start in ("title ", "lead ", "caption ", "first ", "under ", "text ", "name "):
        assert f"{start}{EVIL}" in shown
    assert EVIL in shown and "0.500" in shown and "12,345" in shown and "–" in shown
    (image,) = [attributes for tag, attributes in page.tags if tag == "img"]
    assert image["alt"] == f"alt {EVIL}"


def test_the_page_needs_nothing_from_outside():
    page = Page(make_page())
    for tag, attributes in page.tags:
        assert tag not in {"link", "iframe", "object"}
        for name in ("src", "href"):
            assert attributes.get(name, "#").startswith(("#", "data:image/png;base64,"))
    (image,) = [attributes for tag, attributes in page.tags if tag == "img"]
    data = base64.b64decode(image["src"].partition(",")[2])
    assert Image.open(io.BytesIO(data)).format == "PNG"


def test_a_note_stands_above_the_table_where_there_is_one():
    table = report.Table([{"n": 1}])
    page = report.render_page("t", "l", table, [], f"note {EVIL}")
    assert f"note {EVIL}" in Page(page).text
    assert page.index('<p class="note">') < page.index("<table>")
    assert 'class="note"' not in report.render_page("t", "l", table, [])


def test_headings_and_links_belong_together():
    page = Page(make_page())
    ids = [a["id"] for tag, a in page.tags if tag == "h2"]
    assert ids == ["s1", "s2"]
    assert [a["href"] for tag, a in page.tags if tag == "a"] == ["#s1", "#s2"]
    assert [a["aria-labelledby"] for tag, a in page.tags if tag == "section"] == ids
    # The short table stands before the first section.
    kinds = [tag for tag, _ in page.tags]
    assert kinds.index("table") < kinds.index("section")


def test_columns_of_numbers_stand_flush_right():
    rows = [{"model": "a", "top3": "0.5 ± 0.1"}, {"model": "b", "top3": 0.25}]
    text = report.render_page("t", "l", report.Table(rows), [])
    head = '<th scope="col" class="name">model</th><th scope="col" class="n">top3</th>'
    assert head in text
    assert '<td class="n">0.250</td>' in text
    assert "<nav" not in text


def test_names_of_rows_stay_whole_on_a_narrow_screen():
    """The first column, where it holds names; a longer text keeps some width."""
    name = "this model, items seen in training"
    rows = [{"row": name, "n": 1, "why": "a word"}, {"row": "x", "n": 2, "why": "y"}]
    text = report.render_page("t", "l", report.Table(rows), [])
    assert f'<td class="name">{name}</td><td class="n">1</td><td>a word</td>' in text
    long = [{"row": "word " * 20}, {"row": "x"}]
    text = report.render_page("t", "l", report.Table(long), [])
    assert '<td class="text">x</td>' in text and 'class="name"' not in text
    text = report.render_page("t", "l", report.Table([{"n": 1}]), [])
    assert '<td class="n">1</td>' in text
    empty = report.Table([], ["row"])  # a head alone
    assert "<td" not in report.render_page("t", "l", empty, [])
    narrow = text[text.index("@media (max-width: 44rem)") :]
    assert "td.name, th.name { white-space: nowrap; }" in narrow
    # What does not fit scrolls within the table, and no rule breaks words in it.
    assert ".wide { overflow-x: auto;" in text
    assert "word-break" not in text and "table-layout: fixed" not in text


@dataclasses.dataclass(frozen=True)
class Config:
    cells: int = knob(3, "cells")


def test_a_page_is_written_with_settings_and_the_pictures_beside_it(tmp_path):
    figure = figures.histogram([1, 2, 2], xlabel="x")
    picture = report.save_picture(figure, tmp_path / "figures" / "x.png", "counts of x")
    assert (picture.alt, picture.caption) == ("counts of x", "counts of x")
    with Image.open(tmp_path / "figures" / "x.png") as image:
        assert min(image.size) > 100
    path = report.write_page(
        tmp_path / "report.html",
        "title",
        "lead",
        report.Table([{"n": 1}]),
        [report.Section("Counts", [picture])],
        Config(cells=5),
    )
    parsed = Page(path.read_text(encoding="utf-8"))
    assert "--cells=5" in parsed.text
    assert parsed.text.index("Counts") < parsed.text.index("Settings")
    bare = report.write_page(
        tmp_path / "check.html", "title", "lead", report.Table([{"n": 1}]), []
    )
    assert "Settings" not in bare.read_text(encoding="utf-8")
