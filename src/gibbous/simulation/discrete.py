"""Data on a lattice, such as counts, made continuous, so that they have a density.

    y = x + h u,      u ~ Uniform(-1/2, 1/2),
    P(x | theta) = int_{x - h/2}^{x + h/2} p(y | theta) dy  ~  h p(y = x | theta),

h the spacing of the values of a feature (dequantisation: Uria et al. 2013, arXiv 1306.0186; Theis
et al. 2016, arXiv 1511.01844). What is learnt is the density of y; observations stay as they are.
As h does not depend on theta, neither posterior nor ratios of evidences notice it.

Shapes: x [rows, *event_shape], h [features], the last axis of x.
"""

import jax
import numpy as np
from jaxtyping import Array, Float

from gibbous._types import Key
from gibbous.errors import ShapeError
from gibbous.simulation.simulations import Simulations

_LOOK = 20_000  # values of each feature looked at
_COMMON = 0.05  # share of them that may be of one value
_EXACT = 0.02  # how far from a lattice its values may lie, in units of h
_LARGEST = 2.0**24  # beyond it float32 holds no fractions
_FINE = 1e-6  # an h below this share of the range is as good as none, and none that float32 holds


def spacing(columns: Float[np.ndarray, "rows features"]) -> Float[np.ndarray, " features"]:
    """h of every feature; 0 of those that are continuous.

    Raises:
        ShapeError: if one value makes up more than 5% of a feature that is on no lattice.
    """
    found = np.zeros(columns.shape[1], np.float32)
    for i, column in enumerate(columns[:_LOOK].T):
        values, counts = np.unique(column.astype(np.float64), return_counts=True)
        found[i] = _lattice(values)
        share, most = counts.max() / len(column), values[counts.argmax()]
        if not found[i] and share > _COMMON and counts.max() > 1:
            raise ShapeError(
                f"{share:.0%} of the simulated x[..., {i}] equal {most:g}, and the others are on "
                "no lattice: data that are constant or piled up have no density, which gb.NLE "
                "learns. gb.NRE takes them; or leave the feature out"
            )
    return found


def _lattice(values: np.ndarray) -> float:
    """The spacing of the lattice that these sorted values lie on; 0 if there is none."""
    whole = bool((values == np.round(values)).all() and np.abs(values).max() < _LARGEST)
    if len(values) == 1:
        return float(whole)  # a count that was the same in all simulations
    gaps = np.diff(values)
    h = float(np.gcd.reduce(gaps.astype(np.int64)) if whole else gaps.min())
    places = (values - values[0]) / h
    on_it = np.abs(places - np.round(places)).max() < _EXACT
    return h if on_it and h > _FINE * (values[-1] - values[0]) else 0.0


def blur(key: Key, x: Float[Array, "*shape"], h: Float[Array | np.ndarray, " features"]) -> Array:
    """y of each x."""
    return x + h * jax.random.uniform(key, x.shape, minval=-0.5, maxval=0.5)


def blurred(key: Key, sims: Simulations, h: Float[np.ndarray, " features"]) -> Simulations:
    """The same simulations with y in the place of x."""
    if not h.any():
        return sims
    # By NumPy: JAX would compile anew for every number of rows.
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    x = sims.x + h * rng.uniform(-0.5, 0.5, sims.x.shape).astype(np.float32)
    return Simulations(sims.theta, x, round=sims.round, sizes=sims.sizes)
