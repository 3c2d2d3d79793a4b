"""Where users, items and interactions come from: the generated closet, or own files."""

import dataclasses
import json
import pathlib
from collections.abc import Iterator

import numpy as np

from common.data import prepared
from common.data.table_files import open_table
from common.errors import UserError
from common.tables.faults import Rejection, check_rejected, in_order
from common.tables.whole_numbers import whole_number_text
from common.training import activity
from common.training.workdirs import Say
from recsys.config import Config
from recsys.corpus import feature_files, interaction_files, item_files, splits
from recsys.corpus.attribute_features import AttributeEncoder
from recsys.corpus.corpus import Catalogue, Corpus
from recsys.corpus.feature_files import (
    ArrayFeatures,
    Features,
    Scaling,
    StoredFeatures,
)
from recsys.corpus.interaction_files import Assembled
from recsys.corpus.interactions import Interactions
from recsys.corpus.item_files import ItemTable
from recsys.corpus.tree import CategoryTree
from recsys.generated import closet

_BLOCK = 4096  # items whose features are generated at a time
_FEW = 10  # users; metrics over fewer are said to be by chance


@activity.doing("preparing the data")
def load(
    config: Config,
    say: Say = lambda text: None,
    rejected_file: pathlib.Path | None = None,
) -> Corpus:
    """Reads or generates all that a run needs, and splits it.

    Args:
      config: of the run.
      say: prints a line of progress.
      rejected_file: where rejected rows of own tables are listed; None for nowhere.

    Raises:
      UserError: whatever is wrong with the files or the split.
    """
    if config.data.interactions:
        return _load_tables(config, say, rejected_file)
    return _load_closet(config, say)


def _load_tables(
    config: Config, say: Say, rejected_file: pathlib.Path | None
) -> Corpus:
    options = config.data
    if not options.items:
        raise UserError("--data.interactions needs --data.items=TABLE beside it")
    items, features, encoder = read_catalogue(config, say=say)
    assembled = interaction_files.assemble(
        interaction_files.read_interactions(
            options.interactions,
            options.user,
            options.item,
            options.time,
            options.weight,
        ),
        items,
        options.uneven,
        max_rejected_fraction=options.max_rejected_fraction,
        rejected_file=rejected_file,
    )
    return make_corpus(config, assembled, features, encoder)


def read_catalogue(
    config: Config,
    encoder: AttributeEncoder | None = None,
    say: Say = lambda text: None,
) -> tuple[ItemTable, Features, AttributeEncoder | None]:
    """Reads a table of items and their features.

    Args:
      config: of the run.
      encoder: of attributes, fitted in training; None to fit it on this table.
      say: prints which values of attributes stay without a feature.

    Returns:
      (items with their rows of the features, features, encoder; None where the
      features come from a file).

    Raises:
      UserError: the files can't be read, or there is nothing to make features of.
    """
    options = config.data
    levels = options.category
    category = levels[0] if len(levels) == 1 else levels
    if options.features:
        stored = StoredFeatures(options.features)
        items = item_files.read_items(
            options.items,
            options.item,
            category,
            options.features_row,
            feature_count=stored.count,
        )
        return items, stored, None
    if not options.attributes and not options.numbers:
        if config.model.is_rival:
            items = item_files.read_items(options.items, options.item, category)
            return items, ArrayFeatures(np.zeros((len(items.ids), 1), np.float32)), None
        raise UserError(
            "the items have no features: give --data.features=FILE, or the columns of"
            " --data.attributes and --data.numbers; --model.name=item-knn, als and bpr"
            " need none"
        )
    table = open_table(options.items, options.attributes, options.numbers)
    items = item_files.read_items(table, options.item, category)
    # One row for each of the frame, which lacks rows of the file that can't be read.
    rows = np.searchsorted(table.line, items.line)
    if encoder is None:
        encoder = AttributeEncoder.fit(
            table,
            options.attributes,
            options.numbers,
            options.attribute_min_count,
            rows,
        )
        unused = encoder.describe_unused(
            table.frame.iloc[rows], options.attribute_min_count
        )
        if unused:
            say(unused)
    items = dataclasses.replace(items, feature_rows=rows)
    return items, ArrayFeatures(encoder.encode(table)), encoder


def read_sound_catalogue(
    config: Config, encoder: AttributeEncoder | None = None
) -> tuple[ItemTable, Features, AttributeEncoder | None]:
    """`read_catalogue`, of items that stand without interactions.

    Raises:
      UserError: as there, or too many rows are rejected.
    """
    items, features, encoder = read_catalogue(config, encoder)
    if config.data.uneven == "repeat":
        items = item_files.reject_collisions(items)
    check_rejected(items.rejected, len(items.ids), config.data.max_rejected_fraction)
    return items, features, encoder


def _load_closet(config: Config, say: Say) -> Corpus:
    users, items, times = closet.interactions(config.closet)
    counts = config.closet.counts()
    # Of all leaves, whether or not an item fell into them.
    tree, _ = CategoryTree.from_paths(closet.leaves(config.closet))
    leaf_of_item, _ = closet.paths(config.closet, np.arange(counts.items))
    assembled = Assembled(
        Interactions(users, items, times),
        user_ids=np.arange(counts.users),
        item_ids=np.arange(counts.items),
        tree=tree,
        leaf_of_item=leaf_of_item,
    )
    return make_corpus(config, assembled, closet_features(config, say))


