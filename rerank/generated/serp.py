"""The built-in generated search results `serp`: who clicks and buys in which order.

`search`: the order of a list matters. An item loses where one of its style stands
shortly before it, and gains where a dearer one stands just before it, so that no sort by
scores of single items is best. 30 % of the lists are in random order, the rest is
ordered by a noisy ranker. A click is what counts: purchases equal clicks.

`fusion`: how well the query matches the text and the image of an item is in its vectors,
and how visual the query is decides which of the two counts; the context alone tells.
Some images are missing, purchases are scarce, and what was taken before tells which
style is liked in a category. All lists are in random order.

| off | what must fail then |
|---|---|
| `list_effects` | searching for an order beats the pointwise sort |
| `scarce_purchases` | the click task helps (lambda above 0) |
| `context_tells` | fusion that sees the context beats one that does not |
| `image_tells` | models do better with images |
| `history_tells` | models do better with the history |

The chance of a click at place k is examination(k) sigmoid(logit), so what an order is
worth is known in closed form, see `true_utility`. A list is a function of the seed and
its number alone.
"""

import dataclasses
import pathlib
from collections.abc import Iterable

import numpy as np

from common.data.generated import SPLIT_START, generator
from rerank.config import MODALITIES, Target
from rerank.corpus.corpus import Corpus, Scaling
from rerank.corpus.items import Items
from rerank.corpus.requests import Requests
from rerank.generated import parameters as p
from rerank.generated import products
from rerank.generated.parameters import SerpConfig

_BLOCK = 1000  # lists drawn at a time, whether or not all are asked for
_STREAM = int.from_bytes(b"serp lists", "big")
_MAPS = int.from_bytes(b"serp maps", "big")
FIELDS = {"search": ("price", "f0", "f1", "style"), "fusion": ("price",)}
CONTEXT = ("c",)


@dataclasses.dataclass(frozen=True, eq=False)
class Lists:
    """R lists as shown, of L candidates, then H items taken before: S = L + H.

    Attributes:
      context: [R].
      price: [R, S].
      style: [R, S]; -1 or 1 in `search`.
      told: [R, S, 2, 2] two numbers that the vectors of text and of image tell.
      noise: [R, S, 2, WIDTH] of these vectors.
      pictured: bool [R, S].
      category: int [R, S].
      brand: int [R, S].
      logits: [R, L] of a click, before neighbours.
      random: bool [R], in random order.
      luck: uniform [R, L, 2], of click and purchase.
    """

    context: np.ndarray
    price: np.ndarray
    style: np.ndarray
    told: np.ndarray
    noise: np.ndarray
    pictured: np.ndarray
    category: np.ndarray
    brand: np.ndarray
    logits: np.ndarray
    random: np.ndarray
    luck: np.ndarray


def true_utility(
    config: SerpConfig,
    split: str,
    rows: np.ndarray,
    orders: np.ndarray,
    target: Target = "click",
) -> np.ndarray:
    """Expected clicks or purchases of lists in an order: sum_k P(label at place k).

    Args:
      config: of the world.
      split: the lists are in.
      rows: int [R] numbers of lists in it.
      orders: int [R, L], which place of the list as shown comes first, second …
      target: what is counted.

    Returns:
      float64 [R].
    """
    lists = draw(config, split, rows)
    columns = (lists.logits, lists.price, lists.style)
    ordered = [np.take_along_axis(column, orders, axis=1) for column in columns]
    clicks, purchases = chances(config, *ordered)
    return (clicks if target == "click" else purchases).sum(axis=1)


