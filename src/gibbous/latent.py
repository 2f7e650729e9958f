"""The space in which networks live, and the only road between it and the user's parameters.

    z = ( S(T^-1(theta_c)), onehot(theta_d) )

theta_c are the continuous parameters: T is the bijection from R^k to their support (numpyro's
`biject_to`), S a standardiser, so that

    log p(theta_c) = log p(z_c) - log |det d theta_c / d z_c|.

Hence nothing that is learnt in z can put mass outside the prior's support, and no sampler has to
reject. theta_d are discrete parameters with finitely many values, one column of z for each value;
methods that sample enumerate them (`combinations`).

A network that learns x given theta has no use for an unbounded space: what is smooth in theta up to
a bound is not smooth in a logit. It sees (`given`)

    S'(p),      p = (theta - low) / (high - low),

of a parameter with two bounds, S' another standardiser, and z of the others.

Shapes: z [dim], its first `n_continuous` columns are z_c; theta is a dict of arrays. Public methods
take and give a leading axis of rows on all of them.
"""

import warnings
from itertools import product
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, Float
from numpyro.distributions import biject_to
from numpyro.distributions.transforms import Transform
from scipy.special import expit

from gibbous._types import Theta
from gibbous.errors import GibbousWarning, ParameterError, PriorError
from gibbous.prior import Prior, log_density, support
from gibbous.scaling import Standardizer

_FAR = 80.0  # exp(80) is finite in float32; beyond it a bounded support is reached anyway
_MAX_COMBINATIONS = 256
_ROWS = 2**12  # mapped at a time: one program for any number
_DRAWS = 2**14  # of a new prior, to see where it reaches
_FEW = 0.01  # share of it that may lie outside of the simulations without a warning


