"""Where requests and items come from: the generated serp, or own files."""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from common.data.table_files import open_table
from common.errors import UserError
from common.tables.faults import Faults, Rejection, check_rejected, write_rejected
from common.tables.table import Table
from common.text.encoder import TextEncoder
from common.training import activity
from common.training.workdirs import Say
from rerank.config import Config, DataConfig
from rerank.corpus import libsvm
from rerank.corpus.corpus import Corpus, Scaling
from rerank.corpus.item_files import encode_items, read_items
from rerank.corpus.items import Items
from rerank.corpus.request_files import encode_requests, read_requests, split_requests
from rerank.corpus.requests import Requests
from rerank.generated import products, serp

REJECTED = "rejected.csv"  # in a working directory
# Columns that are used where they are there; those that the user names must be there.
_OF_ITEMS = ("title", "category", "price", "photo")
_OF_REQUESTS = ("query", "position", "time", "history")
_OF_LABELS = ("click", "purchase", "propensity", "randomised")


@activity.doing("preparing the data")
def load(
    config: Config,
    say: Say = lambda text: None,
    rejected_file: pathlib.Path | None = None,
) -> Corpus:
    """Reads or generates all that a run needs, and splits it.

    Rejected rows of own tables are listed in a file where one is named.

    Raises:
      UserError: whatever is wrong with the files or the split.
    """
    if (store := photo_store(config)) is not None and not store.exists():
        raise UserError(f"{store}: there are no photos there")
    if config.data.requests:
        corpus = _load_tables(config, say, rejected_file)
    else:
        corpus = serp.make_corpus(config.serp)
    _check_cap(config, corpus.items)
    return corpus


def photo_store(config: Config) -> pathlib.Path | None:
    """Where the items' photos lie; None for nowhere."""
    if not config.data.requests and config.serp.products:
        return pathlib.Path(config.serp.products) / products.PHOTOS
    return pathlib.Path(config.data.images) if config.data.images else None


def _load_tables(
    config: Config, say: Say, rejected_file: pathlib.Path | None
) -> Corpus:
    options, features = config.data, None
    path = pathlib.Path(options.requests)
    if libsvm.is_libsvm(path):
        table, features = libsvm.read_lines(path, options)
    else:
        joined = (*_OF_REQUESTS, *_OF_LABELS, *(() if options.items else _OF_ITEMS))
        table = _open(path, options, joined)
    faults = of_items = Faults(table)
    if options.items:
        of_items = Faults(_open(pathlib.Path(options.items), options, _OF_ITEMS))
    elif options.text_vectors or options.image_vectors:
        raise UserError("vectors need --data.items=TABLE, which has a row for each")
    store = read_items(of_items, options, unique=of_items is not faults)
    requests = read_requests(faults, config, store.ids, features)
    parts = [(faults, len(requests.items))]
    if of_items is not faults:
        parts.insert(0, (of_items, len(store)))
    rejected = [fault for each, _ in parts for fault in each.rejections()]
    if rejected_file is not None:
        write_rejected(rejected_file, rejected)
    for each, accepted in parts:
        limit = options.max_rejected_fraction
        check_rejected(each.rejections(), accepted, limit, rejected_file)
    _check_target(config, table, requests)
    if alone := int((requests.lengths == 1).sum()):
        say(
            f"note: {alone:,} requests have one candidate, which leaves no order to find"
        )
    rows = split_requests(requests, options)
    train = requests.select(rows["train"])
    seen = np.unique(train.items)
    scaling = Scaling.fit(
        {
            "fields": store.fields[seen],
            "pair_features": train.pair_features,
            "context": train.context,
        }
    )
    encoder = _fit_encoder(store, seen, train)
    encoded = encode_requests(requests, scaling, encoder)
    splits = {name: encoded.select(of_split) for name, of_split in rows.items()}
    items = encode_items(store, scaling, encoder)
    pair_names = options.features
    if features is not None:
        pair_names = tuple(str(n + 1) for n in range(features.shape[1]))
    return Corpus(
        items, splits, scaling, pair_names, options.context, encoder, len(rejected)
    )


