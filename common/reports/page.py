"""The report page: one HTML file that holds everything and works offline."""

from __future__ import annotations

import base64
import dataclasses
import html
import io
import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from common.config import configs
from common.reports import figures, result_tables
from common.training import workdirs

if TYPE_CHECKING:
    from matplotlib.figure import Figure


_THUMBNAIL = 224  # pixels of the longer side of a photo on a card
_NAME = 60  # letters of the longest name of a row that stays on one line


@dataclasses.dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str


@dataclasses.dataclass(frozen=True)
class Code:
    """Text to be shown as it is, such as a command."""

    text: str


@dataclasses.dataclass(frozen=True)
class Table:
    """Rows of results; see `result_tables.to_markdown`."""

    rows: Sequence[Mapping[str, Any]]
    columns: Sequence[str] | None = None
    caption: str = ""
    digits: int = 3


@dataclasses.dataclass(frozen=True)
class Picture:
    """A figure with a text for those who can't see it, and a caption."""

    figure: Figure
    alt: str
    caption: str = ""


@dataclasses.dataclass(frozen=True, eq=False)
class Card:
    """One row of a table of listings.

    Attributes:
      photo: uint8 [H, W, 3]; None where it has none.
      title: in bold.
      text: under it.
    """

    photo: np.ndarray | None
    title: str
    text: str


@dataclasses.dataclass(frozen=True)
class Cards:
    """Rows with their photos, side by side as wide as the page."""

    cards: Sequence[Card]


Block = Text | Code | Table | Picture | Cards


@dataclasses.dataclass(frozen=True)
class Section:
    """A heading and what stands under it."""

    title: str
    blocks: Sequence[Block]


_STYLE = """
:root { color-scheme: light dark; --ink: #1d2129; --soft: #5b6470; --line: #d9dde3;
  --page: #ffffff; --card: #f5f7f9; --link: #0067a3; --warn: #b45309; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e7eb; --soft: #a2abb6;
  --line: #3a414b; --page: #15181c; --card: #1e2329; --link: #6cb8ea;
  --warn: #f0a65a; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 2rem 1.25rem 4rem;
  background: var(--page); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .25rem; }
h2 { font-size: 1.2rem; margin: 2.5rem 0 .75rem; padding-top: .75rem;
  border-top: 1px solid var(--line); }
.lead, figcaption, caption { color: var(--soft); }
.lead { margin: 0 0 1.25rem; }
nav { font-size: .9rem; margin: 1rem 0 0; }
nav a { display: inline-block; margin-right: 1.1rem; }
a { color: var(--link); }
p { max-width: 46rem; overflow-wrap: break-word; }
.note { background: var(--card); border-left: 4px solid var(--warn);
  padding: .6rem .9rem; }
.wide { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: .92rem;
  font-variant-numeric: tabular-nums; }
caption { caption-side: bottom; text-align: left; font-size: .88rem;
  padding-top: .4rem; }
th, td { padding: .32rem 1.4rem .32rem 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line); }
th { font-weight: 600; border-bottom-width: 2px; }
th.n, td.n { text-align: right; white-space: nowrap; }
tbody tr:hover { background: var(--card); }
figure { margin: 1rem 0; overflow-x: auto; }
figure img { display: block; max-width: 100%; height: auto; background: #fff;
  border: 1px solid var(--line); border-radius: 6px; padding: .4rem; }
figcaption { font-size: .88rem; margin-top: .4rem; max-width: 46rem; }
.cards { display: grid; gap: .75rem; margin: 1rem 0;
  grid-template-columns: repeat(auto-fill, minmax(19rem, 1fr)); }
.card { background: var(--card); border-radius: 6px; display: flex; gap: .75rem;
  padding: .6rem; break-inside: avoid; }
.card img { border-radius: 4px; height: 7rem; object-fit: contain; width: 7rem;
  background: var(--page); flex: none; }
.card p { font-size: .85rem; line-height: 1.4; margin: 0; overflow-wrap: anywhere; }
.card strong { display: block; }
pre { background: var(--card); border: 1px solid var(--line); border-radius: 6px;
  padding: .7rem .9rem; overflow-x: auto; font-size: .85rem; line-height: 1.45; }
@media (max-width: 44rem) { figure img { max-width: 38rem; }
  td.name, th.name { white-space: nowrap; }
  td.text, th.text { min-width: 16rem; }
  th, td { padding-right: .9rem; } }
@media print { body { max-width: none; } h2 { break-after: avoid; }
  figure, tr { break-inside: avoid; } }
"""


