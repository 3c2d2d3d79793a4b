"""A trained model as vectors whose inner products are its scores, for any index.

    export/items.npy, item_ids.json      float32 [I, E] and their ids, as one list
    export/users.npy, user_ids.json      float32 [U, E]
    export/items.faiss, items.usearch    indexes, where they are asked for
    export/recall.json                   what their lists share with the exact ones
    export/program.stablehlo, …          (leaf, features) -> vector of a new item; not
                                         of als and bpr, to which that is nothing

score(u, i) = users[u] . items[i], exactly. The columns that all items of a user share
are kept, so that scores are those of the model.

**Indexes.** Approximate search is built for distances. With M the length of the longest
item, [x, sqrt(M^2 - |x|^2)] all have length M, and the nearest to [u, 0] is the item
with the highest inner product; so the indexes hold these, and a query has a 0 at its
end. What they find is ranked by its exact score.

Source: Bachrach et al., "Speeding Up the Xbox Recommender System Using a Euclidean
Transformation for Inner-Product Spaces", RecSys 2014.
"""

import importlib
import json
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from common.cli import verbs
from common.cli.app import Command
from common.errors import UserError
from common.serving import export
from common.training import workdirs
from recsys.config import Config
from recsys.verbs import notes
from recsys.verbs.predict import Model

_LINKS = 32  # of an item in a graph
_EFFORT = 128  # candidates that a search in a graph keeps

# vectors [Q, E + 1], number of items -> ids int64 [Q, n]
Search = Callable[[np.ndarray, int], np.ndarray]


def write(
    model: Model, directory: pathlib.Path, kinds: Sequence[str], say: Any
) -> dict[str, float]:
    """Writes vectors, ids, the program for new items, and indexes with their recall.

    Args:
      model: with its catalogue.
      directory: made where absent.
      kinds: indexes to build.
      say: prints a line of progress.

    Returns:
      {"faiss/recall@20": …} of each index against the exact lists.

    Raises:
      UserError: a library is missing, or nothing can be written.
    """
    for kind in kinds:
        _load_library(kind)
    items, users = model.item_vectors(), model.user_vectors()
    directory.mkdir(parents=True, exist_ok=True)
    if not model.config.model.is_rival:  # to which a new item is nothing
        leaf = {" > ".join(path): c for c, path in enumerate(model.trained.tree.leaves)}
        _export_program(model, directory, {"leaves": leaf})
    for name, vectors, ids in (
        ("item", items, model.catalogue.item_ids),
        ("user", users, model.trained.user_ids),
    ):
        np.save(directory / f"{name}s.npy", vectors)
        text = json.dumps([str(one) for one in ids.tolist()])
        workdirs.write_atomically(directory / f"{name}_ids.json", text)
    values: dict[str, float] = {}
    for kind in kinds:
        say(f"building the {kind} index of {len(items):,} items ...")
        search = _BUILDERS[kind](lengthen(items), directory / f"items.{kind}")
        values |= {
            f"{kind}/recall@{length}": recall(model, items, users, search, length)
            for length in model.config.ranking.lengths
        }
    if kinds:
        workdirs.write_metrics(directory / "recall.json", values)
    return values


def lengthen(items: np.ndarray) -> np.ndarray:
    """Items [I, E] as [I, E + 1] of one length, see above."""
    squares = np.einsum("ie,ie->i", items, items, dtype=np.float64)
    rest = np.sqrt(np.maximum(squares.max() - squares, 0))
    return np.concatenate([items, rest[:, None].astype(np.float32)], axis=1)


def recall(
    model: Model,
    items: np.ndarray,
    users: np.ndarray,
    search: Search,
    length: int,
    count: int = 200,
) -> float:
    """Share of the exact lists that an index finds, over some users.

    Nothing is left out of the lists: what a user has taken is for the caller of an
    index to leave out.
    """
    rng = np.random.default_rng(0)
    some = np.sort(rng.permutation(len(users))[:count])
    exact = model.rank(users[some], length)
    queries = np.pad(users[some], ((0, 0), (0, 1)))
    approximate = search(queries, min(4 * length, len(items)))  # [Q, n]
    shares = []
    for row, query, candidates in zip(exact, users[some], approximate, strict=True):
        candidates = candidates[candidates >= 0]
        best = candidates[np.argsort(-(items[candidates] @ query), kind="stable")]
        listed = row[row >= 0]
        shares.append(np.isin(listed, best[:length]).mean())
    return float(np.mean(shares))


