"""What `benchmarks.recsys` compares; see there."""

import contextlib
import dataclasses
import io
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from benchmarks.timing import Comparison
from common.config import configs
from common.parallel.execution import make_execution
from common.parallel.processes import ParallelConfig
from recsys.batches import Batches
from recsys.config import Config
from recsys.corpus.corpus import Catalogue, Corpus
from recsys.corpus.feature_files import ArrayFeatures, Scaling
from recsys.corpus.interactions import Interactions, UserItems
from recsys.corpus.tree import CategoryTree
from recsys.models.projection import project
from recsys.ranking.item_index import ItemIndex
from recsys.ranking.top_k import top_k
from recsys.step import Learner, model_for

LEAVES = 1233
_HALF = 64  # dimensions of factors, and of the visual part


@dataclasses.dataclass(frozen=True)
class Size:
    """Of the workload."""

    users: int = 1_000
    items: int = 50_000
    interactions: int = 100_000
    width: int = 2_048
    leaves: int = LEAVES
    many_items: int = 1_000_000


_QUICK = Size(20, 300, 400, 16, 12, 2_000)


def make_corpus(size: Size) -> Corpus:
    """Random interactions, 95 % of them for training, and positive features."""
    rng = np.random.default_rng(0)
    drawn = Interactions(
        rng.integers(size.users, size=size.interactions, dtype=np.int32),
        rng.integers(size.items, size=size.interactions, dtype=np.int32),
    )
    distinct, _ = drawn.deduplicate()
    train = np.zeros(len(distinct), bool)
    train[rng.permutation(len(distinct))[: int(0.95 * len(distinct))]] = True
    parts = {"train": distinct.take(train), "validation": distinct.take(~train)}
    features = np.abs(rng.standard_normal((size.items, size.width), np.float32))
    scaling = Scaling(
        "none",
        np.zeros(size.width, np.float32),
        np.ones(size.width, np.float32),
        float(size.width),
    )
    catalogue = Catalogue(
        np.arange(size.items),
        make_tree(size.leaves),
        rng.integers(size.leaves, size=size.items).astype(np.int32),
        ArrayFeatures(features),
        None,
        scaling,
    )
    return Corpus(catalogue, np.arange(size.users), parts)


def make_tree(leaves: int) -> CategoryTree:
    """Two levels, nine leaves under a node."""
    paths = [(f"{leaf // 9:04d}", f"{leaf:04d}") for leaf in range(leaves)]
    return CategoryTree.from_paths(paths)[0]


def compare_epochs(quick: bool) -> Iterator[Comparison]:
    """One epoch of VBPR."""
    size = _QUICK if quick else Size()
    corpus = make_corpus(size)
    ours = ("ours, Adam", train_epoch(corpus))
    work = f"VBPR, {len(corpus.splits['train']):,} interactions"
    for name, make, bar in (
        ("cornac, Adam", _cornac_epoch, 0.2),
        ("vbpr-pytorch, SGD", _torch_epoch, 1.0),
    ):
        yield Comparison(work, ours, _side(name, make, corpus), bar)


def train_epoch(corpus: Corpus) -> Callable[[], Any]:
    """An epoch of the program here: draws, reads, steps."""
    config = configs.replace(
        Config(),
        {
            "model.name": "vbpr",
            "negatives.kind": "uniform",
            "negatives.count": 1,
            "optimizer.weight_decay": 0.0,
            "row_optimizer": "lazy",
            "train.batch_size": 256,
        },
    )
    model = model_for(config, corpus, "tiles")
    learner = Learner(config, model)
    batches = Batches(config, corpus, model)
    execution = make_execution(ParallelConfig(devices=1))
    step = execution.compile_step(learner.step)
    key = jax.random.key(0)
    count = len(corpus.splits["train"]) // config.train.batch_size
    state = execution.init(learner.init, None)

    def call() -> None:
        nonlocal state
        made = batches.iterate(0)
        for batch in itertools.islice(made, count):
            state, _ = step(state, {**batch.rows, **batch.shared}, key)
        made.close()  # type: ignore[attr-defined]
        jax.block_until_ready(state)

    return call


def _cornac_epoch(corpus: Corpus) -> Callable[[], Any]:
    from cornac.data import Dataset, ImageModality
    from cornac.models import VBPR

    train = corpus.splits["train"]
    triples = zip(train.users.tolist(), train.items.tolist(), itertools.repeat(1.0))
    data = Dataset.from_uir(list(triples), seed=0)
    items = np.array(list(data.iid_map))
    features = corpus.catalogue.take_features(items)
    data.add_modalities(
        item_image=ImageModality(features=features, ids=items.tolist(), normalized=True)
    )
    data.item_image.build(id_map=data.iid_map)

    def call() -> None:
        model = VBPR(
            k=_HALF, k2=_HALF, n_epochs=1, batch_size=256, verbose=False, seed=0
        )
        with contextlib.redirect_stdout(io.StringIO()):  # it says that it has ended
            model.fit(data)

    return call


