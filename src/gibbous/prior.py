"""Named priors, and the only road between the user's space and R^d.

A prior is an ordered product of (possibly conditional) densities

    p(theta) = prod_i p(theta_i | parents(theta_i)),       parents come earlier in the order.

Each support has a bijection T from R^k (numpyro's `biject_to`), so that for u in R^d

    theta = T(u),      log p_u(u) = log p(theta) + log |det dT/du|.

Networks see neither theta nor u but the standardised z = S(u) of `Latent`; hence nothing that is
learnt in z can put mass outside the prior's support, and no sampler has to reject.

Shapes: u and z are [d]; theta is a dict of arrays, one per parameter, each with the parameter's own
shape; public methods take and give a leading batch axis on all of them.
"""

import inspect
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, Float
from numpyro.distributions import biject_to
from numpyro.distributions.transforms import Transform

from gibbous._types import Key, Seed, Theta, as_key
from gibbous.errors import ParameterError, PriorError, ShapeError
from gibbous.scaling import Standardizer

Factor: TypeAlias = dist.Distribution | Callable[..., dist.Distribution]

_FAR = 80.0  # exp(80) is finite in float32; beyond it a bounded support is reached anyway
_PROBES = 256


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

    def __init__(self, **parameters: Factor):
        if not parameters:
            raise PriorError("a prior needs at least one parameter: gb.Prior(a=dist.Normal(0, 1))")
        self.names = tuple(parameters)
        self.factors = dict(parameters)
        self.parents = {
            name: _parents(name, factor, self.names[:i])
            for i, (name, factor) in enumerate(parameters.items())
        }
        self._probe = self._check()
        self.shapes = {name: value.shape[1:] for name, value in self._probe.items()}

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

    def log_prob(self, theta: Theta | Array | np.ndarray) -> Float[Array, "*batch"]:
        """Log density in the user's parameters; -inf outside the support.

        Args:
            theta: a dict of arrays [*batch, *shape], or one array [*batch, dim] in `names` order.
        """
        values, batch = self.parse(theta)
        flat = {n: v.reshape(-1, *self.shapes[n]) for n, v in values.items()}
        return _log_prob(self, flat).reshape(batch)

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

    def _check(self) -> dict[str, Array]:
        try:
            probe = _sample(self, jax.random.split(jax.random.key(0), _PROBES))
            log_prob = _log_prob(self, probe)
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


class Latent(eqx.Module):
    """The space in which networks live: z = S(T^-1(theta)) in R^dim, for a subset of parameters.

    Fields: `prior`; `names`, the parameters that are inferred (the others are nuisances);
    `scaler`, the standardiser S of the unconstrained u.
    """

    prior: Prior = eqx.field(static=True)
    names: tuple[str, ...] = eqx.field(static=True)
    scaler: Standardizer

    @classmethod
    def fit(cls, prior: Prior, theta: Theta, names: tuple[str, ...] | None = None) -> "Latent":
        """Standardise on `theta`, a dict of arrays [rows, *shape].

        Raises:
            ParameterError: if `names` are not the prior's, or the support of one depends on a
                parameter that is left out.
        """
        names = _check_subset(prior, names)
        values, _ = prior.parse({n: theta[n] for n in names}, names)
        return cls(prior, names, Standardizer.fit(_unconstrain(prior, names, values)))

    @property
    def dim(self) -> int:
        """Dimension of z."""
        return self.scaler.loc.shape[0]

    @property
    def labels(self) -> tuple[str, ...]:
        """One label per scalar of theta."""
        return self.prior.labels(self.names)

    def encode(self, theta: Theta) -> Float[Array, "n dim"]:
        """theta (a dict of arrays [n, *shape]) -> z."""
        return self.scaler.forward(
            _unconstrain(self.prior, self.names, {n: jnp.asarray(theta[n]) for n in self.names})
        )

    def decode(self, z: Float[Array, "n dim"]) -> tuple[dict[str, Array], Float[Array, " n"]]:
        """z -> theta and log |det d theta / d z|."""
        u = self.scaler.inverse(z)
        theta, log_det = _constrain(self.prior, self.names, u)
        theta = {name: theta[name] for name in self.names}  # jit gives a dict back sorted
        return theta, log_det - jnp.sum(self.scaler.log_det(u), axis=-1)

    def inside(self, theta: Theta) -> Array:
        """Which rows of theta lie in the support of the prior: bool [n]."""
        return _inside(self.prior, self.names, {n: jnp.asarray(theta[n]) for n in self.names})


# --- unbatched mathematics, vectorised once -------------------------------------------------------


@eqx.filter_jit
def _sample(prior: Prior, keys: Array) -> dict[str, Array]:
    def one(key: Key) -> dict[str, Array]:
        theta: dict[str, Any] = {}
        for i, name in enumerate(prior.names):
            theta[name] = prior.distribution(name, theta).sample(jax.random.fold_in(key, i))
        return {n: jnp.asarray(theta[n]) for n in prior.names}

    return jax.vmap(one)(keys)