def closet_features(config: Config, say: Say) -> Features:
    """Features of all items of the closet, from a folder that is filled once."""
    key = closet.fingerprint(config.closet)
    folder = pathlib.Path(config.data.cache) / key
    count, width = config.closet.counts().items, config.closet.feature_width

    def blocks() -> Iterator[np.ndarray]:
        for first in range(0, count, _BLOCK):
            ids = np.arange(first, min(first + _BLOCK, count))
            yield closet.features(config.closet, ids)

    def fill(partial: pathlib.Path) -> None:
        say(f"generating the features of {count:,} items in {folder} ...")
        feature_files.write_features(partial, blocks(), count, width, "float16")

    prepared.find_or_make(folder, fill)
    return StoredFeatures(folder)


def load_catalogue(
    config: Config,
    tree: CategoryTree,
    scaling: Scaling,
    encoder: AttributeEncoder | None,
) -> tuple[Catalogue, list[Rejection]]:
    """The items that a trained model is to recommend.

    Args:
      config: of the run; its tables of items may be others than in training.
      tree: of the categories in training.
      scaling: fitted there.
      encoder: of attributes, fitted there; None where features come from a file.

    Returns:
      (catalogue, rows of the table that are not in it: those that can't be used, and
      items of a category that training had no item of).

    Raises:
      UserError: the files can't be read, too many rows are rejected, the features have
        another width than in training, or no item is left.
    """
    if not config.data.interactions:
        count = config.closet.counts().items
        leaf_of_item, _ = closet.paths(config.closet, np.arange(count))
        generated = closet_features(config, lambda text: None)
        ids = np.arange(count)
        return Catalogue(ids, tree, leaf_of_item, generated, None, scaling), []
    items, features, encoder = read_sound_catalogue(config, encoder)
    if features.width != scaling.width:
        raise UserError(
            f"{config.data.items}: its features have {features.width} numbers, those of"
            f" training {scaling.width}"
        )
    levels = tree.levels
    leaves = {path: leaf for leaf, path in enumerate(tree.leaves)}
    # An earlier version may have kept the names as it found them.
    for path, leaf in list(leaves.items()):
        leaves.setdefault(tuple(map(whole_number_text, path)), leaf)
    leaf_of_item = np.array(
        [
            leaves.get(path + path[-1:] * (levels - len(path)), -1)
            for path in items.categories
        ]
    )
    kept = leaf_of_item >= 0
    ids = items.ids.to_numpy(object).astype(str)
    unknown = [
        Rejection(
            items.path,
            int(items.line[row]),
            "",
            f"training had no item of {item_files.join(items.categories[row])}",
        )
        for row in np.flatnonzero(~kept)
    ]
    if not kept.any():
        raise UserError(f"{config.data.items}: training had no item of any category")
    catalogue = Catalogue(
        ids[kept],
        tree,
        leaf_of_item[kept].astype(np.int32),
        features,
        items.feature_rows[kept],
        scaling,
        encoder,
    )
    return catalogue, in_order([*items.rejected, *unknown])


def make_corpus(
    config: Config,
    assembled: Assembled,
    features: Features,
    encoder: AttributeEncoder | None = None,
) -> Corpus:
    """Splits interactions and fits the scaling of the features on training items.

    Args:
      config: of the run.
      assembled: interactions, users and items, numbered.
      features: of the items.
      encoder: of attributes, where the features come from these.
    """
    data, feature_rows = config.data, assembled.feature_rows
    distinct, duplicates = assembled.interactions.deduplicate()
    parts = splits.split(
        distinct, data.split_kind, data.split_fractions, data.split_seed
    )
    trained = np.unique(parts["train"].items)
    rows = trained if feature_rows is None else feature_rows[trained]
    catalogue = Catalogue(
        assembled.item_ids,
        assembled.tree,
        assembled.leaf_of_item,
        features,
        feature_rows,
        feature_files.fit_normalisation(features, data.normalisation, rows),
        encoder,
    )
    rejected = len(assembled.rejected) - assembled.rejected_items
    return Corpus(
        catalogue,
        assembled.user_ids,
        parts,
        duplicates,
        rejected,
        assembled.rejected_items,
    )


def describe(config: Config, corpus: Corpus) -> list[str]:
    """What a run prints of its data, one line each: sizes, the split, and notes."""
    sizes = {name: len(part) for name, part in corpus.splits.items()}
    test = corpus.splits["test"]
    unseen = float(np.mean(~corpus.seen[test.items]))
    lost = (
        f" ({corpus.rejected_items:,} rows rejected)" if corpus.rejected_items else ""
    )
    size = (
        f"{corpus.user_count:,} users, {corpus.catalogue.item_count:,} items{lost} in"
        f" {corpus.catalogue.tree.leaf_count:,} categories,"
        f" {sum(sizes.values()):,} distinct interactions"
        f" ({corpus.duplicates:,} repeated, {corpus.rejected:,} rejected)"
    )
    shares = (
        f"split {config.data.split_kind}: {json.dumps(sizes)[1:-1]};"
        f" {unseen:.0%} of the test interactions are with items that training has not"
    )
    notes = [
        splits.describe_leakage(config.data.split_kind),
        *_find_limits(config, corpus),
    ]
    return [size, shares, *(f"note: {note}" for note in notes if note)]


def _find_limits(config: Config, corpus: Corpus) -> list[str]:
    """What so small a data set can't show."""
    found = []
    judged = len(np.unique(corpus.splits["test"].users))
    if corpus.user_count == 1:
        found.append(
            "all interactions are of one user: what others take, from which a"
            " recommender learns, is missing, and metrics are of this one list"
        )
    elif judged < _FEW:
        found.append(
            f"only {judged} of {corpus.user_count:,} users have a test item: metrics over"
            " so few may come out by chance"
        )
    if corpus.catalogue.tree.leaf_count == 1:
        same = "all items are of one category: it tells no item from another"
        if config.negatives.kind == "hierarchical":
            same += ", and hierarchical negatives are drawn as uniform ones"
        found.append(same)
    return found
