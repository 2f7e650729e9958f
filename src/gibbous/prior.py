"""Named priors.

A prior is an ordered product of (possibly conditional) densities

    p(theta) = prod_i p(theta_i | parents(theta_i)),       parents come earlier in the order.

Shapes: theta is a dict of arrays, one per parameter, each with the parameter's own shape; public
methods take and give a leading batch axis on all of them.
"""

import functools
import inspect
import itertools
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, Float

from gibbous import distributions
from gibbous._types import Key, Seed, Theta, as_key
from gibbous.errors import ArtefactError, ParameterError, PriorError, ShapeError

Factor: TypeAlias = dist.Distribution | Callable[..., dist.Distribution]

_PROBES = 256
_MAX_CHOICES = 1024  # values of a discrete parameter that are listed


class Prior:
    """A prior over named parameters.

    ```python
    prior = gb.Prior(
        scale=dist.LogNormal(0.0, 1.0),
        noise=lambda scale: dist.HalfNormal(scale),   # depends on an earlier name
        slopes=dist.Normal(jnp.zeros(3), 1.0),        # vector valued: shape (3,)
    )
    ```

    Args:
        **parameters: for each name a numpyro distribution, or a callable whose argument names are
            earlier parameters and which returns one. A batch shape is read as a vector value.

    Raises:
        PriorError: if a value is neither, a callable asks for a name that is not defined before
            it, or draws or log densities come out non-finite (an improper or impossible prior).
    """

    names: tuple[str, ...]
    shapes: dict[str, tuple[int, ...]]
    factors: dict[str, Factor]
    parents: dict[str, tuple[str, ...]]
    probe: dict[str, Array]

    def __init__(self, **parameters: Factor):
        if not parameters:
            raise PriorError("a prior needs at least one parameter: gb.Prior(a=dist.Normal(0, 1))")
        self.names = tuple(parameters)
        self.factors = dict(parameters)
        self.parents = {
            name: _parents(name, factor, self.names[:i])
            for i, (name, factor) in enumerate(parameters.items())
        }
        self.probe = self._check()  # some draws, to learn shapes and supports from
        self.shapes = {name: value.shape[1:] for name, value in self.probe.items()}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Prior) and self._content == other._content

    def __hash__(self) -> int:
        return hash(self._content)

    @functools.cached_property
    def _content(self) -> tuple[tuple[str, Any], ...]:
        """What makes two priors equal, so that one that is defined again, as in a notebook's cell
        run twice, finds the programs of the first; a callable is equal to itself alone."""
        return tuple(
            (name, self.factors[name] if distributions.is_custom(d) else json.dumps(d))
            for name, d in self.describe().items()
        )

    def __repr__(self) -> str:
        inner = ", ".join(
            f"{n}={'lambda ' + ', '.join(self.parents[n]) if self.parents[n] else type(f).__name__}"
            for n, f in self.factors.items()
        )
        return f"Prior({inner})"

    @property
    def dim(self) -> int:
        """Number of scalars in one draw."""
        return len(self.labels())

    @property
    def first(self) -> dict[str, Array]:
        """One draw."""
        return {name: value[0] for name, value in self.probe.items()}

    @functools.cached_property
    def choices(self) -> dict[str, np.ndarray | None]:
        """All values [K, *shape] of each discrete parameter; None where they are too many."""
        with jax.ensure_compile_time_eval():  # may first be asked for in a compiled function
            return {
                name: _choices(self, name)
                for name in self.names
                if support(self.distribution(name, self.first)).is_discrete
            }

    def labels(self, names: Iterable[str] | None = None) -> tuple[str, ...]:
        """One label per scalar: `fraction`, or `slopes[0]`, `slopes[1]`, ... for vectors."""
        return tuple(
            label
            for name in (self.names if names is None else names)
            for label in _labels(name, self.shapes[name])
        )

    def sample(self, seed: Seed, n: int | None = None) -> dict[str, Array]:
        """Draw from the prior: a dict of arrays [n, *shape], or of single values if n is None."""
        key = as_key(seed)
        if n is None:
            drawn = _sample(self, key[None])
            return {name: drawn[name][0] for name in self.names}
        drawn = _sample(self, jax.random.split(key, n))
        return {name: drawn[name] for name in self.names}  # jit gives a dict back sorted

    def complete(self, seed: Seed, theta: Theta) -> dict[str, Array]:
        """Draw the parameters that `theta` lacks, given those that it has: arrays [n, *shape].

        It is a draw of the prior given `theta` only if what `theta` has does not depend on what it
        lacks.
        """
        n = len(next(iter(theta.values())))  # pyright: ignore[reportArgumentType]
        given = {name: jnp.asarray(v) for name, v in theta.items()}
        drawn = _sample(self, jax.random.split(as_key(seed), n), given)
        return {name: drawn[name] for name in self.names}

    def log_prob(self, theta: Theta | Array | np.ndarray) -> Float[Array, "*batch"]:
        """Log density in the user's parameters; -inf outside the support.

        Args:
            theta: a dict of arrays [*batch, *shape], or one array [*batch, dim] in `names` order.
        """
        values, batch = self.parse(theta)
        flat = {n: v.reshape(-1, *self.shapes[n]) for n, v in values.items()}
        return log_density(self, self.names, flat).reshape(batch)

    def parse(
        self, theta: Theta | Array | np.ndarray, names: tuple[str, ...] | None = None
    ) -> tuple[dict[str, np.ndarray], tuple[int, ...]]:
        """Check `theta` against `names`; return it as a dict of arrays, and its batch shape.

        Raises:
            ParameterError: on a missing or an unknown name.
            ShapeError: on shapes that do not fit the parameters.
        """
        names = self.names if names is None else names
        if not isinstance(theta, dict) and not hasattr(theta, "keys"):
            theta = self.split(jnp.asarray(theta), names)
        unknown, missing = set(theta) - set(names), set(names) - set(theta)
        if unknown or missing:
            raise ParameterError(
                f"expected the parameters {list(names)}"
                + (f", got the unknown {sorted(unknown)}" if unknown else "")
                + (f", lacking {sorted(missing)}" if missing else "")
            )
        values = {n: np.asarray(theta[n], dtype=np.float32) for n in names}
        batch = {}
        for n, v in values.items():
            k = v.ndim - len(self.shapes[n])
            if k < 0 or v.shape[k:] != self.shapes[n]:
                raise ShapeError(
                    f"expected {n!r} with trailing shape {self.shapes[n]}, got shape {v.shape}"
                )
            batch[n] = v.shape[:k]
        try:
            common = np.broadcast_shapes(*batch.values())
        except ValueError:
            raise ShapeError(f"parameters disagree on their batch shapes: {batch}") from None
        return (
            {n: np.broadcast_to(v, common + self.shapes[n]) for n, v in values.items()},
            common,
        )

    def split(self, values: Array, names: tuple[str, ...] | None = None) -> dict[str, Array]:
        """Cut an array [*batch, dim] in `names` order into a dict of arrays [*batch, *shape]."""
        names = self.names if names is None else names
        sizes = [int(np.prod(self.shapes[n])) for n in names]
        if values.ndim == 0 or values.shape[-1] != sum(sizes):
            raise ShapeError(
                f"expected an array with last axis {sum(sizes)} for {list(names)}, "
                f"got shape {values.shape}"
            )
        parts = jnp.split(values, np.cumsum(sizes)[:-1], axis=-1)
        return {
            n: p.reshape(*values.shape[:-1], *self.shapes[n])
            for n, p in zip(names, parts, strict=True)
        }

    def distribution(self, name: str, theta: Theta) -> dist.Distribution:
        """The distribution of `name` given its parents in `theta` (unbatched)."""
        factor = self.factors[name]
        if not isinstance(factor, dist.Distribution):
            factor = factor(**{p: theta[p] for p in self.parents[name]})
        return factor.to_event(len(factor.batch_shape))  # a batch shape is a vector value

    def describe(self) -> dict[str, Any]:
        """As JSON, "custom" for each parameter that is a callable or no plain distribution."""
        return {name: distributions.describe(factor) for name, factor in self.factors.items()}

    @property
    def custom(self) -> list[str]:
        """Parameters that do not travel with a file: callables, and what is no plain numpyro."""
        return _custom(self.describe())

    @classmethod
    def restore(cls, described: Mapping[str, Any], path: str | Path) -> "Prior":
        """The prior that `describe` wrote to the file at `path`.

        Raises:
            ArtefactError: if a parameter is "custom".
        """
        custom = _custom(described)
        if custom:
            raise ArtefactError(
                f"the prior of {custom} in {path} is not made of plain numpyro distributions, so "
                "it does not travel with the file; pass it: gb.load(path, prior=prior)"
            )
        return cls(**{name: distributions.restore(d) for name, d in described.items()})

    def _check(self) -> dict[str, Array]:
        try:
            probe = _sample(self, jax.random.split(jax.random.key(0), _PROBES))
            log_prob = log_density(self, self.names, probe)
        except NotImplementedError as error:
            raise PriorError(
                f"{self!r} cannot be sampled, so it is not a normalisable prior: give each "
                "parameter a proper distribution"
            ) from error
        except PriorError:
            raise
        except Exception as error:
            raise PriorError(f"{self!r} cannot be sampled: {error}") from error
        for name, value in probe.items():
            if not np.isfinite(value).all():
                raise PriorError(
                    f"draws of {name!r} are not finite: its prior is improper or its arguments "
                    "are impossible (an infinite bound, a scale that is not positive)"
                )
        if not np.isfinite(log_prob).all():
            raise PriorError(
                f"the log density of {self!r} is not finite at its own draws: check the arguments "
                "of its distributions (a negative scale, low >= high)"
            )
        return probe


