"""The built-in generated search results `serp`: who clicks and buys in which order.

One generator, two presets, each with effects that a switch takes out (`SerpConfig`).

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

The chance of a click at place k is examination(k) sigmoid(logit), so the expected clicks
and purchases of every order are known in closed form, see `true_utility`. A list is a
function of the seed and its number alone.
"""

import dataclasses
from collections.abc import Iterable

import numpy as np

from common.data.generated import SPLIT_START, generator
from rerank.config import Target
from rerank.corpus.corpus import Corpus, Scaling
from rerank.corpus.items import Items
from rerank.corpus.requests import Requests
from rerank.generated import parameters as p
from rerank.generated.parameters import SerpConfig

_BLOCK = 1000  # lists drawn at a time, whether or not all are asked for
_STREAM = int.from_bytes(b"serp lists", "big")
_MAPS = int.from_bytes(b"serp maps", "big")
FIELDS = {"search": ("price", "f0", "f1", "style"), "fusion": ("price",)}


@dataclasses.dataclass(frozen=True, eq=False)
class Lists:
    """R lists as they were shown, L candidates and H items taken before: S = L + H.

    Attributes:
      context: [R], c as the request tells it.
      price: [R, S] standard normal.
      style: [R, S]; -1 or 1 in `search`.
      quality: [R, S, 2] f0 and f1 of `search`.
      text: [R, S, 2] what the text tells.
      image: [R, S, 2] what the image tells.
      pictured: bool [R, S], has an image.
      brand: int [R, S]; category: int [R, S].
      noise: [R, S, 2 WIDTH] of the vectors.
      logits: [R, L] of a click, before neighbours.
      random: bool [R], in random order.
      luck: uniform [R, L, 2], of click and purchase.
    """

    context: np.ndarray
    price: np.ndarray
    style: np.ndarray
    quality: np.ndarray
    text: np.ndarray
    image: np.ndarray
    pictured: np.ndarray
    brand: np.ndarray
    category: np.ndarray
    noise: np.ndarray
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
    places = slice(p.LENGTH)
    columns = (lists.logits, lists.price[:, places], lists.style[:, places])
    ordered = [np.take_along_axis(column, orders, axis=1) for column in columns]
    clicks, purchases = chances(config, *ordered)
    return (clicks if target == "click" else purchases).sum(axis=1)


