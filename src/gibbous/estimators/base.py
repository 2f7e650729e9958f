"""Conditional density estimators q(a | b), a in R^dim, b in R^cond_dim.

An estimator knows no prior and no simulator: posterior methods use it as q(z | e(x)), likelihood
methods as q(x | z). Like an embedding it is given as a recipe and built when dimensions are known.
"""

from abc import abstractmethod
from typing import NamedTuple

import equinox as eqx
from jaxtyping import Array, Float

from gibbous._types import Key
from gibbous.recipe import AbstractRecipe


class Moment(NamedTuple):
    """When a loss is evaluated: its randomness, the share of training done, False in validation."""

    key: Key
    progress: Float[Array, ""]
    training: bool


class AbstractDensity(eqx.Module):
    """A built estimator: weights included. Unbatched."""

    @property
    @abstractmethod
    def tractable(self) -> bool:
        """`log_prob` can be evaluated; all can be sampled."""

    @abstractmethod
    def log_prob(self, a: Float[Array, " dim"], b: Float[Array, " cond"]) -> Float[Array, ""]:
        """Log density of a given b."""

    @abstractmethod
    def loss(
        self, a: Float[Array, " dim"], b: Float[Array, " cond"], moment: Moment
    ) -> Float[Array, ""]:
        """What training minimises: minus the log density, where there is nothing better."""

    @abstractmethod
    def sample(self, key: Key, b: Float[Array, " cond"], n: int) -> Float[Array, "draws dim"]:
        """n draws given b."""


class AbstractStepwise(AbstractDensity):
    """A density that is drawn from in steps, of a number that may be changed after training."""

    @abstractmethod
    def with_steps(self, steps: int | None) -> "AbstractStepwise":
        """The same with another number of steps.

        Raises:
            ConfigError: if it cannot be drawn from in as many.
        """


class AbstractEstimated(AbstractDensity):
    """A density whose `log_prob` may be an estimate, with an error."""

    @property
    @abstractmethod
    def estimated(self) -> bool:
        """It is one here."""

    @abstractmethod
    def log_prob_error(self, a: Float[Array, " dim"], b: Float[Array, " cond"]) -> Float[Array, ""]:
        """Standard error of `log_prob`, where it is estimated."""


class AbstractEstimator(AbstractRecipe):
    """A recipe for a conditional density."""

    @abstractmethod
    def build(
        self, key: Key, a: Float[Array, "rows dim"], b: Float[Array, "rows cond"]
    ) -> AbstractDensity:
        """Make the density of a given b; it may begin at what these pairs tell."""
