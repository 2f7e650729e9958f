"""Neural ratio estimation: a classifier tells pairs (z, x) that belong together from others.

With f(z, x) its logit, one pair (z_0, x) drawn together and z_1, z_2, ... drawn apart from x:

    A   softplus(-f_0) + softplus(f_1)                                  (Hermans et al. 2020)
    B   -f_0 + log sum_{k < K} exp f_k                                  (Durkan et al. 2020)
    C   -1/(1+g) log K / (K + g sum_{1..K} exp f_k)
        -g/(1+g) log g exp f_0 / (K + g sum_{0..K-1} exp f_k)           (Miller et al. 2022)

(arXiv 1903.04057, 2002.03712, 2210.06170). All are minimised by f = log p(x | z) / p(x), for B up
to a function of x, of which the posterior ~ pi(z) exp f does not know. The balanced term

    balance (E sigmoid(f_0) + E sigmoid(f_1) - 1)^2                     (Delaunoy et al. 2022)

(arXiv 2208.13624) keeps a classifier of few simulations from being overconfident.

Shapes: z [dim], x [*event_shape], e(x) [cond]. The z of a row's neighbours in the batch serve as
those that were drawn apart.
"""

import math
from typing import Literal, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from gibbous._types import Key
from gibbous.errors import ConfigError, ShapeError
from gibbous.estimators.ensemble import members
from gibbous.estimators.ratio import Classifier, Ratio
from gibbous.latent import Latent
from gibbous.method import FEW, AbstractMethod, Ctx, Pace, Spec
from gibbous.nets.base import AbstractEmbedding, Embedding, build_embedding
from gibbous.nets.choice import choose_embedding
from gibbous.nets.mlp import Identity
from gibbous.posteriors.mcmc import AbstractLikelihood, MCMCPosterior
from gibbous.samplers import SMC, AbstractSampler
from gibbous.simulation.sources import Batch, pairs, some_points

Logits: TypeAlias = Float[Array, "batch logits"]


class NRE(AbstractMethod):
    """Neural ratio estimation; the posterior is sampled. x may be a vector, a set, or discrete.

    Args:
        embedding: from a dataset to a vector: `gb.DeepSet()` for sets; vectors go in as they are.
        classifier: recipe of the network behind it.
        loss_kind: "A", "B" or "C", as above.
        contrasts: K, how many z each x is compared with (B and C).
        gamma: g of C, the odds of a pair drawn together against none.
        balance: weight of the balanced term; Delaunoy et al. take 100.
        iid: datasets are sets [n, d] of independent points: the ratio is learnt of one point.
        points: drawn from each dataset at each step of training, where they are iid.
        members: size of the ensemble; None makes it 2 for fewer than 5,000 simulations, else 1.
        sampler: of the posterior: gb.SMC(), gb.NUTS() or gb.NestedSlice().

    Raises:
        ConfigError: on options out of range.
    """

    embedding: AbstractEmbedding | Embedding | None = None
    classifier: Classifier = Classifier()
    loss_kind: Literal["A", "B", "C"] = "C"
    contrasts: int = 16
    gamma: float = 1.0
    balance: float = 0.0
    iid: bool = False
    points: int = 4
    members: int | None = None
    sampler: AbstractSampler = SMC()

    @property
    def learns_posterior(self) -> bool:
        """No."""
        return False

    @property
    def learns_data(self) -> bool:
        """No."""
        return False

    @property
    def any_proposal(self) -> bool:
        """Yes: what is learnt of x given theta does not depend on where theta came from."""
        return True

    @property
    def takes_sets(self) -> bool:
        """As the embedding does."""
        return isinstance(self.embedding, AbstractEmbedding) and self.embedding.takes_sets

    def pace(self, dim: int, n_train: int) -> Pace:
        """At a high rate, and for a short time where simulations are many; on vectors as they are
        many parameters are held back (docs/recipe.md)."""
        few = n_train < FEW
        if self.iid or self.embedding is not None:
            return Pace() if few else Pace(24, learning_rate=1e-2)
        decay = float(np.clip(3 * dim**2 / n_train, 1e-4, 1.0))
        return Pace(35 if few else 24, 1_000, learning_rate=1e-2, weight_decay=decay)

    def __check_init__(self):
        if self.loss_kind not in _LOSSES or self.contrasts < 1 or self.gamma <= 0:
            raise ConfigError(
                f"expected loss_kind 'A', 'B' or 'C', contrasts of at least 1 and a positive gamma,"
                f" got {self.loss_kind!r}, {self.contrasts} and {self.gamma}"
            )
        if self.balance < 0:
            raise ConfigError(f"expected a balance of at least 0, got {self.balance}")
        if self.iid and self.embedding is not None:
            raise ConfigError("iid=True takes points as they are: leave the embedding out")

    def init(self, key: Key, spec: Spec) -> "RatioModel":
        """Make the networks.

        Raises:
            ShapeError: if datasets are no sets of points where they are iid.
            ConfigError: if they are no vectors and no embedding was chosen.
        """
        z, x, mask = spec.pilot.z, spec.pilot.x, spec.pilot.mask
        if self.iid:
            if x.ndim != 3:
                raise ShapeError(f"iid=True takes sets of points [n, d], got shape {x.shape[1:]}")
            (z, x), mask = pairs(spec.pilot), None
        key_embedding, key_ratio = jax.random.split(key)
        recipe = Identity() if self.iid else choose_embedding(self.embedding, x, spec.missing)
        embedding, e = build_embedding(recipe, key_embedding, x, mask)
        keys = jax.random.split(key_ratio, members(self.members, spec.few, 2))
        build = eqx.filter_vmap(lambda k: self.classifier.build(k, z.shape[1], e.shape[1]))
        return RatioModel(embedding=embedding, ratios=build(keys), iid=self.iid)

    def loss(self, model: "RatioModel", batch: Batch, ctx: Ctx) -> Float[Array, " batch"]:
        """The loss of each row, or its mean over some points of it."""
        z, rows = batch.z, len(batch.z)
        if self.iid:
            z, x = pairs(some_points(ctx.key, batch, self.points))
            batch = Batch(z, x)
        k = 1 if self.loss_kind == "A" else self.contrasts
        # Points of one set share their z, which is no contrast: take neighbours a whole set away.
        shift = len(z) // rows
        turns = range(min(k, rows - 1) + 1)
        e = batch.embedded(model.embedding)

        def turned(v: Array) -> Array:
            return jnp.concatenate([jnp.roll(v, -i * shift, axis=-1) for i in turns], axis=-1)

        def repeated(v: Array) -> Array:
            return jnp.concatenate([v] * len(turns), axis=-1)

        def of_pairs(ratio: Ratio) -> Float[Array, " pairs"]:
            # Features once for each row, and not for each pair; rows last, as networks have them.
            of_z, of_e = jax.vmap(lambda z, e: (ratio.of_z(z), ratio.of_e(e)), out_axes=-1)(z, e)
            others, own = jax.tree.map(turned, of_z), jax.tree.map(repeated, of_e)
            return jax.vmap(ratio, in_axes=-1)(others, own)

        logits = eqx.filter_vmap(of_pairs)(model.ratios)
        logits = logits.reshape(-1, len(turns), len(z)).transpose(2, 1, 0)
        each = jax.vmap(lambda f: _LOSSES[self.loss_kind](f, self.gamma), -1, -1)(logits)
        if self.balance:
            probability = jnp.mean(jax.nn.sigmoid(logits[:, :2]), axis=0)
            each += self.balance * (probability[0] + probability[1] - 1) ** 2
        return jnp.mean(each.reshape(rows, -1), axis=1)

    def posterior(self, model: "RatioModel", latent: Latent) -> MCMCPosterior:
        """The ratio as a function of z, times the prior."""
        return MCMCPosterior(model, latent, self.sampler)


