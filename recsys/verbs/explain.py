"""Why an item stands in a list: which parts made its score, and what is near it.

The parts of a score add up to it, but mean little alone: a part that is high for every
item moves no list. So beside each stands the mean item's, the mean of the part over
items of the catalogue for the same user, and the difference from it, which is drawn.
"Near" are those of the items that the user has taken whose visual vectors have the
largest cosine with the item's.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from common.cli import verbs
from common.cli.app import Command
from common.data import image_files, transforms
from common.data.images import ImageError, decode
from common.data.table_files import open_table
from common.errors import UserError
from common.reports import figures
from common.reports.figures import COLOURS, INK, plain
from common.tables import inference, photo_cells
from common.training.workdirs import Say
from recsys.config import Config
from recsys.corpus.user_files import read_users
from recsys.ranking.ranker import no_items
from recsys.verbs import notes
from recsys.verbs.predict import Model

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EXPLAINED = 8  # users that are drawn where none are named: those who took most
LISTED = 5  # items of a list that are explained
NEAR = 3  # items that the user has taken, beside each
_SAMPLE = 512  # items of the catalogue that the parts are held against
_MOST_TAKEN = 2048  # items of a user that are looked at
_HEIGHT = 256  # of each of several photos of an item, pixels


def run(config: Config, command: Command) -> None:
    """Draws why items stand in lists, for the users of --input or some of training."""
    if config.model.is_rival:
        raise UserError(
            f"--model.name={config.model.name} knows who took what and nothing else:"
            " there is nothing to explain; predict works"
        )
    model = Model(command.workdir, config)
    if command.input is None:
        active = np.argsort(-model.trained.taken.counts, kind="stable")[:EXPLAINED]
        users = [str(user) for user in model.trained.user_ids[np.sort(active)]]
    else:
        named = read_users(command.input, config)
        for error in named.failed["error"]:
            command.say(error)
        users = [user for user in named.users if model.knows(user)]
        unknown = [user for user in named.users if not model.knows(user)]
        if unknown:
            command.say(f"not known from training: {', '.join(unknown[:5])}")
        if not users:
            raise UserError(f"{command.input}: no user that is known from training")
    notes.say_hidden(config, command.say)
    folder = verbs.drawing_folder(command)
    write(model, users, folder, command.images, command.say)
    command.show(f"{len(users)} users drawn: {folder}")


@dataclasses.dataclass(frozen=True, eq=False)
class Explained:
    """Why the items of one user's list are there.

    Attributes:
      user: id.
      items: int [K] of the catalogue, best first.
      scores: [K].
      parts: {part: [K]}, which add up to the scores.
      means: {part: its mean over items of the catalogue}, for this user.
      near: int [K, NEAR] of the catalogue, the nearest that the user has taken, -1 for
        none.
      cosines: [K, NEAR] with these.
    """

    user: str
    items: np.ndarray
    scores: np.ndarray
    parts: dict[str, np.ndarray]
    means: dict[str, float]
    near: np.ndarray
    cosines: np.ndarray

    @property
    def differences(self) -> dict[str, np.ndarray]:
        """{part: [K]} less that of the mean item."""
        return {name: part - self.means[name] for name, part in self.parts.items()}


def explain(model: Model, user: str) -> Explained:
    """Explains the best items for a user; for one of training only.

    Args:
      model: with its catalogue.
      user: id.
    """
    number = model.number_of(user)
    one = np.array([number])
    taken = model.taken_items(one, no_items(1)).items
    best = model.list_items(one, model.hidden_items(one, no_items(1)), LISTED)
    items = best.items[0][best.items[0] >= 0]
    parts = model.score_parts(number, items)
    rng = np.random.default_rng(0)
    count = model.catalogue.item_count
    others = rng.choice(count, min(_SAMPLE, count), replace=False)
    usual = model.score_parts(number, np.sort(others))
    near, cosines = _nearest(model, items, taken[:_MOST_TAKEN])
    return Explained(
        user,
        items,
        best.scores[0][: len(items)],
        parts,
        {name: float(values.mean()) for name, values in usual.items()},
        near,
        cosines,
    )


def _nearest(
    model: Model, items: np.ndarray, taken: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Nearest taken items [K, NEAR] by cosine of the visual vectors, and the cosines."""
    near = np.full((len(items), NEAR), -1)
    cosines = np.full((len(items), NEAR), np.nan)
    if not len(taken) or not len(items):
        return near, cosines
    listed, past = model.visual_vectors(items), model.visual_vectors(taken)
    similar = _unit(listed) @ _unit(past).T  # [K, n]
    some = min(NEAR, len(taken))
    order = np.argsort(-similar, axis=1, kind="stable")[:, :some]
    near[:, :some] = taken[order]
    cosines[:, :some] = np.take_along_axis(similar, order, axis=1)
    return near, cosines