def load_items(config: Config, scaling: Scaling, encoder: TextEncoder | None) -> Items:
    """The items that requests may name, with what was fitted in training.

    Raises:
      UserError: the table of items is missing or can't be read.
    """
    options = config.data
    if options.requests:
        table: Any = pathlib.Path(options.items or options.requests)
        if libsvm.is_libsvm(table):
            table, _ = libsvm.read_lines(table, options)
        faults = Faults(_open(table, options, _OF_ITEMS))
        store = read_items(faults, options, unique=bool(options.items))
        items = encode_items(store, scaling, encoder)
    else:
        items = serp.make_corpus(config.serp).items
    _check_cap(config, items)
    return items


def read_unlabelled(
    config: Config, corpus: Corpus, table: Table | pathlib.Path
) -> tuple[Requests, list[Rejection]]:
    """Reads requests that are to be answered, of items of a corpus.

    Args:
      config: of the run; says what the columns are.
      corpus: whose scaling and words are used; its splits are not looked at.
      table: as in training, without labels; queries may be missing, as may histories.

    Returns:
      (requests, rows that are not among them).

    Raises:
      UserError: the table can't be read as a whole, or lacks a column.
    """
    options = dataclasses.replace(
        config.data, features=corpus.pair_names, context=corpus.context_names
    )
    config = dataclasses.replace(config, data=options)
    faults = Faults(_open(table, options, _OF_REQUESTS))
    requests = read_requests(faults, config, corpus.items.ids, labels=False)
    if requests.queries is None:
        none = np.array([""] * len(requests), str)
        requests = dataclasses.replace(requests, queries=none)
    encoded = encode_requests(requests, corpus.scaling, corpus.encoder)
    return encoded, faults.rejections()


def _open(
    path: pathlib.Path | Table, options: DataConfig, roles: Sequence[str]
) -> Table:
    """A table with what these roles need, ids and categories as names."""
    plain, names = DataConfig(), [options.item]
    columns = [(getattr(options, r), getattr(plain, r)) for r in roles]
    others = [column for column, usual in columns if column != usual]
    if _OF_REQUESTS[0] in roles:
        names.append(options.request)
        others += [*options.features, *options.context]
    if _OF_ITEMS[0] in roles:
        others += options.fields
    table = open_table(path, names, others)
    digits = [n for n in (options.category, *options.labels) if n in table.frame]
    return open_table(table, digits)


def _check_cap(config: Config, items: Items) -> None:
    cap = config.search.cap_label
    if cap and cap not in items.labels:
        raise UserError(
            f"--search.cap_label={cap}: the items have no such label; there are"
            f" {', '.join(items.labels) or 'none'}"
        )


def _check_target(config: Config, table: Table, requests: Requests) -> None:
    if config.loss.target == "purchase" and not requests.purchases.any():
        raise UserError(
            f"{table.path}: no row has a purchase: name their column as --data.purchase,"
            " or train on clicks by --loss.target=click"
        )


def _fit_encoder(store: Items, seen: np.ndarray, train: Requests) -> TextEncoder | None:
    """Of the titles of the items in training, and its queries; None without any."""
    texts = [] if train.queries is None else np.unique(train.queries).tolist()
    if store.titles is not None and "text" not in store.vectors:
        texts = [*store.titles[seen], *texts]
    return TextEncoder.fit(texts) if any(texts) else None


def describe(config: Config, corpus: Corpus) -> list[str]:
    """What a run prints of its data, one line each."""
    del config  # all systems have it
    parts, items = corpus.splits, corpus.items
    sizes = ", ".join(f"{name} {len(part):,}" for name, part in parts.items())
    clicks, bought = (
        np.concatenate([getattr(part, name) for part in parts.values()])
        for name in ("clicks", "purchases")
    )
    length = len(clicks) / sum(map(len, parts.values()))
    seen = np.isin(parts["test"].items, parts["train"].items).mean()
    shares = [f"{name} of {bits.mean():.0%}" for name, bits in items.present.items()]
    counts = (
        f"requests: {sizes} ({corpus.rejected:,} rows rejected); {length:.1f} candidates"
        f" each, at most {corpus.sizes.length}; {clicks.mean():.1%} clicks,"
        f" {bought.mean():.1%} purchases"
    )
    known = (
        f"{len(items):,} items, with {' and '.join(shares) or 'no text and no image'};"
        f" {seen:.0%} of the candidates in test stood in lists of training"
    )
    return [counts, known]
