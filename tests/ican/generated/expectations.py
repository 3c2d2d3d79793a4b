"""What one can know of a generated ring's price from the listing, the photo or both.

The mean of the log price weighs all that could hold by Bayes' rule: each kind of
centre stone, each of the three stones being that one, each entry of the listing being
right or another ring's. The photo is taken as read: families, qualities, diameters,
thickness, polish, design, scratches and metal colour as they were drawn. So the errors
of this mean are a floor under those of any model.
"""

import numpy as np

from common.data.generated import SPLIT_START
from ican.generated import catalogue, latents
from ican.generated.latents import ATTRIBUTE_OF, Rings
from ican.generated.parameters import (
    ATTRIBUTES_PARTS,
    INTERACTION_PARTS,
    PHOTO_PARTS,
    SHOWN_CARAT,
    SHOWN_HEFT,
    SHOWN_USE,
    RingsConfig,
)
from ican.generated.values import (
    TABLES,
    grading_effect,
    identification_effect,
    log_prices,
    photo_effects,
    side_effect,
    weigh,
)

_DIAMOND = np.arange(len(catalogue.KIND.names)) == catalogue.DIAMOND  # [37]
_STONE = np.arange(len(catalogue.KIND.names)) > 0  # [37]


def expected_log_prices(
    config: RingsConfig,
    rings: Rings,
    *,
    listing: bool,
    photo: bool,
    title: bool = False,
) -> np.ndarray:
    """Mean of the log price given what is seen [N].

    Exact but for two things. A band's heft is told where its weight is listed, even if
    the metal or the size that one needs to work it out is not; and a listed stone size
    is not used to tell whether there is a stone.

    Args:
      config: with the switches and shares.
      rings: N rings.
      listing: whether the listed attributes are seen.
      photo: whether the photo is seen.
      title: whether the title is seen, where there are titles.
    """
    beliefs = _Beliefs(config, rings, listing, photo)
    looks, nothing = rings.appearance, np.zeros(len(rings.noise))
    polish = looks.polish if photo else nothing
    terms = nothing
    metal = beliefs.metal() @ catalogue.METAL.effects
    stone = beliefs.stone()
    if config.attributes_only:
        effects = {
            name: beliefs.category(name) @ TABLES[name].effects
            for name in ("size", "repair", "defects", "month")
        }
        effects |= stone | {
            "metal": metal,
            "use": beliefs.use() @ catalogue.USE.effects,
            "heft": beliefs.heft(),
            "side": beliefs.side(),
        }
        terms = terms + np.sqrt(config.attributes_share) * weigh(
            effects, ATTRIBUTES_PARTS
        )
    if config.photo_only and photo:
        terms = terms + np.sqrt(config.photo_share) * weigh(
            photo_effects(rings), PHOTO_PARTS
        )
    if config.interactions:
        effects = stone | {"polish x metal": polish * metal}
        terms = terms + np.sqrt(config.interactions_share) * weigh(
            effects, INTERACTION_PARTS
        )
    if config.titles:
        terms = np.sqrt(1 - config.words_share) * terms
        if title and config.words:
            worth = catalogue.TELLING.effects[rings.titles.telling]
            terms = terms + np.sqrt(config.words_share) * worth
    return np.log(config.median_price) + config.spread * terms


def _normal_density(
    value: np.ndarray, mean: np.ndarray | float, spread: float
) -> np.ndarray:
    return np.exp(-0.5 * ((value - mean) / spread) ** 2) / spread


