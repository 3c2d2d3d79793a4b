"""Cross-entropy of items over all users, without the scores of all users at once.

The second task (paper, Eq. 8) sees an item's user as its class among all U users:

    l_b = log sum_j exp(x_b . u_j) - x_b . u_y(b)

with item vectors x [B, E], user vectors u [U, E] and the user y(b) who interacted with
item b. Every model here scores by one inner product, so this is all it takes.

`user_cross_entropy` is exact. It goes over the users in chunks and computes the scores
a second time for the gradient, which holds B x chunk numbers where the plain form
holds B x U several times. `sampled_cross_entropy` is an estimate from a few users.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax

# Users at a time: at 256 items their scores still fit a processor's cache.
CHUNK = 2048


def user_cross_entropy(
    item_vectors: jax.Array,
    user_vectors: jax.Array,
    users: jax.Array,
    *,
    others: jax.Array | None = None,
    chunk: int = CHUNK,
) -> jax.Array:
    """l_b of every item, exact; gradients to both kinds of vectors.

    Source: paper, Eq. 8; as printed, an item's other users stay in the denominator.

    Args:
      item_vectors: [B, E].
      user_vectors: [U, E], of all users.
      users: int [B], who interacted with the item, 0 to U - 1.
      others: int [B, X], users that each item's denominator leaves out, such as the
        other users who interacted with it; filled up with -1. The item's own user
        always counts. None leaves out nobody.
      chunk: users at a time.

    Returns:
      [B], float32 at least.
    """
    if others is None:
        others = jnp.zeros((len(users), 0), jnp.int32)
    arrays = map(jnp.asarray, (item_vectors, user_vectors, users, others))
    chunk = min(chunk, len(user_vectors))
    return _cross_entropy(chunk, *arrays)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _cross_entropy(chunk, item_vectors, user_vectors, users, others):
    return _sum_chunks(chunk, item_vectors, user_vectors, users, others)[0]


def _sum_chunks(chunk, item_vectors, user_vectors, users, others):
    wide = jnp.promote_types(item_vectors.dtype, jnp.float32)

    def step(k, carry):
        highest, total = carry  # [B]: sum of exp(score - highest) so far
        start, fresh = _place(k, chunk, len(user_vectors))
        scores = _score(item_vectors, user_vectors, start, chunk, wide)
        scores = _leave_out(scores, start, users, others)
        scores = jnp.where(fresh[None], scores, -jnp.inf)
        higher = jnp.maximum(highest, scores.max(1))
        # A chunk, and all before it, may be left out altogether: -inf - -inf is NaN.
        finite = jnp.where(jnp.isfinite(higher), higher, 0)
        part = jnp.exp(scores - finite[:, None]).sum(1)
        return higher, total * jnp.exp(highest - finite) + part

    rows = len(item_vectors)
    start = jnp.full(rows, -jnp.inf, wide), jnp.zeros(rows, wide)
    highest, total = lax.fori_loop(0, _count(chunk, len(user_vectors)), step, start)
    log_sum = highest + jnp.log(total)  # [B]
    positive = jnp.einsum(
        "be,be->b", item_vectors, user_vectors[users], preferred_element_type=wide
    )
    return log_sum - positive, (item_vectors, user_vectors, users, others, log_sum)


def _cross_entropy_gradient(chunk, saved, cotangent):
    """dx_b = g_b (sum_j p_bj u_j - u_y), du_j = sum_b g_b (p_bj - [j = y_b]) x_b."""
    item_vectors, user_vectors, users, others, log_sum = saved

    def step(k, carry):
        by_item, by_user = carry
        start, fresh = _place(k, chunk, len(user_vectors))
        scores = _score(item_vectors, user_vectors, start, chunk, log_sum.dtype)
        scores = _leave_out(scores, start, users, others)
        slope = jnp.exp(scores - log_sum[:, None])  # [B, chunk]
        columns = start + jnp.arange(chunk)
        slope = slope - (columns[None] == users[:, None])
        slope = slope * cotangent[:, None]
        # The last chunk goes back over users of the one before: their gradient is
        # written again as it was, but counts only once for the items.
        once = jnp.where(fresh[None], slope, 0).astype(user_vectors.dtype)
        part = lax.dynamic_slice_in_dim(user_vectors, start, chunk)  # [chunk, E]
        by_item = by_item + jnp.dot(once, part, preferred_element_type=log_sum.dtype)
        slope = slope.astype(item_vectors.dtype)
        part = jnp.dot(slope.T, item_vectors, preferred_element_type=log_sum.dtype)
        part = part.astype(user_vectors.dtype)
        return by_item, lax.dynamic_update_slice_in_dim(by_user, part, start, 0)

    start = jnp.zeros(item_vectors.shape, log_sum.dtype), jnp.zeros_like(user_vectors)
    by_item, by_user = lax.fori_loop(0, _count(chunk, len(user_vectors)), step, start)
    return by_item.astype(item_vectors.dtype), by_user, None, None


_cross_entropy.defvjp(_sum_chunks, _cross_entropy_gradient)


def _count(chunk, users):
    return -(-users // chunk)


def _place(k, chunk, users):
    """First user of chunk k, and which of its users no chunk before had: bool [chunk].

    The last chunk is moved back so that it ends with the last user: no copy of the
    users, filled up, is needed.
    """
    start = jnp.minimum(k * chunk, users - chunk)
    return start, start + jnp.arange(chunk) >= k * chunk


def _score(item_vectors, user_vectors, start, chunk, wide):
    part = lax.dynamic_slice_in_dim(user_vectors, start, chunk)  # [chunk, E]
    return jnp.dot(item_vectors, part.T, preferred_element_type=wide)  # [B, chunk]


def _leave_out(scores, start, users, others):
    """Scores [B, chunk] with -inf at the `others` of each item."""
    rows, chunk = scores.shape
    if not others.shape[1]:
        return scores
    columns = others - start  # [B, X]
    out = (others == users[:, None]) | (columns < 0)
    columns = jnp.where(out, chunk, columns)  # past the end: dropped
    return scores.at[jnp.arange(rows)[:, None], columns].set(-jnp.inf, mode="drop")


def sampled_cross_entropy(
    item_vectors: jax.Array,
    own_vectors: jax.Array,
    sampled_vectors: jax.Array,
    log_probabilities: jax.Array,
    *,
    left_out: jax.Array | None = None,
) -> jax.Array:
    """An estimate of l_b from S users drawn with replacement, shared by all items.

    With q_s the probability of drawing user s at one draw:

        l_b = log(exp(z_by) + sum over s != y of exp(z_bs) / (S q_s)) - z_by

    The sum inside the logarithm has the expectation of Eq. 8's; l_b itself is too low
    on average. An item's own user among the drawn ones must be left out, for its part
    of the sum is exact already.

    Source: Bengio and Senecal, "Adaptive Importance Sampling to Accelerate Training of
    a Neural Probabilistic Language Model", 2008: weights 1 / q ("logQ correction").

    Args:
      item_vectors: [B, E].
      own_vectors: [B, E], of the user who interacted with each item.
      sampled_vectors: [S, E], of the drawn users.
      log_probabilities: [S] log q_s.
      left_out: bool [B, S], drawn users that do not count for an item: its own user,
        and where wanted the other ones who interacted with it.

    Returns:
      [B], float32 at least.
    """
    wide = jnp.promote_types(item_vectors.dtype, jnp.float32)
    positive = jnp.einsum(
        "be,be->b", item_vectors, own_vectors, preferred_element_type=wide
    )
    scores = jnp.dot(item_vectors, sampled_vectors.T, preferred_element_type=wide)
    correction = jnp.log(jnp.asarray(len(sampled_vectors), wide)) + log_probabilities
    scores = scores - correction[None].astype(wide)  # [B, S]
    if left_out is not None:
        scores = jnp.where(left_out, -jnp.inf, scores)
    both = jnp.concatenate([positive[:, None], scores], axis=1)  # [B, 1 + S]
    return jax.nn.logsumexp(both, axis=1) - positive
