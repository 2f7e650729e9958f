"""A posterior that is sampled: a learnt likelihood, or likelihood ratio, times the prior.

    p(z | x)  ~  pi(z) prod_i L(x_i | z),

i over the points of an iid dataset (one factor for data that are one vector or one set). L need not
be a density of x: a ratio p(x | z) / p(x) gives the same posterior.

Discrete parameters k are summed over, not sampled: the sampler sees only the continuous z_c, with

    pi(z_c) = sum_k pi(z_c, k),      L(z_c) = sum_k pi(z_c, k) L(z_c, k) / pi(z_c),

and k is then drawn from p(k | z_c, x), which is exact: no chain has to jump between values of k.

The network knows z of the prior that was simulated from. Under another prior the sampler works in
that prior's own R^d, and the network sees what the same parameters are called in its own. What it
sees of z is `Latent.given`.

Shapes: z [dim], z_c [n_continuous]; x [*event_shape], or [n, d] with mask [n] where it is iid.
"""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gibbous._types import Key
from gibbous.latent import Latent
from gibbous.posteriors.base import AbstractPosterior
from gibbous.samplers import AbstractSampler, Target, Trace, map_blocks

_FLOOR = -1e10  # in the place of a likelihood of zero, so that differences stay finite
_POINTS = 256  # evaluated side by side for one z: memory stays bounded for any n
_PROBES = 64  # draws of the prior at which the likelihood is looked at before sampling
_GROWTH = 16  # of the number of points from one stage to the next; every stage is compiled


class AbstractLikelihood(eqx.Module):
    """What a method has learnt of x given z, for one dataset or for one point of it."""

    iid: eqx.AbstractVar[bool]

    @property
    @abstractmethod
    def normalised(self) -> bool:
        """A density of x (a likelihood); otherwise it is a ratio, known up to a factor of x."""

    @abstractmethod
    def summarise(self, x: Float[Array, "..."], mask: Float[Array, " n"] | None) -> Array:
        """What `log_prob` needs of x, computed once for all z."""

    @abstractmethod
    def log_prob(self, z: Float[Array, " dim"], e: Float[Array, " e"]) -> Float[Array, ""]:
        """Log likelihood, or log ratio, of one summary."""