class _Beliefs:
    """Posterior beliefs about N rings given their listings, their photos or both."""

    def __init__(self, config: RingsConfig, rings: Rings, listing: bool, photo: bool):
        self._rings, self._photo = rings, photo
        self._wrong = config.wrong_share if config.missing_or_wrong else 0.0
        self._count = len(rings.noise)
        self._told = {
            name: listing & ~missing for name, missing in rings.missing.items()
        }

    def _tells(self, fact: str) -> np.ndarray:
        return self._told[ATTRIBUTE_OF[fact]]

    def _likelihood(self, fact: str, shares: np.ndarray) -> np.ndarray:
        """P(listed | true category), up to a factor a ring; 1 if not told. [N, K]."""
        listed = getattr(self._rings.listed, fact).astype(int)
        wrong = 0.0 if fact == "month" else self._wrong
        right = np.arange(len(shares)) == listed[:, None]
        found = (1 - wrong) * right + wrong * shares[listed][:, None]
        return np.where(self._tells(fact)[:, None], found, 1.0)

    def category(self, fact: str) -> np.ndarray:
        """Beliefs about a fact that the photo does not show [N, K]."""
        shares = TABLES[fact].shares
        return _normalise(shares * self._likelihood(fact, shares))

    def metal(self) -> np.ndarray:
        """Beliefs about the metal, whose colour the photo shows [N, 11]."""
        shares = catalogue.METAL.shares
        weights = shares * self._likelihood("metal", shares)
        if self._photo:
            colour = catalogue.METAL_COLOUR[self._rings.true.metal]
            weights = weights * (catalogue.METAL_COLOUR == colour[:, None])
        return _normalise(weights)

    def use(self) -> np.ndarray:
        """Beliefs about the degree of use, of which scratches speak [N, 4]."""
        shares = catalogue.USE.shares
        weights = shares * self._likelihood("use", shares)
        if self._photo:
            shown = self._rings.appearance.scratches
            follows = np.arange(len(shares)) == shown[:, None]
            weights = weights * (
                SHOWN_USE * follows + (1 - SHOWN_USE) * shares[shown][:, None]
            )
        return _normalise(weights)

    def _blurred(
        self, fact: str, tells: np.ndarray, shown: np.ndarray | None, correlation: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mean of a standard normal fact, and evidence for it being what is shown.

        Args:
          fact: name of the fact.
          tells: whether the listing tells it [N].
          shown: what the photo shows, [N] or [N, 3], or None.
          correlation: of the fact with what is shown.
        """
        listed = getattr(self._rings.listed, fact)
        if shown is None:
            return np.where(tells, (1 - self._wrong) * listed, 0.0), np.ones(
                len(listed)
            )
        if shown.ndim == 2:
            listed, tells = listed[:, None], tells[:, None]
        blur = np.sqrt(1 - correlation**2)
        # Over the density of `shown` had the listing named another ring's.
        right = (1 - self._wrong) * _normal_density(shown, correlation * listed, blur)
        right = np.where(tells, right / _normal_density(shown, 0.0, 1.0), 0.0)
        wrong = np.where(tells, self._wrong, 1.0)
        mean = (right * listed + wrong * correlation * shown) / (right + wrong)
        return mean, right + wrong

    def heft(self) -> np.ndarray:
        """Mean heft of the band [N]."""
        shown = self._rings.appearance.thickness if self._photo else None
        return self._blurred("heft", self._tells("heft"), shown, SHOWN_HEFT)[0]

    def side(self) -> np.ndarray:
        """Mean effect of the side stones [N]; a listed size tells that there are."""
        listed = self._rings.listed
        p, present = catalogue.SIDE_PRESENT, listed.side_kind > 0
        told = self._tells("side_kind") | self._tells("side_carat")
        belief = np.where(told, (1 - self._wrong) * present + self._wrong * p, p)
        seen = self._tells("side_carat") & present
        carat = np.where(seen, (1 - self._wrong) * listed.side_carat, 0.0)
        return side_effect(belief, carat)

    def _side_evidence(self) -> np.ndarray:
        """P(listed side stone | family of the side stone) [N, 9]; 1 if not told."""
        listed, p = self._rings.listed.side_kind, catalogue.SIDE_PRESENT
        known = p * catalogue.FAMILY_KINDS[:, listed].T  # [N, 9]
        known = np.where((listed > 0)[:, None], known, 1 - p)
        other = self._wrong * catalogue.SIDE_SHARES[listed][:, None]
        found = (1 - self._wrong) * known + other
        return np.where(self._tells("side_kind")[:, None], found, 1.0)

    def _kind_weights(self) -> np.ndarray:
        """Weights of the kinds of centre stone by the listing and the reports [N, 37]."""
        weights = catalogue.KIND.shares * self._likelihood(
            "kind", catalogue.KIND.shares
        )
        for name, chance in _report_chances().items():
            weights = weights * self._report(name, chance)[0]
        return weights

    def _report(self, name: str, chance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """P(listed | kind) and P(present | listed, kind) of a report, [N, 37] each."""
        mean = np.sum(catalogue.KIND.shares * chance)
        likelihood = self._likelihood(name, np.array([1 - mean, mean]))  # [N, 2]
        absent = likelihood[:, :1] * (1 - chance)
        present = likelihood[:, 1:] * chance
        total = absent + present
        return total, np.divide(
            present, total, out=np.zeros_like(total), where=total > 0
        )

    def stone(self) -> dict[str, np.ndarray]:
        """Means of all effects in which the centre stone takes part; each [N].

        Hypotheses are [N, C, 37]: which of C stones is the centre stone (one unnamed
        stone without the photo), and of which kind it is.
        """
        rings, looks = self._rings, self._rings.appearance
        weights = self._kind_weights()[:, None, :]
        family = np.maximum(catalogue.KIND_FAMILY, 0)
        evidence = self._side_evidence()  # [N, 9]
        tells = self._tells("carat") & (rings.listed.kind > 0)
        if self._photo:
            carat, fit = self._blurred("carat", tells, looks.diameter, SHOWN_CARAT)
            same = catalogue.KIND_FAMILY == looks.family[:, :, None]  # [N, 3, 37]
            # A ring without a centre stone shows a plate there: stone 0 is known.
            stones = np.take_along_axis(evidence, np.maximum(looks.family, 0), axis=1)
            others = stones.sum(axis=1, keepdims=True) - stones
            lone = looks.family[:, :1] < 0
            here = np.where(lone, np.arange(3) == 0, fit * others)
            weights = weights * same * here[:, :, None]
            quality = looks.quality[:, :, None]
            carat = carat[:, :, None]
        else:
            total = evidence.sum(axis=1, keepdims=True)
            count = len(catalogue.FAMILIES)
            others = (total - evidence[:, family]) / (count - 1)
            others = np.where(_STONE, others, total / count)
            weights = weights * others[:, None, :]
            carat = self._blurred("carat", tells, None, SHOWN_CARAT)[0][:, None, None]
            quality = np.zeros((self._count, 1, 1))
        weights = weights / weights.sum(axis=(1, 2), keepdims=True)
        return self._stone_means(weights, carat, quality)

    def _stone_means(
        self, weights: np.ndarray, carat: np.ndarray, quality: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Means under `weights` [N, C, 37]; carat and quality [N, C, 1]."""

        def mean(values: np.ndarray) -> np.ndarray:
            return np.sum(weights * values, axis=(1, 2))

        present = {
            name: self._report(name, chance)[1][:, None, :]
            for name, chance in _report_chances().items()
        }
        seen = _STONE / np.sqrt(catalogue.STONE_SHARE)
        return {
            "kind": mean(catalogue.KIND.effects),
            "carat": mean(seen * carat),
            "grading": mean(grading_effect(present["grading"], _DIAMOND)),
            "identification": mean(
                identification_effect(present["identification"], _STONE)
            ),
            "quality": mean(seen * quality),
            "quality x carat": mean(seen * quality * carat),
            "quality x kind": mean(seen * quality * catalogue.KIND_LEANING),
        }


def _report_chances() -> dict[str, np.ndarray]:
    """P(report | kind of centre stone), [37] each."""
    return {
        "grading": catalogue.GRADING_PRESENT * _DIAMOND,
        "identification": catalogue.IDENTIFICATION_PRESENT * _STONE,
    }


def _normalise(weights: np.ndarray) -> np.ndarray:
    return weights / weights.sum(axis=1, keepdims=True)


# Edges of the 18 price zones, dollars (Table 2).
PRICE_EDGES = np.arange(180.0, 901.0, 45.0)


def ceilings(config: RingsConfig, count: int = 20_000) -> dict[str, dict[str, float]]:
    """What the best possible model reaches, by what it sees, by simulation.

    Draws `count` test rings and takes the expected log price given the listing, the
    photo or both, each also with the title (`expected_log_prices`). A zone's probability is the share
    of the errors of that expectation which, added to it, land in the zone; so it takes
    the errors to be alike for all rings, and the best top-k may be a little higher.

    Returns:
      {"majority" | "photo" | "attributes" | "both" | "title" | "both and title":
      {"top3", "top5", "top7",
      "r2" (of log price), "male" (mean absolute error of log price)}}.
    """
    chosen = SPLIT_START["test"] + np.arange(count)
    rings = latents.sample(config, chosen)
    logs = log_prices(config, rings)
    views = {
        "photo": (False, True, False),
        "attributes": (True, False, False),
        "both": (True, True, False),
        "title": (False, False, True),
        "both and title": (True, True, True),
    }
    found = {"majority": _scores(logs, np.full(count, np.mean(logs)))}
    for name, (listing, photo, title) in views.items():
        expected = expected_log_prices(
            config, rings, listing=listing, photo=photo, title=title
        )
        found[name] = _scores(logs, expected)
    return found


def _scores(logs: np.ndarray, expected: np.ndarray) -> dict[str, float]:
    errors = np.sort(logs - expected)
    edges = np.log(PRICE_EDGES)
    below = np.searchsorted(errors, edges - expected[:, None], side="left")  # [N, 17]
    ends = np.zeros((len(logs), 1)), np.full((len(logs), 1), len(logs))
    chances = np.diff(np.concatenate([ends[0], below, ends[1]], axis=1), axis=1)
    labels = np.searchsorted(edges, logs, side="right")
    ranking = np.argsort(-chances, axis=1, kind="stable")  # [N, 18]
    place = np.argmax(ranking == labels[:, None], axis=1)
    scores = {f"top{k}": float(np.mean(place < k)) for k in (3, 5, 7)}
    scores["r2"] = float(1 - np.mean(errors**2) / np.var(logs))
    scores["male"] = float(np.mean(np.abs(errors)))
    return scores