# --- unbatched mathematics, vectorised once -------------------------------------------------------


@eqx.filter_jit
def _sample(prior: Prior, keys: Array, given: dict[str, Array] | None = None) -> dict[str, Array]:
    def one(key: Key, given: dict[str, Array]) -> dict[str, Array]:
        theta: dict[str, Any] = {}
        for i, name in enumerate(prior.names):
            if name in given:
                theta[name] = given[name]
            else:
                theta[name] = prior.distribution(name, theta).sample(jax.random.fold_in(key, i))
        return {n: jnp.asarray(theta[n]) for n in prior.names}

    return jax.vmap(one)(keys, given or {})


@eqx.filter_jit
def log_density(prior: Prior, names: tuple[str, ...], theta: Theta) -> Array:
    """Log density of the parameters `names`, which hold each other's parents; theta has rows."""

    def one(theta: Theta) -> Array:
        total, inside = jnp.zeros(()), jnp.array(True)
        for name in names:
            d = prior.distribution(name, theta)
            value = theta[name]
            inside &= jnp.all(support(d)(value))
            total += jnp.sum(d.log_prob(value))
        # One name outside of its support may make the density of its children NaN.
        return jnp.where(inside, total, -jnp.inf)

    return jax.vmap(one)(theta)


def support(d: dist.Distribution) -> Any:
    """Its support; numpyro types it as optional."""
    return d.support


