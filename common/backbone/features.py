"""What a trained backbone sees in photos: a vector for each row of a table."""

import pathlib

import jax
import numpy as np

from common import pretrained
from common.backbone import extraction
from common.backbone.config import Config
from common.data import ingest
from common.errors import UserError
from common.parallel import processes
from common.parallel.execution import make_execution

FEATURES, TABLE = "features.npy", "items.parquet"
_CACHE = ".cache/photo_features"
_BLOCK = 65_536  # rows copied at a time


def write(
    config: Config, weights: str | pathlib.Path, output: pathlib.Path
) -> tuple[int, int]:
    """Writes the vectors of all rows that can be used, and the rows themselves.

    A vector is the last layer but one of the network, the mean over the centres of the
    row's first `photos.count` photos. What was cut off goes on where it stopped.

    Args:
      config: of the training, with `data` of the table to look at.
      weights: of the backbone: a file, or the name of installed ones.
      output: folder that gets features.npy, float16 [N, C], and items.parquet with the
        N rows and their columns, in the order of the table.

    Returns:
      (N, C).

    Raises:
      UserError: no weights, or a table or photos that can't be read.
    """
    if not config.data.path:
        raise UserError("--mode=features needs --data.path=TABLE")
    processes.start(config.parallel)
    execution = make_execution(config.parallel)
    variables = pretrained.backbone_of_name(weights, config.network, "backbone")
    listings = ingest.load(config.data)
    ingest.say_unused_photos(listings.frame, listings.schema, config.photos)
    if note := config.backbone.note_fit(config.photos.fit):
        ingest.print_line(note)
    store = extraction.extract_photos(
        _CACHE,
        config.network,
        variables,
        config.photos,
        config.precision,
        listings,
        batch_size=config.train.batch_size,
        execution=execution,
    )
    if jax.process_index() == 0:
        output.mkdir(parents=True, exist_ok=True)
        kept = np.lib.format.open_memmap(
            output / FEATURES, "w+", np.float16, store.shape
        )
        for first in range(0, len(store), _BLOCK):
            rows = np.arange(first, min(first + _BLOCK, len(store)))
            kept[rows] = store.rows(rows)
        kept.flush()
        table = listings.frame.drop(columns=["split", "line"], errors="ignore")
        table.to_parquet(output / TABLE, index=False)
    return store.shape[0], store.shape[1]