@eqx.filter_jit
def _log_prob(prior: Prior, theta: Theta) -> Array:
    def one(theta: Theta) -> Array:
        total, inside = jnp.zeros(()), jnp.array(True)
        for name in prior.names:
            d = prior.distribution(name, theta)
            value = theta[name]
            inside &= jnp.all(_support(d)(value))
            total += jnp.sum(d.log_prob(value))
        # One name outside of its support may make the density of its children NaN.
        return jnp.where(inside, total, -jnp.inf)

    return jax.vmap(one)(theta)


def _support(d: dist.Distribution) -> Any:
    return d.support  # numpyro types it as optional


def _transform(prior: Prior, name: str, theta: Theta) -> tuple[Transform, bool]:
    """The bijection R^k -> support of `name`, and whether it is the identity."""
    support = _support(prior.distribution(name, theta))
    real = isinstance(getattr(support, "base_constraint", support), type(dist.constraints.real))
    return biject_to(support), real


def _with_reference(prior: Prior, theta: Theta) -> dict[str, Any]:
    # A parameter left out may still be asked for by a child whose support it does not change
    # (`_check_subset` made sure); any draw of it serves to build the bijection.
    return {n: theta[n] if n in theta else prior._probe[n][0] for n in prior.names}


@eqx.filter_jit
def _unconstrain(prior: Prior, names: tuple[str, ...], theta: Theta) -> Array:
    def one(theta: Theta) -> Array:
        full, parts = _with_reference(prior, theta), []
        for name in names:
            transform, real = _transform(prior, name, full)
            u = transform._inverse(full[name])  # public .inv builds and caches objects per call
            # A draw that rounds onto its bound would be at infinity.
            parts.append(jnp.ravel(u if real else jnp.clip(u, -_FAR, _FAR)))
        return jnp.concatenate(parts)

    return jax.vmap(one)(theta)


@eqx.filter_jit
def _constrain(prior: Prior, names: tuple[str, ...], u: Array) -> tuple[dict[str, Array], Array]:
    def one(u: Array) -> tuple[dict[str, Array], Array]:
        theta: dict[str, Array] = {}
        log_det, start = jnp.zeros(()), 0
        for name in names:
            transform, real = _transform(prior, name, _with_reference(prior, theta))
            shape = transform.inverse_shape(prior.shapes[name])
            size = int(np.prod(shape))
            part = u[start : start + size].reshape(shape)
            part = part if real else jnp.clip(part, -_FAR, _FAR)
            theta[name] = jnp.asarray(transform(part))
            log_det += jnp.sum(transform.log_abs_det_jacobian(part, theta[name]))
            start += size
        return theta, log_det

    return jax.vmap(one)(u)


@eqx.filter_jit
def _inside(prior: Prior, names: tuple[str, ...], theta: Theta) -> Array:
    def one(theta: Theta) -> Array:
        full = _with_reference(prior, theta)
        inside = [jnp.all(_support(prior.distribution(n, full))(full[n])) for n in names]
        return jnp.all(jnp.stack(inside))

    return jax.vmap(one)(theta)


# --- checks ---------------------------------------------------------------------------------------


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


def _check_subset(prior: Prior, names: tuple[str, ...] | None) -> tuple[str, ...]:
    if names is None:
        names = prior.names
    if isinstance(names, str):
        names = (names,)
    unknown = [n for n in names if n not in prior.names]
    if unknown or not names:
        raise ParameterError(
            f"cannot infer {unknown or 'no parameter at all'}; the prior has {list(prior.names)}"
        )
    names = tuple(n for n in prior.names if n in names)
    first, second = ({n: v[i] for n, v in prior._probe.items()} for i in (0, 1))
    for name in names:
        draw = prior.distribution(name, first)
        if _support(draw).is_discrete:
            raise ParameterError(
                f"{name!r} is discrete ({type(draw).__name__}), and a density in R^d needs "
                "continuous parameters; leave it out of `parameters=` to marginalise it"
            )
        absent = [p for p in prior.parents[name] if p not in names]
        if absent and not _same_support(draw, prior.distribution(name, second)):
            raise ParameterError(
                f"the support of {name!r} depends on {absent}: infer them together, "
                f"parameters={tuple(n for n in prior.names if n in {*names, *absent})}"
            )
    return names


def _same_support(a: dist.Distribution, b: dist.Distribution) -> bool:
    ta, tb = biject_to(_support(a)), biject_to(_support(b))
    probe = jnp.linspace(-1.0, 1.0, int(np.prod(ta.inverse_shape(a.event_shape))))
    probe = probe.reshape(ta.inverse_shape(a.event_shape))
    return bool(np.allclose(ta(probe), tb(probe)))


def _labels(name: str, shape: tuple[int, ...]) -> list[str]:
    return [name + "".join(f"[{i}]" for i in index) for index in np.ndindex(*shape)]
