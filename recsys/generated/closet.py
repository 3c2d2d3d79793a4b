"""The built-in generated data set `closet`: who takes which of a million unique items.

It follows what the paper tells of its own data (section 4.1): the sub-datasets with the
users, items and interactions of Table 1, a tree of 13, 149 and 1,233 categories, items
that hardly anybody else takes, users of very uneven activity, and a feature vector for
each photo. And it plants the effects that the paper's claims (section 4.4) rest on,
each with a switch (`ClosetConfig`), so that a model which works can be told from one
that doesn't, and a claim must fail where its effect is switched off. Parameters and
generator are fixed before any model is trained on the closet.

What a user feels for an item is a sum over the levels of its category, the look that
its photo shows, and what the photo hides. The item is shown at a moment, and those of
the users who look then take it by chance, as `closet_choices` says.

What is switched off, and the claim that must fail then:

| off | claim |
|---|---|
| `uniqueness` | models do better without latent factors of items (-I) |
| `hierarchy` | all levels of the category tell more than the leaf |
| `visual_style` | photos tell what users like within a leaf |
| `leaf_style` | a matrix per category beats one for all: OurModel, Sherlock, not VBPR |
| `user_side` | identifying potential users (J2) finds the branches that each needs |
| `drift` | a split along time is harder than a random one |

Why so. With 1.5 users per item a latent factor of the item learns nothing but who took
it, and half of the test items have none. Where items find thirty users each, the
factors learn the hidden part, and the look without a detour through the photo.

J1 compares an item with negatives that share its parent, so all that siblings share
cancels: it never learns which branches of the tree a user needs. J2 compares the users
of one item, and that is just what tells them apart, for every user at every step. It
also pulls down those with few interactions wherever others are likelier, where J1 has
next to no say. So its gain is the greater the more users differ in their branches, and
the fewer interactions they have; `user_side` takes away both: users then differ only
below the 2nd level and in looks, which J1 sees as well, and all are equally active.
What J2 then still adds to a ranking is more training; whether it has found the branches
is told by `branch_needs`.
Uniform negatives give J1 the branches too, and J2 less to add; so does `hierarchy` off,
where siblings share little.

Source: Yu et al., "Personalized Item Recommendation for Second-hand Trading Platform",
ACM MM 2020.
"""

import dataclasses
import hashlib
import json

import numpy as np

from recsys.generated import choices, latents
from recsys.generated import parameters as closet_parameters
from recsys.generated.needs import branch_needs
from recsys.generated.parameters import (
    FIRST_DAY,
    GENERATOR_VERSION,
    ClosetConfig,
    Counts,
)
from recsys.generated.photos import features
from recsys.generated.tree import Path, branches

__all__ = [
    "GENERATOR_VERSION",
    "ClosetConfig",
    "Counts",
    "branch_needs",
    "features",
    "fingerprint",
    "interactions",
    "leaves",
    "paths",
]

_DAY = 86_400.0


def fingerprint(config: ClosetConfig) -> str:
    """Hash of all that decides the data: generator, its parameters and the config."""
    parameters = {
        name: value for name, value in vars(closet_parameters).items() if name.isupper()
    }
    text = json.dumps([GENERATOR_VERSION, parameters, dataclasses.asdict(config)])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def interactions(config: ClosetConfig) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All interactions, in the order of time.

    Users are 0 to U - 1 and items 0 to I - 1; each has at least one interaction. Their
    number is that of the config within the error of sampling.

    Returns:
      (users int32 [N], items int32 [N], times float64 [N] in seconds since 1970, UTC);
      pairs are distinct.
    """
    users, items, times = choices.interactions(config)
    start = np.datetime64(FIRST_DAY, "s").astype(np.float64)
    return users, items, start + _DAY * times


def leaves(config: ClosetConfig) -> tuple[Path, ...]:
    """Names from the top to the leaf, of all C leaves; sorted."""
    return branches(config.subset).paths


def paths(config: ClosetConfig, items: np.ndarray) -> tuple[np.ndarray, list[Path]]:
    """The category of items.

    Args:
      config: of the closet.
      items: [N] ids.

    Returns:
      (index into `leaves` int32 [N], the names of each item's leaf).
    """
    index = latents.sample_items(config, items).leaf.astype(np.int32)
    names = leaves(config)
    return index, [names[leaf] for leaf in index]