def _choices(prior: Prior, name: str) -> np.ndarray | None:
    """All values of a discrete parameter [K, *shape], or None if they are too many."""
    factor = prior.factors[name]
    if isinstance(factor, dist.Distribution):
        factors = [factor]
    else:  # its values must not depend on the parents
        draws = [{p: prior.probe[p][i] for p in prior.parents[name]} for i in (0, 1)]
        factors = [factor(**draw) for draw in draws]
    try:
        values = [np.unique(f.enumerate_support(expand=False)) for f in factors]
    except NotImplementedError:
        return None
    shape = prior.shapes[name]
    size = int(np.prod(shape))
    if not np.array_equal(values[0], values[-1]) or len(values[0]) ** size > _MAX_CHOICES:
        return None
    return np.array(list(itertools.product(values[0], repeat=size))).reshape(-1, *shape)


# --- checks ---------------------------------------------------------------------------------------


def _custom(described: Mapping[str, Any]) -> list[str]:
    return [name for name, d in described.items() if distributions.is_custom(d)]


def _parents(name: str, factor: Factor, earlier: tuple[str, ...]) -> tuple[str, ...]:
    if isinstance(factor, dist.Distribution):
        return ()
    if not callable(factor) or isinstance(factor, type):
        raise PriorError(
            f"expected {name!r} to be a numpyro distribution or a callable of earlier names, got "
            f"{factor!r} of type {type(factor).__name__}"
        )
    parents = tuple(inspect.signature(factor).parameters)
    late = [p for p in parents if p not in earlier]
    if late:
        raise PriorError(
            f"{name!r} depends on {late}, which no earlier parameter is called; "
            f"defined before it: {list(earlier)}"
        )
    return parents


def _labels(name: str, shape: tuple[int, ...]) -> list[str]:
    return [name + "".join(f"[{i}]" for i in index) for index in np.ndindex(*shape)]
