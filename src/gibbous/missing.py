"""What of a dataset is observed: drawn afresh for each row at every step of training.

    (theta, x) ~ p(theta, x),    m ~ p(m),    loss(z, m o x)

A network trained on m o x gives the posterior of whatever part of a dataset was observed, whether
points of a set are left out (`Subsets`) or entries of anything (`Missing`, `MissingAs`, or any
`AbstractMissing` of the user's own). It is right where m does not depend on the values that are
missing: they are missing completely at random (Rubin 1976, Biometrika 63). A missing entry is NaN.

Shapes: x [*event_shape]; of sets [n, d].
"""

from abc import abstractmethod
from typing import Any, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from gibbous._types import Key
from gibbous.errors import ConfigError, ShapeError
from gibbous.recipe import AbstractRecipe

Pattern: TypeAlias = bool | tuple["Pattern", ...]


class AbstractMissing(AbstractRecipe):
    """A distribution of which entries of a dataset are present."""

    @abstractmethod
    def present(self, key: Key, shape: tuple[int, ...]) -> Bool[Array, "*event"]:
        """Which entries of one dataset of this shape are present.

        Raises:
            ShapeError: if it is for datasets of another shape.
        """


class Missing(AbstractMissing):
    """Each entry is missing with a probability that is drawn for each dataset.

    Args:
        least, most: the probability is uniform between them.

    Raises:
        ConfigError: unless 0 <= least <= most < 1.
    """

    least: int | float = 0.0
    most: int | float = 0.5

    def __check_init__(self):
        if not 0 <= self.least <= self.most < 1:
            raise ConfigError(
                f"expected probabilities 0 <= least <= most < 1, got {self.least} and {self.most}"
            )

    def present(self, key: Key, shape: tuple[int, ...]) -> Bool[Array, "*event"]:
        """Bernoulli for each entry."""
        key_share, key_entry = jax.random.split(key)
        share = jax.random.uniform(key_share, minval=self.least, maxval=self.most)
        return jax.random.uniform(key_entry, shape) >= share


class MissingAs(AbstractMissing):
    """What is missing in an observation is missing in every dataset.

    Args:
        pattern: an observation [*event_shape] with NaN where it is missing.

    Raises:
        ConfigError: if nothing is present.
    """

    pattern: Pattern = eqx.field(converter=lambda x: _pattern(x), static=True)

    def __check_init__(self):
        if not np.any(np.array(self.pattern)):
            raise ConfigError("expected an observation with some entry present, got none")

    def present(self, key: Key, shape: tuple[int, ...]) -> Bool[Array, "*event"]:
        """The pattern."""
        pattern = np.array(self.pattern)
        if pattern.shape != shape:
            raise ShapeError(
                f"what is missing was read off an observation of shape {pattern.shape}; datasets "
                f"have {shape}"
            )
        return jnp.asarray(pattern)


class Subsets(AbstractRecipe):
    """Sets of fewer points: some of a set, chosen at random, as many sizes in each octave.

    Args:
        least: points at least, or, below 1, their share of the points of the set.

    Raises:
        ConfigError: if it is not positive.
    """

    least: int | float = 0.5

    def __check_init__(self):
        if not self.least > 0:
            raise ConfigError(f"expected a positive number or share of points, got {self.least}")

    def size(self, u: Any, n: Any) -> Any:
        """Points that are left of n, at quantile u of their distribution: log uniform."""
        low = jnp.clip(self.least if self.least >= 1 else self.least * n, 1, jnp.maximum(n, 1))
        return jnp.clip(jnp.floor(low * ((n + 1) / low) ** u), jnp.minimum(n, 1), n)


class Forgotten(AbstractMissing):
    """What a file knows of a distribution of the user's own: that there was one."""

    def present(self, key: Key, shape: tuple[int, ...]) -> Bool[Array, "*event"]:
        """Not known.

        Raises:
            ConfigError: always.
        """
        raise ConfigError(
            "which entries are missing was drawn by a class of your own when this posterior was "
            "fitted, and that is not in its file: dataclasses.replace(posterior, missing=...)"
        )


MISSING = {"Missing": Missing, "MissingAs": MissingAs, "Subsets": Subsets}


def hide(key: Key, missing: AbstractMissing, x: Float[Array, "B ..."]) -> Float[Array, "B ..."]:
    """x with NaN where entries are missing."""
    keys = jax.random.split(key, len(x))
    present = jax.vmap(lambda k: missing.present(k, x.shape[1:]))(keys)
    return jnp.where(present, x, jnp.nan)


def _pattern(x: Any) -> Pattern:
    """Which entries are present, as nested tuples, which compare and travel as JSON."""
    array = np.asarray(x)
    array = array if array.dtype == bool else np.isfinite(array)
    return _nested(array.tolist())


def _nested(value: Any) -> Pattern:
    return tuple(_nested(v) for v in value) if isinstance(value, list) else bool(value)
