"""What verbs say of the users and items that they were given, before they make lists."""

import pathlib
from collections.abc import Sequence

import numpy as np
import pandas as pd

from common.data.table_files import open_table
from common.tables.cells import quoted
from common.tables.faults import Faults, Rejection, write_rejected
from common.training.workdirs import Say
from recsys.config import Config
from recsys.corpus import requests
from recsys.corpus.user_files import UserTable
from recsys.ranking import shown_items


def describe_catalogue(
    known_items: np.ndarray, number_of_known: np.ndarray
) -> list[str]:
    """A line on how a catalogue differs from that of training, or none.

    Args:
      known_items: int [I], the number of each item in training, -1 for new ones.
      number_of_known: the other way round.
    """
    new, gone = (int((numbers < 0).sum()) for numbers in (known_items, number_of_known))
    if not new and not gone:
        return []
    note = (
        f"note: the catalogue is not that of training: {new:,} of its"
        f" {len(known_items):,} items are new, and {gone:,} of the"
        f" {len(number_of_known):,} of training are not in it"
    )
    return [note]


def read_shown(
    path: str, column: str, item_ids: pd.Index, say: Say
) -> list[str] | None:
    """Reads the items that may be shown.

    Args:
      path: of --predict.items; "" where it is not given.
      column: of the items.
      item_ids: text [I] of the catalogue.
      say: prints which of them it has not, and that rows can't be read.

    Returns:
      Ids that the catalogue has; None without a table.

    Raises:
      UserError: the table can't be read, or the catalogue has none of its items.
    """
    if not path:
        return None
    table = open_table(path, [column])
    faults = Faults(table)
    faults.note_ids(column)
    asked = table.frame[column][faults.good].astype(str).tolist()
    numbers, unknown = shown_items.find_items(item_ids, asked)
    if unknown:
        say(f"note: {shown_items.describe_unknown(unknown, table.path)}")
    if rejected := faults.rejections():
        say(
            f"note: {len(rejected):,} rows of {table.path} can't be used, the first is"
            f" line {rejected[0].line}: {rejected[0].reason}"
        )
    return item_ids[numbers].tolist()


def say_hidden(config: Config, say: Say) -> None:
    """Says what a switch of evaluation does not do elsewhere."""
    if config.ranking.hide_training and not config.ranking.hide_validation:
        say(
            "note: --noranking.hide_validation is of evaluation on a split; these lists"
            " leave out all that a user has in the tables of training, whatever the"
            " split, or nothing with --noranking.hide_training"
        )


def say_unknown(
    asked: UserTable, user_ids: pd.Index, item_ids: pd.Index, say: Say
) -> None:
    """Says which users and items are not known, above all where most are.

    Args:
      asked: the table of `--mode=predict`.
      user_ids: text [U] of training.
      item_ids: text [I] of the catalogue.
      say: prints a line.
    """
    if unknown := [item for _, item in asked.pairs if item not in item_ids]:
        say(
            f"note: {len(unknown):,} interactions do not count, for their items are not"
            f" there to be recommended: {requests.some(unknown)}"
        )
    say_several(unknown, item_ids, say)
    of_users = [user for user in asked.users if user not in user_ids]
    of_items = list(dict.fromkeys(unknown))
    named = len({item for _, item in asked.pairs})
    for what, missing, total, known in (
        ("users", of_users, len(asked.users), user_ids),
        ("items", of_items, named, item_ids),
    ):
        if 2 * len(missing) > total:
            say(
                f"warning: {len(missing):,} of {total:,} {what} are unknown, such as"
                f" {requests.some(missing)}: are ids written as in training, such as"
                f" {requests.some(known[:3].tolist())}?"
            )


def say_several(unknown: Sequence[str], item_ids: pd.Index, say: Say) -> None:
    """Says that cells hold several items, `i1|i2|i3`, where any does."""
    found = [item for item in unknown if requests.holds_several(item, item_ids)]
    if found:
        say(
            f"hint: {len(found):,} cells seem to hold several items, such as"
            f" {quoted(found[0])}: give each item a row of its own, with its user"
        )


def list_left_out(
    differences: Sequence[str],
    left_out: Sequence[Rejection],
    path: pathlib.Path,
    say: Say,
) -> None:
    """Says how a catalogue differs, and accounts for what can't be recommended.

    Args:
      differences: lines on that, of `Model.notes`.
      left_out: rows of the table of items.
      path: where they are listed with their reasons.
      say: prints a line of progress.
    """
    for note in differences:
        say(note)
    if count := len(left_out):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_rejected(path, left_out)
        say(f"note: {count:,} rows of items are left out, each with its reason: {path}")
