"""Conditional density estimators q(a | b), a in R^dim, b in R^cond_dim.

An estimator knows no prior and no simulator: posterior methods use it as q(z | e(x)), likelihood
methods as q(x | z). Like an embedding it is given as a recipe and built when dimensions are known.
"""

from abc import abstractmethod

import equinox as eqx
from jaxtyping import Array, Float

from gibbous._types import Key


class AbstractDensity(eqx.Module):
    """A built estimator: weights included. Unbatched."""

    @abstractmethod
    def log_prob(self, a: Float[Array, " dim"], b: Float[Array, " cond"]) -> Float[Array, ""]:
        """Log density of a given b."""

    @abstractmethod
    def sample(self, key: Key, b: Float[Array, " cond"]) -> Float[Array, " dim"]:
        """One draw given b."""


class AbstractEstimator(eqx.Module):
    """A recipe for a conditional density."""

    @abstractmethod
    def build(self, key: Key, dim: int, cond_dim: int) -> AbstractDensity:
        """Make the density for a in R^dim given b in R^cond_dim."""
