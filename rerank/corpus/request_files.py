"""Logs of one's own: what was shown, a row a (request, item)."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd

from common.errors import UserError
from common.tables import splits
from common.tables.cells import parse_column, parse_time, quoted
from common.tables.faults import Faults
from common.tables.whole_numbers import whole_number_text
from common.text.encoder import TextEncoder
from rerank.config import Config, DataConfig
from rerank.corpus.corpus import Scaling
from rerank.corpus.item_files import note, read_column, read_columns, texts
from rerank.corpus.items import NONE, WordTable
from rerank.corpus.requests import Requests


def read_requests(
    faults: Faults,
    config: Config,
    item_ids: np.ndarray,
    features: np.ndarray | None = None,
    *,
    labels: bool = True,
) -> Requests:
    """Reads lists, their labels and what is known of the requests.

    Rejected are rows without an id of a request, of an item that is not in the store or
    stands in the list already; whose click is not 0 or 1, whose purchase is below 0 or
    empty, whose propensity is not in (0, 1], whose place or pin is none; that do not
    agree with the first row of their request in what all rows of it say; and all rows
    of a list that is too long. The others of a list close up.

    Args:
      faults: of the table, which has the columns of ids, features and context.
      config: says what the columns are; others are read where they are there.
      item_ids: [N] of the store.
      features: [rows, G] in place of the columns of features.
      labels: False for requests to predict: labels are not read.

    Returns:
      Requests in the order of their first rows; their numbers are float64, NaN where
      missing, and not yet standardised, and there are no words. Items of a history that
      the store does not have are left out.

    Raises:
      UserError: neither clicks nor purchases; pins that no order can keep.
    """
    options, frame = config.data, faults.table.frame
    faults.note_ids(options.request)
    faults.note_ids(options.item)
    cells = frame[options.item]
    store = pd.Index(item_ids.astype(object))
    numbers = store.get_indexer(cells.to_numpy(object))
    unknown = np.flatnonzero(numbers < 0)
    reasons = [f"unknown item {quoted(str(text))}" for text in cells.iloc[unknown]]
    faults.note(options.item, unknown, reasons)
    of_rows = _read_rows(faults, config, labels)
    if features is None:
        features = read_columns(faults, options.features)
    of_rows |= {"items": numbers.astype(np.int32), "pair_features": features}
    of_requests = _read_shared(faults, options)
    codes, _ = frame[options.request].factorize()
    order = np.lexsort((of_rows.pop("places"), codes))
    _note_lists(faults, options, codes, numbers, order)
    order = order[faults.good[order]]
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1, append=len(frame)))
    first = order[starts[:-1]]
    history, history_starts = _read_history(frame, options, first, store)
    columns: dict[str, Any] = {name: values[order] for name, values in of_rows.items()}
    columns |= {name: values[first] for name, values in of_requests.items()}
    requests = Requests(
        ids=frame[options.request].iloc[first].to_numpy(object).astype(str),
        starts=starts,
        history=history,
        history_starts=history_starts,
        **columns,
    )
    requests.check_pins()
    return requests


def encode_requests(
    requests: Requests, scaling: Scaling, encoder: TextEncoder | None
) -> Requests:
    """Standardises numbers, and turns queries into words."""
    words = None
    if encoder is not None and requests.queries is not None:
        encoded = encoder.encode(requests.queries.tolist())
        words = WordTable(encoded["ids"], encoded["weights"], encoder)
    return dataclasses.replace(
        requests,
        pair_features=scaling.apply("pair_features", requests.pair_features),
        context=scaling.apply("context", requests.context),
        words=words,
    )


def split_requests(requests: Requests, options: DataConfig) -> dict[str, np.ndarray]:
    """The rows of each split: by a hash of the query or the id, or along time.

    Raises:
      UserError: a split stays empty, a time is missing, or the shares are wrong.
    """
    splits.check_fractions(options.split_fractions)
    if options.split == "time":
        times = requests.times
        if times is None or np.isnan(times).any():
            raise UserError(
                f"--data.split=time: some requests have no {quoted(options.time)}: fill"
                " it in, name its column as --data.time, or split by request"
            )
        # That of the first request of its moment.
        shares = np.searchsorted(np.sort(times), times) / len(times)
    else:
        # Numbers count, as in "2x4" and "2x6"; case and blanks do not.
        names = [
            f"query {query}" if query else name
            for query, name in zip(requests.folded_queries, requests.ids, strict=True)
        ]
        shares = splits.hash_shares(np.array(names), options.split_seed)
    sides = splits.cut(shares, options.split_fractions)
    rows = {name: np.flatnonzero(sides == name) for name in splits.SPLITS}
    for name, chosen in rows.items():
        if not len(chosen):
            raise UserError(
                f"the {name} split of {len(requests)} requests is empty (those of one"
                " query stay together): give more requests, another --data.split_seed or"
                " other --data.split_fractions"
            )
    return rows


def _read_rows(faults: Faults, config: Config, labels: bool) -> dict[str, np.ndarray]:
    """What each row says for itself [N]."""
    options, frame = config.data, faults.table.frame
    read = {"places": np.arange(len(frame), dtype=np.float64)}
    if options.position in frame:
        read["places"] = _required(faults, options.position, "a place")
    pinned = config.search.pinned
    if pinned:
        pins = read_column(faults, pinned)
        wrong = (pins < 1) | (pins % 1 > 0)
        note(faults, pinned, wrong, "no place: give whole numbers from 1")
        read["pins"] = np.where(pins >= 1, pins - 1, NONE).astype(np.int32)
    if not labels:
        unknown = np.full(len(frame), np.nan, np.float32)
        return {**read, "clicks": unknown, "purchases": unknown}
    if options.click not in frame and options.purchase not in frame:
        raise UserError(
            f"{faults.table.path}: neither a column {quoted(options.click)} nor"
            f" {quoted(options.purchase)}: name one as --data.click or --data.purchase"
        )
    bought = np.zeros(len(frame))
    if options.purchase in frame:
        bought = _required(faults, options.purchase, "a purchase")
        note(faults, options.purchase, bought < 0, "a purchase below 0")
    clicked = (bought > 0).astype(np.float64)
    if options.click in frame:
        clicked = _flags(faults, options.click)
    largest = bought[faults.good].max(initial=1.0)
    read["purchases"] = (bought / largest).astype(np.float32)
    read["clicks"] = clicked.astype(np.float32)
    if options.propensity in frame:
        shares = _required(faults, options.propensity, "a propensity")
        wrong = (shares <= 0) | (shares > 1)
        note(faults, options.propensity, wrong, "a propensity that is not in (0, 1]")
        read["propensities"] = shares.astype(np.float32)
    return read


def _read_shared(faults: Faults, options: DataConfig) -> dict[str, np.ndarray]:
    """What all rows of a request say [N], of each row; those that differ are faulty."""
    frame = faults.table.frame
    read = {"context": read_columns(faults, options.context)}
    read["randomised"] = np.zeros(len(frame), bool)
    if options.randomised in frame:
        read["randomised"] = _flags(faults, options.randomised) > 0
    if options.query in frame:
        read["queries"] = texts(frame[options.query])
    if options.time in frame:
        times, wrong = parse_column(frame[options.time], parse_time)
        faults.note(options.time, list(wrong), wrong.values())
        read["times"] = times
    others = (options.randomised, options.query, options.time, options.history)
    good = np.flatnonzero(faults.good)
    codes, _ = frame[options.request].iloc[good].factorize()
    first = good[np.unique(codes, return_index=True)[1]][codes]  # of the same request
    for column in (*options.context, *others):
        if column in frame:
            cells = frame[column].fillna("").to_numpy(object)
            differs = good[cells[good] != cells[first]]
            faults.note(column, differs, "differs from the first row of its request")
    return read


def _note_lists(
    faults: Faults,
    options: DataConfig,
    codes: np.ndarray,
    numbers: np.ndarray,
    order: np.ndarray,
) -> None:
    """Notes items that stand twice in a list, and lists that are too long."""
    rows = order[faults.good[order]]
    pairs = pd.Series(codes[rows] * (numbers.max(initial=0) + 1) + numbers[rows])
    twice = rows[pairs.duplicated().to_numpy(bool)]
    faults.note(options.item, twice, "the item stands in the list already")
    lengths = np.bincount(codes[faults.good], minlength=codes.max(initial=0) + 1)
    long = (lengths[codes] > options.max_length) & (codes >= 0)
    reason = f"a list of more than {options.max_length} items: see --data.max_length"
    note(faults, options.request, long, reason)


def _read_history(
    frame: pd.DataFrame, options: DataConfig, rows: np.ndarray, store: pd.Index
) -> tuple[np.ndarray, np.ndarray]:
    """The histories of requests with these first rows, and their starts."""
    cells = [""] * len(rows)
    if options.history in frame:
        cells = texts(frame[options.history].iloc[rows]).tolist()
    parts = [cell.split("|") if cell else [] for cell in cells]
    names = [whole_number_text(name.strip()) for part in parts for name in part]
    known = store.get_indexer(np.array(names, object))
    owners = np.repeat(np.arange(len(rows)), [len(part) for part in parts])
    owners, known = owners[known >= 0], known[known >= 0]
    ends = np.cumsum(np.bincount(owners, minlength=len(rows)))
    newest = ends[owners] - np.arange(len(owners)) <= options.max_history
    counts = np.bincount(owners[newest], minlength=len(rows))
    return known[newest].astype(np.int32), np.concatenate([[0], np.cumsum(counts)])


def _required(faults: Faults, column: str, what: str) -> np.ndarray:
    values = read_column(faults, column)
    note(faults, column, np.isnan(values), f"an empty cell where {what} must stand")
    return values


def _flags(faults: Faults, column: str) -> np.ndarray:
    values = _required(faults, column, "0 or 1")
    note(faults, column, (values != 0) & (values != 1), "neither 0 nor 1")
    return values
