"""Which embedding a method takes where the user leaves it open."""

from jaxtyping import Array, Float

from gibbous.errors import ConfigError
from gibbous.nets.base import AbstractEmbedding, Embedding
from gibbous.nets.indicators import Indicators
from gibbous.nets.mlp import MLP, Identity


def choose_embedding(
    recipe: AbstractEmbedding | Embedding | None, x: Float[Array, "rows ..."], missing: bool = False
) -> AbstractEmbedding | Embedding:
    """The recipe, told which entries are `missing` if it needs to be; where none was given, vectors
    as they are, and `MLP` where entries are missing.

    Raises:
        ConfigError: if none was given and the datasets are no vectors.
    """
    if recipe is None and x.ndim != 2:
        raise ConfigError(
            f"a dataset has shape {x.shape[1:]}: say how to embed it, for a set of points [n, d] "
            "by embedding=gb.DeepSet()"
        )
    if recipe is None:
        recipe = MLP() if missing else Identity()
    if missing and isinstance(recipe, AbstractEmbedding) and not recipe.takes_missing:
        return Indicators(recipe)
    return recipe
