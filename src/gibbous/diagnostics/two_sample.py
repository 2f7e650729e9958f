"""Are two samples draws of one distribution? Three numbers for X and Y, [n, d] each.

C2ST, the accuracy of a classifier that tells X from Y (Lopez-Paz & Oquab 2017, arXiv 1610.06545):
1/2 where it cannot, 1 where they are apart. The recipe is that of Lueckmann et al. 2021 (arXiv
2101.04653): standardise both by X; a perceptron with two hidden layers of 10 d rectified units;
mean over five folds. Theirs trains at a rate of 1e-3 until the loss no longer falls, which takes up
to some 300 epochs; ours for 60 at rates that fall from 1e-2, the squared gradients of Adam
being averaged over 20 steps, which comes to the same accuracy (docs/recipe.md). All folds, and all
pairs of samples, train side by side in one compiled loop.

MMD^2 = E k(x, x') + E k(y, y') - 2 E k(x, y),    k(x, y) = exp(-|x - y|^2 / (2 h^2)),
h the median distance between draws of X, without bias (Gretton et al. 2012, JMLR 13, 723-773): 0 on
average where they agree, and then as often below as above.

SW = (E_u W_2^2(u.X, u.Y))^{1/2},    u uniform on the sphere,
W_2 in one dimension from the sorted values (Bonneel et al. 2015), in the units of the samples.
"""

from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, ArrayLike, Float

from gibbous._types import Key, Seed, as_key
from gibbous.compilation import jit
from gibbous.errors import ShapeError

Weights: TypeAlias = list[tuple[Array, Array]]  # of a layer of each net, and what is added

_FOLDS, _UNITS, _BATCH, _DECAY = 5, 10, 200, 1e-4
_EPOCHS, _RATE, _B2 = 60, 1e-2, 0.95


def c2st(
    reference: Float[ArrayLike, "*pairs n d"], sample: Float[ArrayLike, "..."], *, seed: Seed
) -> Float[np.ndarray, "*pairs"]:
    """Accuracy between 1/2 and 1, with a standard error of about sqrt(1 / (8 n)) at 1/2.

    Raises:
        ShapeError: unless both are of one shape, with at least 100 draws.
    """
    x, y = _pair(reference, sample)
    lead, (n, d) = x.shape[:-2], x.shape[-2:]
    if n < 100:
        raise ShapeError(f"expected at least 100 draws to tell apart, got {n}")
    x, y = x.reshape(-1, n, d), y.reshape(-1, n, d)
    mean, sd = x.mean(axis=1, keepdims=True), x.std(axis=1, keepdims=True)
    scale = np.where(sd > 0, sd, 1.0)  # of a constant coordinate: as it is
    rows = np.concatenate([(x - mean) / scale, (y - mean) / scale], axis=1)
    scores = _accuracy(as_key(seed), jnp.asarray(rows, jnp.float32))
    return np.asarray(scores, float).reshape(lead)