def chances(
    config: SerpConfig, logits: np.ndarray, price: np.ndarray, style: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Chances of a click and of a purchase at each place.

    Args:
      config: of the world.
      logits: [R, L] of a click, before neighbours, in the order of the list.
      price: [R, L].
      style: [R, L].

    Returns:
      (clicks, purchases), both float64 [R, L].
    """
    seen = np.log2(2 + np.arange(logits.shape[1])) ** p.EXAMINATION[config.preset]
    near = logits.copy()
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
    places = which * _BLOCK + rows % _BLOCK
    drawn = [_draw_block(config, first + int(block)) for block in blocks]
    return _join(drawn, places)


def _draw_block(config: SerpConfig, block: int) -> Lists:
    rng = generator(config.seed, block, _STREAM)
    fusion = config.preset == "fusion"
    shape = (_BLOCK, p.LENGTH + (p.HISTORY if fusion else 0))  # [R, S]
    lists = Lists(
        context=rng.uniform(-1, 1, _BLOCK),
        price=rng.standard_normal(shape),
        style=np.where(rng.random(shape) < 0.5, -1.0, 1.0),
        quality=rng.standard_normal((*shape, 2)),
        text=rng.standard_normal((*shape, 2)),
        image=rng.standard_normal((*shape, 2)),
        pictured=rng.random(shape) >= (config.missing_images if fusion else 0.0),
        brand=rng.integers(p.BRANDS, size=shape, dtype=np.int32),
        category=rng.integers(p.CATEGORIES, size=shape, dtype=np.int32),
        noise=rng.standard_normal((*shape, 2 * p.WIDTH), np.float32),
        logits=np.zeros((_BLOCK, p.LENGTH)),
        random=rng.random(_BLOCK) < config.random_share,
        luck=rng.random((_BLOCK, p.LENGTH, 2)),
    )
    return _fusion(config, lists, rng) if fusion else _search(lists, rng)


def _search(lists: Lists, rng: np.random.Generator) -> Lists:
    f0, f1 = lists.quality[..., 0], lists.quality[..., 1]
    match = f1 * lists.context[:, None]
    logits = p.QUALITY * f0 + p.MATCH * match + p.PRICE * lists.price + p.BIAS
    ranked = np.argsort(-logits - p.RANKER_NOISE * rng.standard_normal(logits.shape))
    shown = np.where(lists.random[:, None], np.arange(p.LENGTH), ranked)  # [R, L]

    def order(values: np.ndarray) -> np.ndarray:
        index = shown.reshape(*shown.shape, *[1] * (values.ndim - 2))
        return np.take_along_axis(values, index, axis=1)

    ordered = ("price", "style", "quality", "brand", "category")
    moved = {name: order(getattr(lists, name)) for name in ordered}
    return dataclasses.replace(
        lists,
        logits=order(logits),
        text=moved["quality"],
        image=np.stack([moved["style"], moved["price"]], axis=-1),
        **moved,
    )


def _fusion(config: SerpConfig, lists: Lists, rng: np.random.Generator) -> Lists:
    """The match with the query is in the first number of text and image."""
    shape, places = lists.price.shape, slice(p.LENGTH)
    hidden, matches = rng.uniform(-1, 1, _BLOCK), rng.standard_normal(shape)
    liked = np.where(rng.random((_BLOCK, p.CATEGORIES)) < 0.5, -1.0, 1.0)
    taste = np.take_along_axis(liked, lists.category, axis=1)  # [R, S]
    style = rng.standard_normal(shape)
    known = taste if config.history_tells else np.zeros(shape)
    style[:, p.LENGTH :] *= p.HISTORY_NOISE if config.history_tells else 1
    style[:, p.LENGTH :] += known[:, p.LENGTH :]
    visual = lists.context if config.context_tells else hidden
    share = _sigmoid(p.SHARPNESS * visual)[:, None]
    image = matches if not config.image_tells else lists.image[..., 0]
    # Without an image there is nothing to match.
    relevance = (1 - share) * lists.text[..., 0]
    relevance += share * lists.image[..., 0] * lists.pictured
    logits = p.FUSION_BIAS + p.RELEVANCE * relevance + p.TASTE * taste * style
    return dataclasses.replace(
        lists,
        style=style,
        text=np.stack([lists.text[..., 0], style], axis=-1),
        image=np.stack([image, style], axis=-1),
        logits=logits[:, places],
        random=np.ones(_BLOCK, bool),
    )


def make_corpus(config: SerpConfig) -> Corpus:
    """All lists, each with items of its own."""
    drawn = {s: draw(config, s, np.arange(config.count(s))) for s in SPLIT_START}
    ends = np.cumsum([len(lists.context) for lists in drawn.values()])
    firsts = dict(zip(drawn, ends, strict=True))
    splits = {
        split: _requests(config, split, lists, firsts[split] - len(lists.context))
        for split, lists in drawn.items()
    }
    items = _items(config, _join(drawn.values()))
    widths = {"fields": items.fields.shape[1], "pair_features": 0, "context": 1}
    scaling = Scaling(
        {kind: [0.0] * width for kind, width in widths.items()},
        {kind: [1.0] * width for kind, width in widths.items()},
    )
    return Corpus(items, splits, scaling, context_names=("c",))


def _items(config: SerpConfig, lists: Lists) -> Items:
    count = lists.price.size
    numbers = {
        "price": lists.price,
        "f0": lists.quality[..., 0],
        "f1": lists.quality[..., 1],
        "style": lists.style,
    }
    names = FIELDS[config.preset]
    fields = np.stack([numbers[name].reshape(-1) for name in names], axis=1)
    maps = generator(config.seed, 0, _MAPS).standard_normal((2, p.WIDTH, 2))
    vectors = {}
    for number, (name, told) in enumerate(
        (("text", lists.text), ("image", lists.image))
    ):
        axes, _ = np.linalg.qr(maps[number])  # [WIDTH, 2], orthonormal
        noise = lists.noise[..., number * p.WIDTH : (number + 1) * p.WIDTH]
        vectors[name] = told @ axes.T + p.VECTOR_NOISE * noise  # [R, S, WIDTH]
    return Items(
        ids=np.arange(count).astype(str),
        categories=lists.category.reshape(-1),
        category_names=tuple(f"category {k + 1}" for k in range(p.CATEGORIES)),
        fields=fields.astype(np.float32),
        field_names=names,
        prices=np.exp(3 + lists.price / 2).reshape(-1).astype(np.float32),
        present={"text": np.ones(count, bool), "image": lists.pictured.reshape(-1)},
        vectors={
            name: array.reshape(count, p.WIDTH).astype(np.float32)
            for name, array in vectors.items()
        },
        labels={
            "brand": (
                lists.brand.reshape(-1),
                tuple(f"brand {k + 1}" for k in range(p.BRANDS)),
            )
        },
    )


def _requests(config: SerpConfig, split: str, lists: Lists, first: int) -> Requests:
    """The lists as requests, where `first` lists stand before them in the store."""
    count, slots = lists.price.shape
    numbers = np.arange(first * slots, (first + count) * slots, dtype=np.int32)
    numbers = numbers.reshape(count, slots)
    columns = (lists.price[:, : p.LENGTH], lists.style[:, : p.LENGTH])
    clicks, purchases = chances(config, lists.logits, *columns)
    clicked = lists.luck[..., 0] < clicks
    bought = clicked & (lists.luck[..., 1] < purchases / clicks)
    starts = np.arange(count + 1)
    total = count * p.LENGTH
    return Requests(
        ids=np.char.add(f"{split} ", starts[:-1].astype(str)),
        starts=starts * p.LENGTH,
        items=numbers[:, : p.LENGTH].reshape(-1),
        pair_features=np.zeros((total, 0), np.float32),
        context=lists.context[:, None].astype(np.float32),
        clicks=clicked.reshape(-1).astype(np.float32),
        purchases=bought.reshape(-1).astype(np.float32),
        randomised=lists.random,
        history=numbers[:, p.LENGTH :].reshape(-1),
        history_starts=starts * (slots - p.LENGTH),
        propensities=(
            np.full(total, 1 / p.LENGTH, np.float32) if lists.random.all() else None
        ),
    )


def _join(parts: Iterable[Lists], rows: slice | np.ndarray = slice(None)) -> Lists:
    """Some lists of several parts."""
    columns = zip(*(vars(part).values() for part in parts), strict=True)
    return Lists(*(np.concatenate(column)[rows] for column in columns))


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logits))