def _unit(vectors: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(norms > 0, norms, 1)


def write(
    model: Model,
    users: Sequence[str],
    folder: pathlib.Path,
    images: pathlib.Path | None = None,
    say: Say = lambda text: None,
) -> None:
    """Writes parts.csv, and a figure for each user.

    A row of the table is an item of a list: user, rank, item, category, score; the parts
    that add up to it; "<part>, mean item" and "<part>, difference" of each; and the
    nearest items that the user has taken, by "|".

    Args:
      model: with its catalogue.
      users: of training.
      folder: made where absent.
      images: folder or archive with the photos of the items; None where there are none.
      say: prints what could not be shown.

    Raises:
      UserError: the photos can't be opened.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    with contextlib.ExitStack() as stack:
        photos = Photos(photo_names(model), images)
        stack.callback(photos.close)
        for number, user in enumerate(users):
            explained = explain(model, user)
            rows += _rows(model, explained)
            figure = draw(model, explained, photos)
            figures.save(figure, folder / f"user_{number:03d}.png")
        for name, reason in list(photos.unread.items())[:1]:
            count = len(photos.unread)
            say(f"{count:,} photos can't be shown, the first is {name!r}: {reason}")
    if rows:
        with open(folder / "parts.csv", "w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)


def _rows(model: Model, explained: Explained) -> list[dict[str, Any]]:
    ids = model.catalogue.item_ids
    return [
        {
            "user": explained.user,
            "rank": k + 1,
            "item": ids[item],
            "category": " > ".join(model.category_of(item)),
            "score": f"{explained.scores[k]:.8g}",
            **{name: f"{part[k]:.8g}" for name, part in explained.parts.items()},
            **{
                f"{name}, {what}": f"{value:.8g}"
                for name, mean in explained.means.items()
                for what, value in (
                    ("mean item", mean),
                    ("difference", explained.differences[name][k]),
                )
            },
            "near": "|".join(str(ids[n]) for n in explained.near[k] if n >= 0),
        }
        for k, item in enumerate(explained.items)
    ]


def photo_names(model: Model) -> np.ndarray | None:
    """Name of each item's photo [I], "" for none; None where no column has any."""
    columns = model.config.data
    if not columns.photo or not columns.items:
        return None
    frame = open_table(columns.items, [columns.item], [columns.photo]).frame
    by_item = frame.drop_duplicates(columns.item).set_index(columns.item)
    names = by_item[columns.photo].reindex(model.catalogue.item_ids)
    return names.fillna("").to_numpy(object)


class Photos:
    """Photos of the items, as far as there are any.

    Attributes:
      unread: {name: reason} of those that can't be shown.
    """

    def __init__(self, names: np.ndarray | None, images: pathlib.Path | None):
        """Opens the photos; their names are of `photo_names`."""
        self._cells = names
        self._store = None
        self.unread: dict[str, str] = {}
        if images is not None and self._cells is not None:
            self._separator = inference.photo_separator(pd.Series(self._cells))
            self._store = image_files.open_images(images)

    def find(self, item: int) -> np.ndarray | None:
        """All photos of an item side by side, uint8 [H, W, 3]; None where none can be
        shown.
        """
        if self._store is None or self._cells is None:
            return None
        found = []
        try:
            names = photo_cells.names(self._cells[item], self._separator)
        except ValueError as error:
            self.unread[self._cells[item]] = str(error)
            return None
        for name in names:
            try:
                found.append(decode(image_files.read_closest(self._store, name)[1]))
            except ImageError as error:
                self.unread[name] = str(error)
        if len(found) < 2:
            return found[0] if found else None
        sizes = [
            (_HEIGHT, max(round(_HEIGHT * p.shape[1] / p.shape[0]), 1)) for p in found
        ]
        scaled = [transforms.resize(p, s) for p, s in zip(found, sizes, strict=True)]
        return np.concatenate(scaled, axis=1)

    def close(self) -> None:
        """Lets go of open files."""
        if self._store is not None:
            self._store.close()


def draw(model: Model, explained: Explained, photos: Photos) -> Figure:
    """Draws one user's list: each item, the parts of its score, what is near it."""
    rows = max(len(explained.items), 1)
    figure = figures.new_figure(9.6, 0.7 + 1.5 * rows)
    figure.suptitle(plain(f"user {explained.user}"), fontsize=10, x=0.01, ha="left")
    grid = figure.add_gridspec(rows, 2 + NEAR, width_ratios=[1, 2.2, *[1] * NEAR])
    names = list(explained.parts)
    values = np.stack(list(explained.differences.values()))  # [parts, K]
    reach = 1.1 * float(np.abs(values).max(initial=1e-9))
    for k, item in enumerate(explained.items):
        _show(
            figure.add_subplot(grid[k, 0]),
            model,
            int(item),
            photos,
            f"{k + 1}. item {model.catalogue.item_ids[item]}",
        )
        axes = figures.style(figure.add_subplot(grid[k, 1]), grid="x")
        colours = [COLOURS[0] if v >= 0 else COLOURS[1] for v in values[:, k]]
        axes.barh(names, values[:, k], color=colours)
        axes.invert_yaxis()
        axes.set_xlim(-reach, reach)
        axes.axvline(0, color=INK, linewidth=0.8)
        axes.tick_params(labelsize=7, labelbottom=k == rows - 1)
        if k == 0:
            axes.set_title("score, beside the mean item", fontsize=9, color=INK)
        for n, near in enumerate(explained.near[k]):
            if near >= 0:
                title = f"has taken {model.catalogue.item_ids[near]}"
                axes = figure.add_subplot(grid[k, 2 + n])
                _show(axes, model, int(near), photos, title)
                axes.set_xlabel(f"cosine {explained.cosines[k, n]:.2f}", fontsize=7)
    return figure


def _show(axes: Any, model: Model, item: int, photos: Photos, title: str) -> None:
    """An item: its photo, or where there is none the words of its category."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(plain(title), fontsize=7, color=INK)
    photo = photos.find(item)
    if photo is not None:
        axes.imshow(photo)
        axes.spines[:].set_visible(False)
        return
    words = "\n".join(model.category_of(item))
    axes.text(0.5, 0.5, plain(words), ha="center", va="center", fontsize=7, wrap=True)