class RatioModel(AbstractLikelihood):
    """exp f(z, e(x)), an ensemble being the mean of its members' ratios."""

    embedding: Embedding
    ratios: Ratio  # stacked along a leading axis
    iid: bool = eqx.field(static=True)

    @property
    def normalised(self) -> bool:
        """No density of x."""
        return False

    def summarise(self, x: Float[Array, "..."], mask: Float[Array, " n"] | None) -> Array:
        """The embedding."""
        return self.embedding(x, mask)

    def logits(self, z: Float[Array, " dim"], e: Float[Array, " e"]) -> Float[Array, " members"]:
        """Of each member."""
        return eqx.filter_vmap(lambda ratio: ratio(ratio.of_z(z), ratio.of_e(e)))(self.ratios)

    def log_prob(self, z: Float[Array, " dim"], e: Float[Array, " e"]) -> Float[Array, ""]:
        """Log ratio."""
        logits = self.logits(z, e)
        return jax.nn.logsumexp(logits) - math.log(len(logits))


def _binary(f: Logits, gamma: float) -> Float[Array, " batch"]:
    return jax.nn.softplus(-f[:, 0]) + jax.nn.softplus(f[:, 1])


def _contrastive(f: Logits, gamma: float) -> Float[Array, " batch"]:
    return jax.nn.logsumexp(f, axis=1) - f[:, 0]


def _contrastive_with_none(f: Logits, gamma: float) -> Float[Array, " batch"]:
    k = f.shape[1] - 1
    log_k, log_gamma = math.log(k), math.log(gamma)
    apart = jnp.logaddexp(log_k, log_gamma + jax.nn.logsumexp(f[:, 1:], axis=1)) - log_k
    together = jnp.logaddexp(log_k, log_gamma + jax.nn.logsumexp(f[:, :-1], axis=1))
    return (apart + gamma * (together - log_gamma - f[:, 0])) / (1 + gamma)


_LOSSES = {"A": _binary, "B": _contrastive, "C": _contrastive_with_none}
