"""The scores of all models as their papers print them: NumPy, one pair at a time."""

import jax
import numpy as np

from recsys.corpus.tree import CategoryTree
from recsys.models.coarse_fine import CoarseFine
from recsys.models.deepstyle import DeepStyle
from recsys.models.factors import Factors
from recsys.models.sherlock import Sherlock
from recsys.models.vbpr import Vbpr

PATHS = [
    ("men", "shoes", "boots"),
    ("men", "shoes", "sandals"),
    ("men", "coats", "boots"),
    ("women", "bags"),  # its level 3 repeats "bags"
    ("women", "shoes", "boots"),
    ("toys",),  # its levels 2 and 3 repeat "toys"
]
TREE, _ = CategoryTree.from_paths(PATHS, uneven="repeat")
USERS, ITEMS, FEATURES = 5, 9, 6
SIZES = {"user_count": USERS, "item_count": ITEMS, "feature_size": FEATURES}


def draw_params(model, seed=0):
    """Every parameter from N(0, 1), float64, those that start at zero too."""
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(model.init_params, jax.random.key(0))
    return {name: rng.normal(size=shapes[name].shape) for name in sorted(shapes)}


def draw_batch(count, columns, seed=1):
    """users [B], items, leaves [B, N] and features [B, N, F] of a training batch."""
    rng = np.random.default_rng(seed)
    return (
        rng.integers(0, USERS, count).astype(np.int32),
        rng.integers(0, ITEMS, (count, columns)).astype(np.int32),
        rng.integers(0, TREE.leaf_count, (count, columns)).astype(np.int32),
        rng.normal(size=(count, columns, FEATURES)),
    )


def plain_scores(model, params, users, items, leaves, features):
    """[B, N] of a training batch."""
    scores = np.zeros(items.shape)
    for b, n in np.ndindex(*items.shape):
        pair = users[b], items[b, n], leaves[b, n], features[b, n]
        scores[b, n] = PLAIN[type(model)](model, params, *pair)
    return scores


def category_vectors(model, params, leaf):
    """e^1 to e^m of a leaf's path (Eq. 1)."""
    tree, sizes = model.tree, model.category_widths
    vectors = [params["category_base"][tree.ancestors[leaf, 0]]]
    for level in range(1, tree.levels):
        above = vectors[-1]
        if tree.repeated[leaf, level]:
            same = np.zeros(sizes[level])
            for d in range(min(len(above), len(same))):
                same[d] = above[d]
            vectors.append(same)
        else:
            transition = params[f"category_transition{level + 1}"]
            vectors.append(transition[tree.ancestors[leaf, level]] @ above)
    return vectors


def visual_vector(params, leaf, feature):
    """e_vis (Eq. 2)."""
    return params["leaf_matrix"][leaf] @ feature + params["leaf_item_bias"][leaf]


def coarse_fine(model, params, user, item, leaf, feature):
    """Eq. 3 to 6."""
    e_item = np.concatenate(
        [
            *category_vectors(model, params, leaf),
            visual_vector(params, leaf, feature),
        ]
    )
    p_user = params["user_preference"][user].copy()
    p_user[-model.visual_width :] += params["leaf_user_bias"][leaf]
    return p_user @ (e_item + params["user_bias"][user])


def factors(model, params, user, item, theta, feature):
    """Terms that VBPR and Sherlock share."""
    score = params["user_visual"][user] @ theta + params["visual_bias"] @ feature
    if "item_factor" in params:
        score += params["user_factor"][user] @ params["item_factor"][item]
    for name, row in (("item_bias", item), ("user_bias", user)):
        if name in params:
            score += params[name][row, 0]
    return score


def vbpr(model, params, user, item, leaf, feature):
    theta = params["visual_matrix"] @ feature
    return factors(model, params, user, item, theta, feature)


def sherlock(model, params, user, item, leaf, feature):
    theta = []
    for level in range(model.tree.levels):
        if f"level{level + 1}_matrix" in params:
            node = model.tree.ancestors[leaf, level]
            theta.extend(params[f"level{level + 1}_matrix"][node] @ feature)
    return factors(model, params, user, item, np.array(theta), feature)


def deepstyle(model, params, user, item, leaf, feature):
    style = params["visual_matrix"] @ feature - params["leaf_style"][leaf]
    if "item_factor" in params:
        style = style + params["item_factor"][item]
    score = params["user_style"][user] @ style
    return score + (params["user_bias"][user, 0] if "user_bias" in params else 0)


def factors_alone(model, params, user, item, leaf, feature):
    product = params["user_factor"][user] @ params["item_factor"][item]
    return product + params["item_bias"][item, 0]


PLAIN = {
    Factors: factors_alone,
    CoarseFine: coarse_fine,
    Vbpr: vbpr,
    Sherlock: sherlock,
    DeepStyle: deepstyle,
}