def render_page(
    title: str,
    lead: str,
    summary: Table,
    sections: Sequence[Section],
    note: str = "",
) -> str:
    """Writes the page of a report.

    Args:
      title: heading of the page.
      lead: one sentence under it: what was run, on what data.
      summary: a short table on top, what a reader wants first.
      sections: the rest, in order.
      note: what nobody may miss, above the table; "" for nothing.

    Returns:
      HTML of one file; pictures are part of it, all text is escaped.
    """
    parts = [
        "<!doctype html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{_escape(title)}</title>",
        f"<style>{_STYLE}</style>",
        "</head>",
        "<body>",
        "<main>",
        f'<h1>{_escape(title)}</h1>\n<p class="lead">{_escape(lead)}</p>',
        f'<p class="note">{_escape(note)}</p>' if note else "",
        _table(summary),
    ]
    if len(sections) > 1:
        links = (
            f'<a href="#s{number}">{_escape(section.title)}</a>'
            for number, section in enumerate(sections, 1)
        )
        parts.append('<nav aria-label="Sections">' + " ".join(links) + "</nav>")
    for number, section in enumerate(sections, 1):
        parts.append(f'<section aria-labelledby="s{number}">')
        parts.append(f'<h2 id="s{number}">{_escape(section.title)}</h2>')
        parts += [_block(block) for block in section.blocks]
        parts.append("</section>")
    parts += ["</main>", "</body>", "</html>"]
    return "\n".join(part for part in parts if part) + "\n"


def write_page(
    path: pathlib.Path,
    title: str,
    lead: str,
    summary: Table,
    sections: Sequence[Section],
    config: Any = None,
    note: str = "",
) -> pathlib.Path:
    """Writes the page of a report, with the settings of the run as its last section.

    Args:
      path: of the page.
      title: as for `render_page`, like `lead`, `summary` and `sections`.
      lead: one sentence.
      summary: a short table.
      sections: the rest.
      config: of the run; None leaves its section out.
      note: as for `render_page`.

    Returns:
      The path.
    """
    if config is not None:
        settings = Code("\n".join(configs.flag_lines(config)))
        sections = [*sections, Section("Settings", [settings])]
    text = render_page(title, lead, summary, sections, note)
    workdirs.write_atomically(path, text)
    return path


def save_picture(figure: Figure, path: pathlib.Path, caption: str) -> Picture:
    """Writes a figure as PNG beside the page, and returns it for the page."""
    figures.save(figure, path)
    return Picture(figure, caption, caption)


def _escape(text: Any) -> str:
    return html.escape(str(text), quote=True)


def _block(block: Block) -> str:
    if isinstance(block, Table):
        return _table(block)
    if isinstance(block, Picture):
        return _picture(block)
    if isinstance(block, Cards):
        return "\n".join(['<div class="cards">', *map(_card, block.cards), "</div>"])
    if isinstance(block, Code):
        return f"<pre><code>{_escape(block.text)}</code></pre>"
    return f"<p>{_escape(block.text)}</p>"


def _table(table: Table) -> str:
    names = result_tables.columns_of(table.rows, table.columns)
    if not names:
        return ""
    right = result_tables.numeric_columns(table.rows, names)
    rows = [
        {n: result_tables.format_number(row.get(n), table.digits) for n in names}
        for row in table.rows
    ]
    kind = {name: ' class="n"' if name in right else "" for name in names}
    if (first := names[0]) not in right:
        # On a narrow screen the table scrolls and the names of its rows stay whole.
        longest = max((len(row[first]) for row in rows), default=0)
        kind[first] = f' class="{"name" if longest <= _NAME else "text"}"'
    head = "".join(
        f'<th scope="col"{kind[name]}>{_escape(name)}</th>' for name in names
    )
    lines = ['<div class="wide"><table>']
    if table.caption:
        lines.append(f"<caption>{_escape(table.caption)}</caption>")
    lines.append(f"<thead><tr>{head}</tr></thead><tbody>")
    for row in rows:
        cells = "".join(f"<td{kind[n]}>{_escape(row[n])}</td>" for n in names)
        lines.append(f"<tr>{cells}</tr>")
    lines.append("</tbody></table></div>")
    return "\n".join(lines)


def _picture(picture: Picture) -> str:
    data = base64.b64encode(figures.png(picture.figure)).decode("ascii")
    width = round(float(picture.figure.get_figwidth()) * 96)
    caption = (
        f"<figcaption>{_escape(picture.caption)}</figcaption>"
        if picture.caption
        else ""
    )
    return (
        f'<figure><img src="data:image/png;base64,{data}" width="{width}"'
        f' alt="{_escape(picture.alt)}">{caption}</figure>'
    )


def _card(card: Card) -> str:
    picture = ""
    if card.photo is not None:
        image = Image.fromarray(card.photo)
        image.thumbnail((_THUMBNAIL, _THUMBNAIL))
        stream = io.BytesIO()
        image.save(stream, "JPEG", quality=85)
        data = base64.b64encode(stream.getvalue()).decode("ascii")
        alt = _escape(f"photo of {card.title}")
        picture = f'<img src="data:image/jpeg;base64,{data}" alt="{alt}">'
    words = f"<p><strong>{_escape(card.title)}</strong>{_escape(card.text)}</p>"
    return f'<div class="card">{picture}{words}</div>'