class Latent(eqx.Module):
    """The map between theta and z, for a subset of the parameters.

    Fields: `prior`; `names`, the parameters that are inferred (the others are nuisances);
    `scaler`, the standardiser S of the unconstrained continuous ones; `seen`, the same for networks
    that they are given to.
    """

    prior: Prior = eqx.field(static=True)
    names: tuple[str, ...] = eqx.field(static=True)
    scaler: Standardizer
    seen: Standardizer

    @classmethod
    def fit(
        cls,
        prior: Prior,
        theta: Theta,
        names: tuple[str, ...] | None = None,
        *,
        discrete: bool = False,
        density: bool = False,
        rounds: bool = False,
    ) -> "Latent":
        """Standardise on `theta`, a dict of arrays [rows, *shape].

        Args:
            prior: of all parameters.
            theta: rows to fit the scaler on.
            names: the parameters to infer; None for all.
            discrete: whether they may be discrete.
            density: whether `log_prior` will be asked for.
            rounds: whether the rows are of several rounds.

        Raises:
            ParameterError: if `names` are not the prior's; if one is discrete where that is not
                allowed, or has no finite number of values; if the support of one, or its density
                where that is needed, depends on a parameter that is left out.
        """
        names = _check_subset(prior, names)
        _check_discrete(prior, names, discrete)
        _check_parents(prior, names, density)
        latent = cls(prior, names, Standardizer.empty((0,)), Standardizer.empty((0,)))
        if latent.continuous:
            values, (n,) = prior.parse({n: theta[n] for n in names}, names)
            rows = [np.arange(i, i + _ROWS).clip(max=n - 1) for i in range(0, n, _ROWS)]
            parts = [{k: v[row] for k, v in values.items()} for row in rows]
            us = [np.asarray(_unconstrain(prior, latent.continuous, part)) for part in parts]
            u = np.concatenate(us)[:n]
            between = np.where(latent._bounded, expit(u), u)
            scalers = (Standardizer.fit(v, rounds=rounds) for v in (u, between))
            latent = cls(prior, names, *scalers)
        return latent

    def under(self, prior: Prior) -> "Latent":
        """The same parameters under another prior, inside the region that this one was fitted on.

        Raises:
            PriorError: if its parameters differ, or it reaches outside of that region.

        Warns:
            GibbousWarning: if more than 1% of its draws lie outside of the range of the rows.
        """
        missing = [n for n in self.names if n not in prior.names]
        other = [n for n in self.names if n not in missing and not self._same_values(n, prior)]
        if missing or other:
            raise PriorError(
                f"the new prior must have the parameters {list(self.names)}, of the same shapes "
                f"and discrete values as before; it lacks {missing} and differs in {other}"
            )
        draws = prior.sample(0, _DRAWS)
        outside = 1 - np.mean(self.inside(draws))
        if outside:
            raise PriorError(
                f"{outside:.1%} of the new prior lies outside the support of the one that was "
                "simulated from; truncate it to that support, or simulate again"
            )
        u = self.scaler.inverse(self.encode(draws)[:, : self.n_continuous])
        beyond = np.any((u < self.scaler.low) | (u > self.scaler.high), axis=1).mean()
        if beyond > 0.5:
            raise PriorError(
                f"{beyond:.0%} of the new prior lies where nothing was simulated; simulate there"
            )
        if beyond > _FEW:
            warnings.warn(
                f"{beyond:.1%} of the new prior lies outside the range of the simulations, where "
                "the network extrapolates; a posterior that reaches there is not to be trusted",
                GibbousWarning,
                stacklevel=3,
            )
        return Latent.fit(prior, draws, self.names, discrete=True, density=True)

    @property
    def continuous(self) -> tuple[str, ...]:
        """The continuous parameters among `names`."""
        return tuple(n for n in self.names if n not in self.prior.choices)

    @property
    def discrete(self) -> tuple[str, ...]:
        """The discrete parameters among `names`."""
        return tuple(n for n in self.names if n in self.prior.choices)

    @property
    def n_continuous(self) -> int:
        """Number of columns of z that are continuous."""
        return self.scaler.loc.shape[0]

    @property
    def dim(self) -> int:
        """Dimension of z."""
        return self.n_continuous + sum(len(self._choices(n)) for n in self.discrete)

    @property
    def labels(self) -> tuple[str, ...]:
        """One label per scalar of theta."""
        return self.prior.labels(self.names)

    @property
    def combinations(self) -> Float[np.ndarray, "K onehot"]:
        """The discrete columns of z for every combination of values; one empty row if none."""
        blocks = [np.eye(len(self._choices(n)), dtype=np.float32) for n in self.discrete]
        return np.stack([np.concatenate([[], *row]) for row in product(*blocks)]).astype(np.float32)

    def encode(self, theta: Theta) -> Float[Array, "n dim"]:
        """theta (a dict of arrays [n, *shape]) -> z."""
        theta = {n: jnp.asarray(theta[n]) for n in self.names}
        parts = []
        if self.continuous:
            parts.append(self.scaler.forward(_unconstrain(self.prior, self.continuous, theta)))
        for name in self.discrete:
            choices = self._choices(name)
            value = theta[name].reshape(-1, 1, choices[0].size)
            parts.append(jnp.all(value == choices.reshape(1, len(choices), -1), axis=-1))
        return jnp.concatenate([p.astype(jnp.float32) for p in parts], axis=1)

    def decode(self, z: Float[Array, "n dim"]) -> tuple[dict[str, Array], Float[Array, " n"]]:
        """z -> theta and log |det d theta_c / d z_c|."""
        theta, log_det, start = {}, jnp.zeros(len(z)), self.n_continuous
        if self.continuous:
            u = self.scaler.inverse(z[:, :start])
            theta, log_det = _constrain(self.prior, self.continuous, u)
            log_det -= jnp.sum(self.scaler.log_det(u), axis=-1)
        for name in self.discrete:
            choices = self._choices(name)
            columns = z[:, start : start + len(choices)]
            theta[name] = jnp.asarray(choices)[jnp.argmax(columns, axis=1)]
            start += len(choices)
        return {name: theta[name] for name in self.names}, log_det

    def given(self, z: Float[Array, "n dim"]) -> Float[Array, "n dim"]:
        """What a network sees that learns x given theta."""
        z_c, discrete = z[:, : self.n_continuous], z[:, self.n_continuous :]
        p = self.seen.forward(jax.nn.sigmoid(self.scaler.inverse(z_c)))  # the inverse of a logit
        bounded = np.array(self._bounded, bool)
        return jnp.concatenate([jnp.where(bounded, p, z_c), discrete], axis=1)

    def log_prior(self, z: Float[Array, "n dim"]) -> Float[Array, " n"]:
        """Log density of z_c, times the probability of the discrete parameters, in the prior."""
        theta, log_det = self.decode(z)
        return log_density(self.prior, self.names, theta) + log_det

    def log_density(self, theta: Theta) -> Float[np.ndarray, " n"]:
        """Log density of the prior in the user's parameters, -inf outside of its support."""
        rows = {name: jnp.asarray(theta[name]) for name in self.names}
        return np.asarray(log_density(self.prior, self.names, rows))

    def draw_prior(self, key: Array, n: int) -> Float[Array, "n dim"]:
        """n draws of z from the prior."""
        return self.encode(self.prior.sample(key, n))

    def inside(self, theta: Theta) -> Array:
        """Which rows of theta lie in the support of the prior: bool [n]."""
        return _inside(self.prior, self.names, {n: jnp.asarray(theta[n]) for n in self.names})

    def _same_values(self, name: str, prior: Prior) -> bool:
        mine, other = self.prior.choices.get(name), prior.choices.get(name)
        same_kind = (name in self.prior.choices) == (name in prior.choices)
        same_shape = prior.shapes[name] == self.prior.shapes[name]
        same = mine is other if mine is None or other is None else np.array_equal(mine, other)
        return same_kind and same_shape and same

    @property
    def _bounded(self) -> list[bool]:
        """Which columns of z_c are of parameters with two bounds."""
        between, columns = type(dist.constraints.interval(0.0, 1.0)), []
        for name in self.continuous:
            where = support(self.prior.distribution(name, self.prior.first))
            size = int(np.prod(biject_to(where).inverse_shape(self.prior.shapes[name])))
            columns += [isinstance(getattr(where, "base_constraint", where), between)] * size
        return columns

    def _choices(self, name: str) -> np.ndarray:
        choices = self.prior.choices[name]
        assert choices is not None  # checked in `fit`
        return choices