class MCMCPosterior(AbstractPosterior):
    """Likelihood times prior, and how to sample it.

    Fields: `latent`, the space of the prior; `trained`, that of the prior which the network was
    trained under, where it is another.
    """

    likelihood: AbstractLikelihood
    latent: Latent
    sampler: AbstractSampler
    trained: Latent | None = None

    @property
    def direct(self) -> bool:
        """No."""
        return False

    @property
    def tractable(self) -> bool:
        """Yes, up to a constant."""
        return True

    @property
    def iid(self) -> bool:
        """As the likelihood is."""
        return self.likelihood.iid

    def width(self, n: int) -> int:
        """That of the sampler, for every combination of the discrete parameters."""
        return self.sampler.width(n) * len(self.latent.combinations)

    def log_prob(
        self, z: Float[Array, " dim"], x: Float[Array, "..."], mask: Float[Array, " n"] | None
    ) -> Float[Array, ""]:
        """log pi(z) + log L(x | z), not normalised."""
        return self.latent.log_prior(z[None])[0] + self.log_likelihood(z, x, mask)

    def log_likelihood(
        self, z: Float[Array, " dim"], x: Float[Array, "..."], mask: Float[Array, " n"] | None
    ) -> Float[Array, ""]:
        """Summed over the points of an iid dataset; z as in `latent`."""
        e, counts = self._summaries(x, mask)
        return self._sum(z, e, counts)

    def sample(
        self, key: Key, x: Float[Array, "..."], mask: Float[Array, " n"] | None, n: int
    ) -> Trace:
        """Draw at least n values of z."""
        key_order, key_probe, key_z, key_k = jax.random.split(key, 4)
        e, counts = self._summaries(x, mask)
        if self.iid:  # stages take the points in random order, those that count first
            order = jnp.argsort(jax.random.uniform(key_order, counts.shape) - counts)
            e, counts = e[order], counts[order]
        probes = self.latent.draw_prior(key_probe, _PROBES)
        seen = jax.vmap(lambda z: self._sum(z, e, counts))(probes)
        started = jnp.any(jnp.isfinite(seen) & (seen > _FLOOR))
        combinations = jnp.asarray(self.latent.combinations)

        def log_joint(z: Array, start: int, stop: int) -> Float[Array, "K 2"]:
            """log pi(z_c, k) + log L(z_c, k) of the points < start, and < stop, for each k."""

            def one(k: Array) -> Array:
                full = jnp.concatenate([z, k])
                before, new = self._sums(full, e[:stop], counts[:stop], start)
                prior = self.latent.log_prior(full[None])[0]
                return prior + jnp.stack([_bounded(before), _bounded(before + new)])

            return jax.vmap(one)(combinations)

        def log_prior(z: Array) -> Array:
            full = jax.vmap(lambda k: jnp.concatenate([z, k]))(combinations)
            return jax.nn.logsumexp(self.latent.log_prior(full))

        def log_likelihoods(z: Array, start: int, stop: int) -> tuple[Array, Array]:
            if len(combinations) == 1:
                full = jnp.concatenate([z, combinations[0]])
                before, new = self._sums(full, e[:stop], counts[:stop], start)
                return _bounded(before), _bounded(new)
            before, all_of_them = jax.nn.logsumexp(log_joint(z, start, stop), axis=0)
            return _bounded(before - log_prior(z)), _bounded(all_of_them - before)

        target = Target(
            log_prior=log_prior,
            draw_prior=lambda key, m: self.latent.draw_prior(key, m)[:, : self.latent.n_continuous],
            log_likelihoods=log_likelihoods,
            stages=_stages(len(e)),
        )
        if self.latent.continuous:
            trace = self.sampler.sample(key_z, target, n)
        else:  # nothing is left to sample: one draw of no coordinates for each of n
            evidence = jax.nn.logsumexp(log_joint(jnp.zeros(0), 0, len(e))[:, 1])
            trace = Trace(jnp.zeros((1, n, 0)), evidence)
        if self.latent.discrete:
            chains, length, d = trace.z.shape  # d may be 0
            flat = trace.z.reshape(chains * length, d)
            logits = map_blocks(lambda z: log_joint(z, 0, len(e))[:, 1], flat, 256)
            k = combinations[jax.random.categorical(key_k, logits)]
            z = jnp.concatenate([flat, k], axis=1).reshape(chains, length, -1)
            trace = trace._replace(z=z)
        return trace._replace(started=started)

    def _summaries(self, x: Array, mask: Array | None) -> tuple[Array, Array]:
        """Summaries [n, e], one for each factor of the likelihood, and which of them count."""
        if self.iid:
            e = jax.vmap(lambda point: self.likelihood.summarise(point, None))(x)
            return e, jnp.ones(len(x)) if mask is None else mask
        return self.likelihood.summarise(x, mask)[None], jnp.ones(1)

    def _sum(self, z: Array, e: Float[Array, "n e"], counts: Float[Array, " n"]) -> Array:
        return self._sums(z, e, counts, 0)[1]

    def _sums(self, z: Array, e: Float[Array, "n e"], counts: Array, start: int) -> Array:
        """Summed log likelihoods of the points before `start`, and from there on."""
        trained = self.trained or self.latent
        if self.trained is not None:
            z = trained.encode(self.latent.decode(z[None])[0])[0]
        z = trained.given(z[None])[0]
        new = jnp.arange(len(e)) >= start
        counts = jnp.stack([jnp.where(new, 0.0, counts), jnp.where(new, counts, 0.0)])

        def some(block: tuple[Array, Array]) -> Array:
            each = jax.vmap(lambda row: self.likelihood.log_prob(z, row))(block[0])
            return jnp.sum(jnp.where(block[1] > 0, each, 0.0), axis=1)

        if len(e) <= _POINTS:
            return some((e, counts))
        more = -len(e) % _POINTS
        blocks = (
            jnp.pad(e, ((0, more), (0, 0))).reshape(-1, _POINTS, e.shape[1]),
            jnp.pad(counts, ((0, 0), (0, more))).reshape(2, -1, _POINTS).swapaxes(0, 1),
        )
        return jnp.sum(jax.lax.map(jax.checkpoint(some), blocks), axis=0)


def _stages(n: int) -> tuple[int, ...]:
    stages = [n]
    while stages[0] > _GROWTH:
        stages.insert(0, -(-stages[0] // _GROWTH))
    return tuple(stages)


def _bounded(value: Array) -> Array:
    return jnp.clip(jnp.where(jnp.isnan(value), _FLOOR, value), _FLOOR, -_FLOOR)
