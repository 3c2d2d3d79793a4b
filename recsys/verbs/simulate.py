"""`--mode=simulate`: a table of interactions for a catalogue that has none."""

import numpy as np
import pandas as pd

from common.cli import verbs
from common.cli.app import Command
from recsys import data
from recsys.config import Config
from recsys.corpus.tree import CategoryTree
from recsys.generated import simulated_users
from recsys.generated.parameters import SimulationConfig


def run(config: Config, command: Command) -> None:
    """Writes interactions of made-up users with the items of --data.items."""
    output = verbs.table_output(command)
    columns = config.data
    items, features, _ = data.read_sound_catalogue(config)
    tree, leaf_of_item = CategoryTree.from_paths(
        items.categories, uneven=columns.uneven
    )
    users, taken, times = simulated_users.simulate(
        tree.ancestors[leaf_of_item],
        features.take(items.feature_rows),
        config.simulation,
    )
    table = pd.DataFrame(
        {
            columns.user: users,
            columns.item: items.ids.to_numpy()[taken],
            columns.time or "time": pd.to_datetime(times, unit="s", utc=True),
        }
    )
    verbs.write_table(table, output)
    for row in items.rejected:
        command.say(f"line {row.line}: {row.reason}")
    if missing := describe_idle(config.simulation, users, len(items.ids)):
        command.say(f"note: {missing}")
    command.show(
        f"{len(table):,} interactions of {len(np.unique(users)):,} users with"
        f" {len(items.ids):,} items ({len(items.rejected):,} rejected): {output}"
    )


def describe_idle(config: SimulationConfig, users: np.ndarray, item_count: int) -> str:
    """Why there are fewer users than asked for; "" where all have taken something.

    Args:
      config: of the users.
      users: int [n], of each interaction.
      item_count: items that could be taken.
    """
    missing = config.users - len(np.unique(users))
    if not missing:
        return ""
    return (
        f"{missing:,} of {config.users:,} users have taken nothing and are not in the"
        f" table: {item_count:,} items make {len(users):,} interactions, and"
        f" {config.idle:.0%} of the users do hardly anything; for more, raise"
        f" --simulation.takers={config.takers:g} or lower"
        f" --simulation.idle={config.idle:g}"
    )