def _build_faiss(vectors: np.ndarray, path: pathlib.Path) -> Search:
    faiss = _load_library("faiss")
    index = faiss.IndexHNSWFlat(vectors.shape[1], _LINKS)
    index.hnsw.efConstruction = index.hnsw.efSearch = _EFFORT
    index.add(vectors)
    faiss.write_index(index, str(path))
    return lambda queries, count: index.search(queries, count)[1]


def _build_usearch(vectors: np.ndarray, path: pathlib.Path) -> Search:
    usearch = _load_library("usearch")
    index = usearch.Index(
        ndim=vectors.shape[1],
        metric="l2sq",
        connectivity=_LINKS,
        expansion_add=_EFFORT,
        expansion_search=_EFFORT,
    )
    index.add(np.arange(len(vectors)), vectors)
    index.save(str(path))

    def search(queries: np.ndarray, count: int) -> np.ndarray:
        return np.stack(
            [
                np.pad(keys, (0, count - len(keys)), constant_values=-1)
                for keys in (
                    index.search(q, count).keys.astype(np.int64) for q in queries
                )
            ]
        )

    return search


_BUILDERS = {"faiss": _build_faiss, "usearch": _build_usearch}
_MODULES = {"faiss": "faiss", "usearch": "usearch.index"}


def _load_library(kind: str) -> Any:
    try:
        return importlib.import_module(_MODULES[kind])
    except ImportError:
        raise UserError(
            f"--export.indexes={kind}: the library is not there; pip install"
            " 'resale-jax[indexes]'"
        ) from None


def _export_program(
    model: Model, directory: pathlib.Path, about: dict[str, Any]
) -> None:
    """The program (leaf, features) -> vector of an item that training has not seen."""
    network, scaling = model.network.clone(projection="gather"), model.trained.scaling
    needed = {
        name: np.asarray(value)
        for name, value in model.trained.params.items()
        if not name.startswith(("user_", "item_"))
    }
    weights = {**needed, "feature_mean": scaling.mean, "feature_scale": scaling.scale}

    def predict(weights: Any, arrays: dict[str, jax.Array]) -> dict[str, jax.Array]:
        params = {name: weights[name] for name in needed}
        params |= _no_rows(model.trained.params)
        features = arrays["features"]
        if scaling.kind == "standardise":
            features = (features - weights["feature_mean"][None]) * weights[
                "feature_scale"
            ][None]
        elif scaling.kind == "unit":
            norms = jnp.linalg.norm(features, axis=1, keepdims=True)
            features = features / jnp.where(norms > 0, norms, 1)
        leaves = arrays["leaf"]
        vectors: Any = network.apply(
            {"params": params},
            jnp.full_like(leaves, -1),
            leaves,
            features,
            method="item_vectors",
        )
        return {"vector": vectors}

    export.export_program(
        predict,
        weights,
        {
            "leaf": jax.ShapeDtypeStruct((), jnp.int32),
            "features": jax.ShapeDtypeStruct((scaling.width,), jnp.float32),
        },
        directory,
        help={
            "leaf": "number of the category, see leaves in metadata.json",
            "features": "of the item as they are stored, not scaled",
        },
        about=about,
    )


def _no_rows(params: Any) -> dict[str, jax.Array]:
    """Tables of users and items with one row of zeros: nothing is looked up there."""
    return {
        name: jnp.zeros((1, *value.shape[1:]))
        for name, value in params.items()
        if name.startswith(("user_", "item_"))
    }


def write_trained(config: Config, command: Command, directory: pathlib.Path) -> None:
    """Writes what the model in the workdir is exported to."""
    model = Model(command.workdir, config)
    values = write(model, directory, config.export.indexes, command.say)
    notes.list_left_out(
        model.notes, model.left_out, directory / "left_out_items.csv", command.say
    )
    for name, value in values.items():
        command.show(f"{name} against the exact lists: {value:.3f}")


run = verbs.export(write_trained)
