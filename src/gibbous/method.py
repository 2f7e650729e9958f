"""A method is a value with three pure functions; the loop, spaces and samplers belong to others.

    init(key, spec)            -> model             weights for data like those in `spec`
    loss(model, batch, ctx)    -> [B]               minimised in the mean by the one training loop
    posterior(model, latent)   -> AbstractPosterior over z

Where parameters are learnt, `batch.z` is unconstrained and standardised, so that no method can leak
mass outside the prior; where the network is given them, it sees bounded ones between their bounds.
What a method asks of the problem it says in properties, so that `gb.fit` can check beforehand, and
choose how long to train.
"""

from abc import abstractmethod
from typing import Any, NamedTuple, TypeAlias

from jaxtyping import Array, Float

from gibbous._types import Key
from gibbous.estimators.base import Moment
from gibbous.latent import Latent
from gibbous.posteriors.base import AbstractPosterior
from gibbous.recipe import AbstractRecipe
from gibbous.simulation.sources import Batch

Model: TypeAlias = Any  # any tree of arrays and functions; its arrays are what is trained
FEW = 5_000  # stored simulations to train on: fewer are few


class Spec(NamedTuple):
    """What a method may know of a problem when it builds its networks.

    pilot: some rows to begin from (shapes are theirs, and networks may standardise on them); few:
    there are so few simulations to train on (`FEW`) that a single network overfits them; latent:
    the space of z, with the prior in it; missing: entries of x may be NaN; lattice: all of x was on
    one, as counts are, and is spread over its cells.
    """

    pilot: Batch
    few: bool
    latent: Latent
    missing: bool = False
    lattice: bool = False


class Ctx(NamedTuple):
    """What a loss may depend on besides the batch.

    key: randomness for this step; step: its number, an int32 scalar; total_steps: how many there
    will be, likewise; ema: the model with exponentially averaged weights; training: False in
    validation.
    """

    key: Key
    step: Array
    total_steps: Array
    ema: Model
    training: bool

    def moment(self, key: Key) -> Moment:
        """What a density's loss needs of it, with the randomness of one row."""
        return Moment(key, self.step / self.total_steps, self.training)


class Pace(NamedTuple):
    """What `FitConfig` takes from a method; the values are those of densities by direct fit.

    passes: over the stored simulations; least: steps at least; learning_rate: its peak; warmup: the
    share of the steps in which it climbs there; weight_decay: of AdamW. Losses that add noise of
    their own to every row show another side of it at each pass, and bear more of them.
    """

    passes: int = 70
    least: int = 1_500
    learning_rate: float = 5e-3
    warmup: float = 0.05
    weight_decay: float = 1e-4


class AbstractMethod(AbstractRecipe):
    """The contract of every method; `tests/contract` holds the laws that each one passes."""

    @property
    @abstractmethod
    def learns_posterior(self) -> bool:
        """It learns a density of the parameters, which must then be continuous.

        Otherwise a likelihood or a ratio, with which the prior's density is needed when sampling.
        """

    @property
    @abstractmethod
    def learns_data(self) -> bool:
        """It learns a density of the data, which must then be continuous."""

    @property
    @abstractmethod
    def any_proposal(self) -> bool:
        """It is right wherever its parameters were drawn from, and not from the prior only."""

    @property
    @abstractmethod
    def takes_sets(self) -> bool:
        """It sees a dataset as a set of any number of points, in any order."""

    @property
    def embedding_rate(self) -> float:
        """Peak of the learning rate where an embedding is learnt: less for one of sets, which the
        parameters are known from so well that larger steps blur them (docs/recipe.md)."""
        return 2e-3 if self.takes_sets else 5e-3

    @abstractmethod
    def pace(self, dim: int, n_train: int) -> Pace:
        """How it is best trained on so many stored simulations of `dim` parameters, where
        `FitConfig` leaves it open."""

    @abstractmethod
    def init(self, key: Key, spec: Spec) -> Model:
        """Make a model with fresh weights.

        Raises:
            ShapeError: if the embedding does not fit the datasets.
        """

    @abstractmethod
    def loss(self, model: Model, batch: Batch, ctx: Ctx) -> Float[Array, " batch"]:
        """Loss of each row."""

    @abstractmethod
    def posterior(self, model: Model, latent: Latent) -> AbstractPosterior:
        """The posterior that a trained model stands for; z is that of `latent`."""