def chances(
    config: SerpConfig, logits: np.ndarray, price: np.ndarray, style: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Chances of a click and of a purchase at each place of lists, both [R, L].

    Args:
      config: of the world.
      logits: [R, L] before neighbours, in the order of the list.
      price: [R, L] or more places, which are not looked at.
      style: as `price`.
    """
    length = logits.shape[1]
    seen = np.log2(2 + np.arange(length)) ** p.EXAMINATION[config.preset]
    near, price, style = logits.copy(), price[:, :length], style[:, :length]
    if config.preset == "search" and config.list_effects:
        for d in range(1, p.REACH + 1):
            near[:, d:] -= p.SAME_STYLE / d * (style[:, d:] == style[:, :-d])
        gap = np.clip(price[:, :-1] - price[:, 1:], 0, p.DEAREST)
        near[:, 1:] += p.DEARER * gap
    clicks = seen[None, :] * _sigmoid(near)
    if config.preset == "search" or not config.scarce_purchases:
        return clicks, clicks
    return clicks, clicks * _sigmoid(p.BOUGHT * logits + p.BOUGHT_BIAS)


def draw(config: SerpConfig, split: str, rows: np.ndarray) -> Lists:
    """The lists with these numbers in a split."""
    first = SPLIT_START[split] // _BLOCK
    blocks, which = np.unique(rows // _BLOCK, return_inverse=True)
    drawn = (_draw_block(config, first + int(block)) for block in blocks)
    return _join(drawn, which * _BLOCK + rows % _BLOCK)


def _draw_block(config: SerpConfig, block: int) -> Lists:
    rng = generator(config.seed, block, _STREAM)
    fusion = config.preset == "fusion"
    shape = (_BLOCK, p.LENGTH + (p.HISTORY if fusion else 0))  # [R, S]
    lists = Lists(
        context=rng.uniform(-1, 1, _BLOCK),
        price=rng.standard_normal(shape),
        style=np.where(rng.random(shape) < 0.5, -1.0, 1.0),
        told=rng.standard_normal((*shape, 2, 2)),
        noise=rng.standard_normal((*shape, 2, p.WIDTH), np.float32),
        pictured=rng.random(shape) >= (config.missing_images if fusion else 0.0),
        category=rng.integers(p.CATEGORIES, size=shape, dtype=np.int32),
        brand=rng.integers(p.BRANDS, size=shape, dtype=np.int32),
        logits=np.zeros((_BLOCK, p.LENGTH)),
        random=(rng.random(_BLOCK) < config.random_share) | fusion,
        luck=rng.random((_BLOCK, p.LENGTH, 2)),
    )
    return _fusion(config, lists, rng) if fusion else _search(lists, rng)


def _search(lists: Lists, rng: np.random.Generator) -> Lists:
    """The text tells f0 and f1, the image style and price."""
    f0, f1 = lists.told[..., 0, 0], lists.told[..., 0, 1]
    match = f1 * lists.context[:, None]
    logits = p.QUALITY * f0 + p.MATCH * match + p.PRICE * lists.price + p.BIAS
    lists.told[..., 1, :] = np.stack([lists.style, lists.price], axis=-1)
    ranked = np.argsort(-logits - p.RANKER_NOISE * rng.standard_normal(logits.shape))
    shown = np.where(lists.random[:, None], np.arange(p.LENGTH), ranked)  # [R, L]
    told = np.take_along_axis(lists.told, shown[:, :, None, None], axis=1)
    moved = {"price": lists.price, "style": lists.style, "logits": logits}
    ordered = {n: np.take_along_axis(v, shown, axis=1) for n, v in moved.items()}
    return dataclasses.replace(lists, told=told, **ordered)


def _fusion(config: SerpConfig, lists: Lists, rng: np.random.Generator) -> Lists:
    """Text and image tell their match with the query, and the style."""
    shape, past = lists.price.shape, slice(p.LENGTH, None)
    hidden, others = rng.uniform(-1, 1, _BLOCK), rng.standard_normal(shape)
    likes = np.where(rng.random((_BLOCK, p.CATEGORIES)) < 0.5, -1.0, 1.0)
    taste = np.take_along_axis(likes, lists.category, axis=1)  # [R, S]
    style = rng.standard_normal(shape)
    if config.history_tells:
        style[:, past] = taste[:, past] + p.HISTORY_NOISE * style[:, past]
    visual = lists.context if config.context_tells else hidden
    share = _sigmoid(p.SHARPNESS * visual)[:, None]
    told = lists.told.copy()
    told[..., 1] = style[..., None]
    if not config.image_tells:
        told[..., 1, 0] = others
    # Without an image there is nothing to match.
    match = (1 - share) * lists.told[..., 0, 0]
    match += share * lists.told[..., 1, 0] * lists.pictured
    logits = p.FUSION_BIAS + p.RELEVANCE * match + p.TASTE * taste * style
    logits = logits[:, : p.LENGTH]
    return dataclasses.replace(lists, style=style, told=told, logits=logits)


def make_corpus(config: SerpConfig) -> Corpus:
    """All lists, each with items of its own."""
    drawn = {s: draw(config, s, np.arange(config.count(s))) for s in SPLIT_START}
    splits, first = {}, 0
    for split, lists in drawn.items():
        splits[split] = _requests(config, split, lists, first)
        first += lists.price.size
    items = _items(config, _join(drawn.values()))
    if config.products:
        items = products.dress(items, pathlib.Path(config.products), config.seed)
    widths = {"fields": items.fields.shape[1], "pair_features": 0, "context": 1}
    scaling = Scaling(
        {kind: [0.0] * width for kind, width in widths.items()},
        {kind: [1.0] * width for kind, width in widths.items()},
    )
    return Corpus(items, splits, scaling, context_names=CONTEXT)


def _items(config: SerpConfig, lists: Lists) -> Items:
    count = lists.price.size
    names = FIELDS[config.preset]
    numbers = (lists.price, *np.moveaxis(lists.told[..., 0, :], -1, 0), lists.style)
    fields = np.stack(numbers[: len(names)], axis=-1)
    maps = generator(config.seed, 0, _MAPS).standard_normal((2, p.WIDTH, 2))
    axes, _ = np.linalg.qr(maps)  # [2, WIDTH, 2], orthonormal
    vectors = np.einsum("rsmi,mwi->rsmw", lists.told, axes)
    vectors = (vectors + p.VECTOR_NOISE * lists.noise).astype(np.float32)
    vectors = vectors.reshape(count, 2, p.WIDTH)
    brands = tuple(f"brand {k + 1}" for k in range(p.BRANDS))
    return Items(
        ids=np.arange(count).astype(str),
        categories=lists.category.reshape(-1),
        category_names=tuple(f"category {k + 1}" for k in range(p.CATEGORIES)),
        fields=fields.reshape(count, -1).astype(np.float32),
        field_names=names,
        prices=np.exp(3 + lists.price / 2).reshape(-1).astype(np.float32),
        present={"text": np.ones(count, bool), "image": lists.pictured.reshape(-1)},
        vectors={name: vectors[:, m] for m, name in enumerate(MODALITIES)},
        labels={"brand": (lists.brand.reshape(-1), brands)},
    )


def _requests(config: SerpConfig, split: str, lists: Lists, first: int) -> Requests:
    """The lists as requests, where `first` items stand before theirs in the store."""
    count, slots = lists.price.shape
    numbers = np.arange(first, first + count * slots, dtype=np.int32)
    shown, past = np.split(numbers.reshape(count, slots), [p.LENGTH], axis=1)
    clicks, purchases = chances(config, lists.logits, lists.price, lists.style)
    clicked = lists.luck[..., 0] < clicks
    bought = clicked & (lists.luck[..., 1] < purchases / clicks)
    starts = np.arange(count + 1)
    known = lists.random.all()
    return Requests(
        ids=np.char.add(f"{split} ", starts[:-1].astype(str)),
        starts=starts * p.LENGTH,
        items=shown.reshape(-1),
        pair_features=np.zeros((shown.size, 0), np.float32),
        context=lists.context[:, None].astype(np.float32),
        clicks=clicked.reshape(-1).astype(np.float32),
        purchases=bought.reshape(-1).astype(np.float32),
        randomised=lists.random,
        history=past.reshape(-1),
        history_starts=starts * past.shape[1],
        propensities=np.full(shown.size, 1 / p.LENGTH, np.float32) if known else None,
    )


def _join(parts: Iterable[Lists], rows: slice | np.ndarray = slice(None)) -> Lists:
    """Some lists of several parts."""
    columns = zip(*(vars(part).values() for part in parts), strict=True)
    return Lists(*(np.concatenate(column)[rows] for column in columns))


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits))