@jit
def _accuracy(key: Key, rows: Float[Array, "pairs m d"]) -> Float[Array, " pairs"]:
    """Mean accuracy over folds; the first half of the m rows is of one class."""
    pairs, m, d = rows.shape
    key_order, key_init, key_run = jax.random.split(key, 3)
    fold = m // _FOLDS  # up to four rows are left out
    order = jax.random.permutation(key_order, m)[: _FOLDS * fold].reshape(_FOLDS, fold)
    others = np.array([[j for j in range(_FOLDS) if j != i] for i in range(_FOLDS)])
    label = jnp.where(jnp.arange(m) < m // 2, -1.0, 1.0)
    labelled = jnp.concatenate([rows, jnp.tile(label[:, None], (pairs, 1, 1))], axis=2)

    def split(index: Array) -> Float[Array, "nets d_and_label n"]:  # rows last: the processor's way
        return labelled[:, index].reshape(pairs * _FOLDS, -1, d + 1).swapaxes(1, 2)

    weights = _train(key_run, _begin(key_init, pairs * _FOLDS, d), split(order[others]))
    held_out = split(order)
    right = _logit(weights, held_out[:, :-1]) * held_out[:, -1] > 0
    return jnp.mean(right.reshape(pairs, -1), axis=1)


def _begin(key: Key, nets: int, d: int) -> Weights:
    sizes, weights = (d, _UNITS * d, _UNITS * d, 1), []
    for k, fan_in, fan_out in zip(jax.random.split(key, 3), sizes, sizes[1:], strict=False):
        bound = (6 / (fan_in + fan_out)) ** 0.5
        both = jax.random.uniform(k, (nets, fan_out, fan_in + 1), minval=-bound, maxval=bound)
        weights.append((both[:, :, :-1], both[:, :, -1:]))
    return weights


def _logit(weights: Weights, x: Float[Array, "nets d n"]) -> Float[Array, "nets n"]:
    for w, b in weights[:-1]:
        x = jax.nn.relu(w @ x + b)
    w, b = weights[-1]
    return (w @ x + b)[:, 0]


def _train(key: Key, weights: Weights, rows: Float[Array, "nets d_and_label n"]) -> Weights:
    n = rows.shape[2]
    size = min(_BATCH, n)
    total = _EPOCHS * n // size
    schedule = optax.warmup_cosine_decay_schedule(0.0, _RATE, total // 20, total)
    adam = optax.adam(schedule, b2=_B2)
    # Rows are in random order: a batch is consecutive ones, from any place on a circle.
    circle = jnp.concatenate([rows, rows[:, :, :size]], axis=2)

    def loss(weights: Weights, batch: Array) -> Array:
        squares = sum(jnp.sum(w**2) for w, _ in weights)
        each = jax.nn.softplus(-batch[:, -1] * _logit(weights, batch[:, :-1]))
        return jnp.sum(jnp.mean(each, axis=1)) + 0.5 * _DECAY / size * squares

    def step(carry: tuple, start: Array) -> tuple[tuple, None]:
        weights, state = carry
        grads = jax.grad(loss)(weights, jax.lax.dynamic_slice_in_dim(circle, start, size, axis=2))
        updates, state = adam.update(grads, state)
        return (optax.apply_updates(weights, updates), state), None

    starts = jax.random.randint(key, (total,), 0, n)
    return jax.lax.scan(step, (weights, adam.init(weights)), starts)[0][0]


def mmd(reference: Float[ArrayLike, "n d"], sample: Float[ArrayLike, "..."]) -> float:
    """Squared maximum mean discrepancy, in no units, for samples of up to some 10,000 draws.

    Raises:
        ShapeError: unless both are of one shape.
    """
    x, y = _pair(reference, sample)
    return float(_mmd(jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32)))


@jit
def _mmd(x: Float[Array, "n d"], y: Float[Array, "n d"]) -> Float[Array, ""]:
    n = len(x)

    def squared(a: Array, b: Array) -> Array:
        return jnp.sum((a[:, None] - b[None]) ** 2, axis=-1)

    some = x[:: max(1, n // 1_000)]
    within = squared(some, some)[jnp.triu_indices(len(some), 1)]
    precision = 1 / jnp.median(within)

    def mean(a: Array, b: Array, apart: bool) -> Array:
        row = jax.lax.map(lambda v: jnp.sum(jnp.exp(-0.5 * precision * squared(v[None], b))), a)
        total = jnp.sum(row) - (n if apart else 0)
        return total / (n * (n - 1 if apart else n))

    return mean(x, x, True) + mean(y, y, True) - 2 * mean(x, y, False)


def sliced_wasserstein(
    reference: Float[ArrayLike, "n d"],
    sample: Float[ArrayLike, "..."],
    *,
    seed: Seed,
    projections: int = 200,
) -> float:
    """Sliced Wasserstein distance of order 2, in the units of the samples.

    Raises:
        ShapeError: unless both are of one shape.
    """
    x, y = _pair(reference, sample)
    u = np.array(jax.random.normal(as_key(seed), (x.shape[1], projections)), float)
    u /= np.linalg.norm(u, axis=0)
    apart = np.sort(x @ u, axis=0) - np.sort(y @ u, axis=0)
    return float(np.mean(apart**2) ** 0.5)


def _pair(reference: ArrayLike, sample: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.asarray(reference, float), np.asarray(sample, float)
    if x.ndim < 2 or x.shape != y.shape:
        raise ShapeError(f"expected two samples [n, d] of one shape, got {x.shape} and {y.shape}")
    return x, y