def _torch_epoch(corpus: Corpus) -> Callable[[], Any]:
    import torch
    from vbpr import VBPR

    torch.set_num_threads(1)
    train, count = corpus.splits["train"], corpus.catalogue.item_count
    features = torch.tensor(corpus.catalogue.take_features(np.arange(count)))
    model = VBPR(corpus.user_count, count, features, _HALF, _HALF)
    rule = torch.optim.SGD(model.parameters(), lr=0.01)
    rng = np.random.default_rng(0)
    order = rng.permutation(len(train))
    columns = [
        train.users[order],
        train.items[order],
        rng.integers(count, size=len(order)),
    ]
    triples = [torch.tensor(column.astype(np.int64)) for column in columns]

    def call() -> None:
        for batch in zip(*(part.split(256) for part in triples), strict=True):
            rule.zero_grad()
            loss = -torch.nn.functional.logsigmoid(model(*batch)).sum()
            loss.backward()
            rule.step()

    return call


def compare_rankings(quick: bool) -> Iterator[Comparison]:
    """All items for all users, what they have taken left out."""
    size = _QUICK if quick else Size()
    corpus = make_corpus(size)
    rng = np.random.default_rng(1)
    users = rng.standard_normal((size.users, 2 * _HALF + 1)).astype(np.float32)
    items = rng.standard_normal((size.items, 2 * _HALF + 1)).astype(np.float32)
    leaf = corpus.catalogue.leaf_of_item
    index = ItemIndex.build(items, leaf, np.zeros((size.leaves, 0), np.float32))
    train = corpus.train
    work = f"20 best of {size.items:,} for {size.users:,} users"
    ours = ("ours, taken items left out", lambda: top_k(index, users, 20, train))
    yield Comparison(
        work, ours, _side("PyTorch, all items", _torch_ranking, users, items), 2.0
    )
    yield Comparison(
        work, ours, _side("implicit", _implicit_ranking, users, items, train)
    )


def _torch_ranking(users: np.ndarray, items: np.ndarray) -> Callable[[], Any]:
    import torch

    torch.set_num_threads(1)
    parts, all_items = torch.tensor(users).split(100), torch.tensor(items)

    def call() -> None:
        for part in parts:
            torch.topk(part @ all_items.T, min(20, len(all_items)))

    return call


def _implicit_ranking(
    users: np.ndarray, items: np.ndarray, train: UserItems
) -> Callable[[], Any]:
    from implicit.cpu.matrix_factorization_base import MatrixFactorizationBase
    from scipy import sparse

    class Factors(MatrixFactorizationBase):
        def fit(self, *_: Any) -> None:
            """Nothing is learnt: factors are given."""

        def save(self, *_: Any) -> None:
            """Nothing is kept."""

    model = Factors(num_threads=1)
    model.user_factors, model.item_factors = users, items
    ones = np.ones(len(train.items), np.float32)
    shape = len(users), len(items)
    matrix = sparse.csr_matrix((ones, train.items, train.starts), shape=shape)
    everyone = np.arange(len(users))
    return lambda: model.recommend(everyone, matrix, N=20)


def compare_leaves(quick: bool) -> Iterator[Comparison]:
    """A large catalogue: 33 columns of an item, and 129 of its leaf."""
    size = _QUICK if quick else Size()
    learner, shared = 33, 129
    rng = np.random.default_rng(2)
    leaf = np.sort(rng.integers(size.leaves, size=size.many_items)).astype(np.int32)
    items = rng.standard_normal((size.many_items, learner)).astype(np.float32)
    leaves = rng.standard_normal((size.leaves, shared)).astype(np.float32)
    users = rng.standard_normal((100, learner + shared)).astype(np.float32)
    index = ItemIndex.build(items, leaf, leaves)
    whole = jnp.asarray(np.concatenate([items, leaves[leaf]], axis=1))
    search = jax.jit(lambda users, items: lax.top_k(users @ items.T, 20))
    yield Comparison(
        f"20 best of {size.many_items:,} for 100 users",
        ("by leaf", lambda: top_k(index, users, 20)),
        ("lax.top_k", lambda: jax.block_until_ready(search(users, whole))),
        0.5,
    )


def compare_projections(quick: bool) -> Iterator[Comparison]:
    """A gradient step of the leaves' matrices, on those that the batch needs."""
    size = _QUICK if quick else Size()
    rows, depth = (64, 4) if quick else (1024, 32)
    rng = np.random.default_rng(3)
    shares = 1 / np.arange(1, size.leaves + 1)
    places = rng.choice(size.leaves, rows, p=shares / shares.sum())
    needed, places = np.unique(places, return_inverse=True)
    shape = (size.leaves, depth, size.width)
    matrices = rng.standard_normal(shape, np.float32)[needed]
    features = rng.standard_normal((rows, size.width), np.float32)
    sides, memory = {}, {}
    for form in ("tiles", "gather"):

        def loss(matrices, features, places, form=form):
            return jnp.sum(jnp.square(project(matrices, places, features, form=form)))

        compiled = jax.jit(jax.grad(loss)).lower(matrices, features, places).compile()
        analysis: Any = compiled.memory_analysis()
        memory[form] = analysis.temp_size_in_bytes / 2**20
        sides[form] = lambda run=compiled: jax.block_until_ready(
            run(matrices, features, places)
        )
    yield Comparison(
        f"{rows:,} rows, {len(needed):,} of {size.leaves:,} leaves, {depth} columns",
        ("tiles", sides["tiles"]),
        ("gather", sides["gather"]),
        0.5,
        note=f"temporaries {memory['tiles']:.0f} MiB, of gather {memory['gather']:.0f}",
    )


def _side(
    name: str, make: Callable[..., Callable[[], Any]], *inputs: Any
) -> tuple[str, Callable[[], Any]] | None:
    """A side of a comparison, None where its library is not there."""
    try:
        return name, make(*inputs)
    except ModuleNotFoundError:
        return None
