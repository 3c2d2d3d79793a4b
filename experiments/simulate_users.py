r"""Simulated users for a catalogue with photos, in the form that recsys reads.

    python -m experiments.backbone_main --mode=features --workdir=runs/backbone18 \
        --output=runs/fashion_items
    python -m experiments.simulate_users runs/fashion_items \
        --category=master_category,sub_category,article_type

reads items.parquet and features.npy in the folder and writes interactions.parquet there:
user, item (under the name of its column) and time. Items and what their photos show are
real, the users are not; see `recsys.simulated_users`.
"""

import argparse
import pathlib
import sys

import numpy as np
import pandas as pd

from common.backbone.features import FEATURES, TABLE
from common.errors import UserError
from recsys.simulated_users import SimulationConfig, simulate
from recsys.tree import CategoryTree

INTERACTIONS = "interactions.parquet"


def write(
    folder: pathlib.Path, item: str, levels: list[str], config: SimulationConfig
) -> str:
    """Reads a catalogue, writes its interactions.

    Args:
      folder: with items.parquet and features.npy.
      item: column that names an item.
      levels: columns of the three levels of its category, from the top.
      config: of the users.

    Returns:
      What was written, in one line.

    Raises:
      UserError: files or columns that are missing or do not fit.
    """
    try:
        items = pd.read_parquet(folder / TABLE)
        features = np.load(folder / FEATURES)
    except (OSError, ValueError) as error:
        raise UserError(f"{folder}: {error}") from error
    if missing := [name for name in (item, *levels) if name not in items]:
        raise UserError(f"{folder / TABLE}: no column {', '.join(missing)}")
    if len(levels) != 3:
        raise UserError(f"--category={','.join(levels)}: give three levels")
    if len(items) != len(features):
        raise UserError(f"{folder}: {len(items)} items, {len(features)} features")
    usable = items[levels].notna().all(axis=1).to_numpy()
    items, features = items[usable], features[usable]
    paths = [tuple(map(str, row)) for row in items[levels].itertuples(index=False)]
    tree, leaf_of_item = CategoryTree.from_paths(paths)
    users, taken, times = simulate(tree.ancestors[leaf_of_item], features, config)
    table = pd.DataFrame(
        {
            "user": users,
            item: items[item].to_numpy()[taken],
            "time": pd.to_datetime(times, unit="s", utc=True),
        }
    )
    table.to_parquet(folder / INTERACTIONS, index=False)
    return (
        f"{len(table):,} interactions of {len(np.unique(users)):,} users with"
        f" {len(items):,} items ({np.sum(~usable):,} without a category left out):"
        f" {folder / INTERACTIONS}"
    )


def main() -> None:
    """Reads the command line."""
    default = SimulationConfig()
    parser = argparse.ArgumentParser(prog=f"python -m {__spec__.name}")
    parser.add_argument("folder", type=pathlib.Path, help=f"with {TABLE}, {FEATURES}")
    parser.add_argument("--item", default="id", help="column that names an item")
    parser.add_argument("--category", required=True, help="three columns, top first")
    parser.add_argument("--users", type=int, default=default.users)
    parser.add_argument(
        "--takers", type=float, default=default.takers, help="of an item"
    )
    parser.add_argument(
        "--idle", type=float, default=default.idle, help="share of users"
    )
    parser.add_argument("--seed", type=int, default=default.seed)
    for switch in ("hierarchy", "looks"):
        help_text = f"without the effect: {switch}"
        parser.add_argument(f"--no{switch}", action="store_true", help=help_text)
    given = parser.parse_args()
    try:
        config = SimulationConfig(
            users=given.users,
            takers=given.takers,
            idle=given.idle,
            seed=given.seed,
            hierarchy=not given.nohierarchy,
            looks=not given.nolooks,
        )
        print(write(given.folder, given.item, given.category.split(","), config))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