# --- unbatched mathematics, vectorised once -------------------------------------------------------


def _transform(prior: Prior, name: str, theta: Theta) -> tuple[Transform, bool]:
    """The bijection R^k -> support of `name`, and whether it is the identity."""
    where = support(prior.distribution(name, theta))
    real = isinstance(getattr(where, "base_constraint", where), type(dist.constraints.real))
    return biject_to(where), real


def _with_reference(prior: Prior, theta: Theta) -> dict[str, Any]:
    # A parameter left out may still be asked for by a child whose support it does not change
    # (`_check_parents` made sure); any draw of it serves to build the bijection.
    return {n: theta[n] if n in theta else prior.probe[n][0] for n in prior.names}


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
        inside = [jnp.all(support(prior.distribution(n, full))(full[n])) for n in names]
        return jnp.all(jnp.stack(inside))

    return jax.vmap(one)(theta)


# --- checks ---------------------------------------------------------------------------------------


def _check_subset(prior: Prior, names: tuple[str, ...] | None) -> tuple[str, ...]:
    """`names` in the order of the prior."""
    names = prior.names if names is None else (names,) if isinstance(names, str) else names
    unknown = [n for n in names if n not in prior.names]
    if unknown or not names:
        raise ParameterError(
            f"cannot infer {unknown or 'no parameter at all'}; the prior has {list(prior.names)}"
        )
    return tuple(n for n in prior.names if n in names)


def _check_discrete(prior: Prior, names: tuple[str, ...], allowed: bool) -> None:
    found = {n: prior.choices[n] for n in names if n in prior.choices}
    for name, choices in found.items():
        kind = type(prior.distribution(name, prior.first)).__name__
        if not allowed:
            raise ParameterError(
                f"{name!r} is discrete ({kind}), and a density in R^d needs continuous parameters; "
                "infer it with gb.NLE or gb.NRE, or leave it out of `parameters=` to marginalise it"
            )
        if choices is None:
            raise ParameterError(
                f"{name!r} is discrete ({kind}) with more values than can be enumerated; truncate "
                "its prior (Categorical, DiscreteUniform), or leave it out of `parameters=`"
            )
    n = int(np.prod([len(c) for c in found.values() if c is not None]))
    if n > _MAX_COMBINATIONS:
        raise ParameterError(
            f"{list(found)} take {n} combinations of values together; at most "
            f"{_MAX_COMBINATIONS} can be enumerated: infer fewer of them at a time"
        )


def _check_parents(prior: Prior, names: tuple[str, ...], density: bool) -> None:
    """Whether what is left out leaves the supports, and if need be the densities, as they are."""
    continuous = [n for n in names if n not in prior.choices]
    first, second = prior.first, {n: v[1] for n, v in prior.probe.items()}
    for name in names:
        absent = [p for p in prior.parents[name] if p not in names]
        together = f"parameters={tuple(n for n in prior.names if n in {*names, *absent})}"
        if absent and density:
            raise ParameterError(
                f"the prior density of {name!r} depends on {absent}, and this method needs it: "
                f"infer them together, {together}"
            )
        varying = [p for p in prior.parents[name] if p not in continuous]
        if name not in continuous or not varying:
            continue
        if not _same_support(prior.distribution(name, first), prior.distribution(name, second)):
            raise ParameterError(
                f"the support of {name!r} depends on {varying}: infer them together, {together}; "
                "a support that depends on a discrete parameter is not possible"
            )


def _same_support(a: dist.Distribution, b: dist.Distribution) -> bool:
    ta, tb = biject_to(support(a)), biject_to(support(b))
    probe = jnp.linspace(-1.0, 1.0, int(np.prod(ta.inverse_shape(a.event_shape))))
    probe = probe.reshape(ta.inverse_shape(a.event_shape))
    return bool(np.allclose(ta(probe), tb(probe)))
