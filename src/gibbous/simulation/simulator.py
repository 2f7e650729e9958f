"""A simulator: one parameter draw in, one dataset out.

    x ~ p(x | theta),      written as  f(key, theta)  in JAX  or  f(rng, theta)  in any Python.

`theta` is a dict from parameter name to value. The function is written for one draw; gibbous
vectorises it (`vmap` and `jit` for JAX, a pool of processes for Python).

A set of points [n, d] may be of any size. Python returns it as it is; JAX, where shapes are fixed,
returns (x, mask) with room for the largest: x [n, d], and mask [n], 1 where a point counts.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, overload

import jax.numpy as jnp
from jaxtyping import Array

from gibbous._types import Key
from gibbous.errors import ConfigError

Backend: TypeAlias = Literal["jax", "numpy"]


@dataclass(frozen=True, eq=False)
class Simulator:
    """A function from one parameter draw to one dataset, and how to run it. Call it like one."""

    function: Callable[[Any, dict[str, Any]], Any]
    backend: Backend = "jax"

    def __call__(self, source: Any, theta: dict[str, Any]) -> Any:
        """One dataset, from a JAX key (backend "jax") or a NumPy Generator (backend "numpy")."""
        return self.function(source, theta)

    def dataset(self, key: Key, theta: dict[str, Any]) -> tuple[Array, Array | None]:
        """x in float32 and its mask, of a JAX simulator; points that count come first, the others
        are NaN."""
        out = self.function(key, theta)
        if not isinstance(out, tuple):
            return jnp.asarray(out, jnp.float32), None
        x, mask = jnp.asarray(out[0], jnp.float32), jnp.asarray(out[1]) > 0
        order = jnp.argsort(~mask)  # stable
        mask = mask[order]
        return jnp.where(mask[:, None], x[order], jnp.nan), mask.astype(jnp.float32)


@overload
def simulator(function: Callable[[Any, Any], Any]) -> Simulator: ...


@overload
def simulator(*, backend: Backend = "jax") -> Callable[[Callable[[Any, Any], Any]], Simulator]: ...


def simulator(
    function: Callable[[Any, Any], Any] | None = None, *, backend: Backend = "jax"
) -> Any:
    """Mark a function as a simulator.

    ```python
    @gb.simulator
    def jax_one(key, theta):
        return theta["mean"] + jax.random.normal(key, (10,))

    @gb.simulator(backend="numpy")
    def any_python(rng, theta):
        return rng.normal(theta["mean"], size=10)

    @gb.simulator
    def a_set_of_some_points(key, theta):
        points = theta["mean"] + jax.random.normal(key, (100, 1))
        return points, jnp.arange(100) < jax.random.randint(key, (), 1, 101)
    ```

    Raises:
        ConfigError: on an unknown backend or something that is not callable.
    """
    if backend not in ("jax", "numpy"):
        raise ConfigError(f'expected backend "jax" or "numpy", got {backend!r}')
    if function is None:
        return lambda f: simulator_of(f, backend)
    return simulator_of(function, backend)


def simulator_of(function: object, backend: Backend = "jax") -> Simulator:
    """A `Simulator` from a function, or the simulator itself.

    Raises:
        ConfigError: if it cannot be called.
    """
    if isinstance(function, Simulator):
        return function
    if not callable(function):
        raise ConfigError(
            f"expected a simulator, a function (key, theta) -> dataset, got {function!r}"
        )
    return Simulator(function, backend)
