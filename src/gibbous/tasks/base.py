"""A task: a prior, a simulator, and the exact posterior where mathematics gives one.

`task.exact(x)` conditions on one observation x and returns p(theta | x), to sample and to evaluate
in the user's own parameters: the yardstick that learned posteriors are held against.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Array, ArrayLike, Float

from gibbous.errors import ConfigError, ObservationError, ParameterError, ShapeError
from gibbous.prior import Prior
from gibbous.simulation.simulator import Simulator


@runtime_checkable
class ExactPosterior(Protocol):
    """p(theta | x) for one observation x, in float64 NumPy."""

    def sample(self, n: int, seed: int) -> dict[str, np.ndarray]:
        """Draw `n` independent parameters: arrays by name, leading axis n."""
        ...

    def log_prob(self, theta: Mapping[str, ArrayLike]) -> np.ndarray:
        """Normalised log density in nats, -inf outside the support; one value a row of `theta`.

        A scalar parameter may be a scalar or have one leading axis; a vector parameter keeps its
        own axis last.
        """
        ...


@dataclass(frozen=True)
class Task:
    """A named problem.

    exact: gives the exact posterior of one observation; log_likelihood: log p(x | theta) in nats
    of one dataset and one theta, up to what does not depend on theta. None where not known.
    """

    name: str
    prior: Prior
    simulator: Simulator
    exact: Callable[[np.ndarray], ExactPosterior] | None = None
    log_likelihood: Callable[[Array, Mapping[str, Array]], Float[Array, ""]] | None = None


def observation(x: ArrayLike, shape: tuple[int | None, ...]) -> Float[np.ndarray, "..."]:
    """One observation in float64, checked against `shape` (None: any length above zero).

    Raises:
        ObservationError: for another shape, or values that are not finite.
    """
    y = np.asarray(x, dtype=np.float64)
    fits = y.ndim == len(shape) and all(
        have > 0 and want in (None, have) for have, want in zip(y.shape, shape, strict=True)
    )
    if not fits:
        wanted = str(shape).replace("None", "n")
        raise ObservationError(
            f"expected one observation of shape {wanted}, got shape {y.shape}; "
            "pass a single dataset"
        )
    if not np.isfinite(y).all():
        raise ObservationError(
            f"expected finite values, got {np.sum(~np.isfinite(y))} NaN or infinite ones of "
            f"{y.size}; drop or repair them first"
        )
    return y


def parameter(
    theta: Mapping[str, ArrayLike], name: str, shape: tuple[int, ...] = ()
) -> Float[np.ndarray, "..."]:
    """The parameter `name` in float64, its own `shape` last.

    Raises:
        ParameterError: if `theta` lacks it.
        ShapeError: if its last axes are not `shape`.
    """
    if name not in theta:
        raise ParameterError(
            f"expected a parameter named {name!r}, got {sorted(theta)}; add it to theta"
        )
    value = np.asarray(theta[name], dtype=np.float64)
    if shape and value.shape[-len(shape) :] != shape:
        raise ShapeError(
            f"expected {name!r} of shape {shape} after any batch axes, got {value.shape}; "
            "keep the parameter's own axis last"
        )
    return value


def positive(value: int, name: str) -> int:
    """`value` itself.

    Raises:
        ConfigError: if it is below one.
    """
    if value < 1:
        raise ConfigError(f"expected {name} of at least 1, got {value}")
    return value
