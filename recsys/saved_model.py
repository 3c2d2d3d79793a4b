"""A trained model on disk, and how it is read back.

workdir/model.json    tree and scaling of the features
workdir/corpus.npz    ids of users and items, what each user has taken, and what tells
                      whether features are still those of the same items
workdir/params.npz    parameters
"""

import dataclasses
import pathlib
from collections.abc import Mapping

import numpy as np
import pandas as pd

from common.errors import UserError
from common.tables.splits import SPLITS
from common.tables.whole_numbers import distinct_array_with_digits
from common.training import workdirs
from recsys import step
from recsys.config import Config
from recsys.corpus.attribute_features import AttributeEncoder
from recsys.corpus.corpus import Catalogue, Corpus
from recsys.corpus.feature_files import Scaling
from recsys.corpus.feature_sketch import FeatureSketch
from recsys.corpus.interactions import UserItems
from recsys.corpus.tree import CategoryTree
from recsys.models.projection import Form
from recsys.models.recommender import Recommender

FILE = "model.json"
ARRAYS = "corpus.npz"
PARAMS = "params.npz"
PHASE = "train"  # of the checkpoints
MOST_CHANGED = 0.1  # share of the items whose features may be others than in training


@dataclasses.dataclass(frozen=True, eq=False)
class SavedModel:
    """A trained model with everything around it.

    Attributes:
      config: of the run.
      params: {name: array}, on the host.
      tree: of the categories.
      scaling: of the features.
      encoder: of attributes, where the features come from these.
      user_ids: [U].
      item_ids: [I] of the training catalogue.
      taken: items of each user in all splits.
      sketch: of the features of training; None where an earlier version has kept none.
    """

    config: Config
    params: Mapping[str, np.ndarray]
    tree: CategoryTree
    scaling: Scaling
    encoder: AttributeEncoder | None
    user_ids: np.ndarray
    item_ids: np.ndarray
    taken: UserItems
    sketch: FeatureSketch | None = None

    def network(self, form: Form) -> Recommender:
        """The module of the score, with a form of its products."""
        return step.make_model(
            self.config,
            self.tree,
            len(self.user_ids),
            len(self.item_ids),
            self.scaling.width,
            self.scaling.power,
            form,
        )

    def is_of(self, corpus: Corpus) -> bool:
        """Whether a corpus, however split, is the one that the model was trained on."""
        taken = corpus.of_users(*SPLITS)
        pairs = [
            (self.user_ids, corpus.user_ids),
            (self.item_ids, corpus.catalogue.item_ids),
            (self.taken.starts, taken.starts),
            (self.taken.items, taken.items),
        ]
        same_tree = self.tree.to_json() == corpus.catalogue.tree.to_json()
        return same_tree and all(np.array_equal(*pair) for pair in pairs)

    def check_features(self, catalogue: Catalogue) -> list[str]:
        """Refuses features of other rows under the ids of training.

        Args:
          catalogue: that is to be recommended or evaluated.

        Returns:
          A line of what differs, or none; with `allow_other_features` nothing is refused.

        Raises:
          UserError: of more than a tenth of the items that are compared the features
            are others, or features have another width.
        """
        if catalogue.features.width != self.scaling.width:
            raise UserError(
                f"the features have {catalogue.features.width} numbers, those of training"
                f" {self.scaling.width}"
            )
        if self.sketch is None:
            return []
        numbers = pd.Index(catalogue.item_ids).get_indexer(pd.Index(self.item_ids))
        changed, compared = self.sketch.count_changed(catalogue, numbers)
        if not changed:
            return []
        found = (
            f"{changed:,} of {compared:,} items have other features than in training"
        )
        if changed <= MOST_CHANGED * compared or self.config.allow_other_features:
            return [f"note: {found}"]
        raise UserError(
            f"{found}, under the same ids: the features seem to be those of other rows;"
            " give the ones that belong to --data.items, or say --allow_other_features"
        )


def save(
    workdir: pathlib.Path, corpus: Corpus, params: Mapping[str, np.ndarray]
) -> None:
    """Writes all that stands beside the checkpoints.

    Those hold parameters too, but rows that rest may not be up to date there.

    Args:
      workdir: of the run.
      corpus: it was trained on.
      params: {name: array}, on the host.
    """
    catalogue, taken = corpus.catalogue, corpus.of_users(*SPLITS)
    sketch = FeatureSketch.of(catalogue)
    with open(workdir / PARAMS, "wb") as file:
        np.savez(file, **params)  # type: ignore[arg-type]
    with open(workdir / ARRAYS, "wb") as file:
        np.savez(
            file,
            user_ids=corpus.user_ids,
            item_ids=catalogue.item_ids,
            starts=taken.starts,
            items=taken.items,
            sketch_items=sketch.items,
            sketch_sums=sketch.sums,
        )
    contents = {
        "tree": catalogue.tree.to_json(),
        "scaling": catalogue.scaling.to_json(),
        "encoder": catalogue.encoder.to_json() if catalogue.encoder else None,
    }
    workdirs.write_signed(workdir / FILE, contents)


def load(workdir: pathlib.Path, config: Config) -> SavedModel:
    """Reads a trained model.

    Args:
      workdir: of a finished training run.
      config: of that run.

    Raises:
      UserError: where the folder holds no trained model, a damaged one, or one of
        another version.
    """
    path = workdir / FILE
    with workdirs.reading(path):
        contents = workdirs.read_signed(path)
        tree = CategoryTree.from_json(contents["tree"])
        scaling = Scaling.from_json(contents["scaling"])
        encoder = contents["encoder"] and AttributeEncoder.from_json(
            contents["encoder"]
        )
        arrays = workdirs.read_arrays(workdir / ARRAYS)
        users, items = (
            distinct_array_with_digits(arrays[name])
            for name in ("user_ids", "item_ids")
        )
        taken = UserItems(arrays["starts"], arrays["items"])
        sketch = None
        if "sketch_items" in arrays:
            sketch = FeatureSketch(arrays["sketch_items"], arrays["sketch_sums"])
        params = workdirs.read_arrays(workdir / PARAMS)
    fitted = (tree, scaling, encoder)
    saved = SavedModel(config, params, *fitted, users, items, taken, sketch)
    shapes = {name: array.shape for name, array in params.items()}
    if config.model.has_vectors and shapes != saved.network("gather").shapes:
        raise UserError(
            f"{workdir / PARAMS} does not hold the parameters of this model: it is"
            " damaged, or an earlier version wrote it; train again"
        )
    return saved
