"""An ensemble: the equal-weight mixture of densities that were trained side by side.

    q(a | b) = 1/K sum_k q_k(a | b),      loss = 1/K sum_k -log q_k(a | b).

Each member minimises its own loss from its own initial weights; what they have in common is learnt,
what each has overfitted averages out (Lakshminarayanan et al. 2017, arXiv 1612.01474; for
posteriors Hermans et al. 2022, arXiv 2110.06581). By Jensen's inequality the mixture's log density
is never below the members' mean.

Shapes: a [dim], b [cond].
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gibbous._types import Key
from gibbous.errors import ConfigError
from gibbous.estimators.base import (
    AbstractDensity,
    AbstractEstimated,
    AbstractEstimator,
    AbstractStepwise,
    Moment,
)


class Ensemble(AbstractEstimator):
    """Several densities of one kind.

    Args:
        member: recipe of each.
        size: how many.
    """

    member: AbstractEstimator
    size: int = 4

    def build(
        self, key: Key, a: Float[Array, "rows dim"], b: Float[Array, "rows cond"]
    ) -> "_Ensemble":
        """Make the members, each with weights of its own."""
        keys = jax.random.split(key, self.size)
        return _Ensemble(eqx.filter_vmap(lambda k: self.member.build(k, a, b))(keys), self.size)


class _Ensemble(AbstractEstimated):
    members: AbstractDensity  # stacked along a leading axis
    size: int = eqx.field(static=True)
    alone: bool = eqx.field(static=True, default=False)  # `members` is one of them: see `apart`

    @property
    def tractable(self) -> bool:
        """If its members are."""
        return self.members.tractable

    def log_prob(self, a: Float[Array, " dim"], b: Float[Array, " cond"]) -> Float[Array, ""]:
        """Log density of the mixture."""
        each = self._in_turn(lambda member, _: member.log_prob(a, b))
        return jax.nn.logsumexp(each) - jnp.log(self.size)

    @property
    def estimated(self) -> bool:
        """If those of the members are."""
        return isinstance(self.members, AbstractEstimated) and self.members.estimated

    def log_prob_error(self, a: Float[Array, " dim"], b: Float[Array, " cond"]) -> Float[Array, ""]:
        """At most: the members may err together."""

        def one(member: AbstractDensity, _: None) -> tuple[Array, Array]:
            assert isinstance(member, AbstractEstimated)
            return member.log_prob(a, b), member.log_prob_error(a, b)

        each, errors = self._in_turn(one)
        return jax.nn.softmax(each) @ errors

    def loss(
        self, a: Float[Array, " dim"], b: Float[Array, " cond"], moment: Moment
    ) -> Float[Array, ""]:
        """Mean of the members' losses."""
        if self.alone:
            return self.members.loss(a, b, moment)

        def one(member: AbstractDensity, key: Key) -> Array:
            return member.loss(a, b, moment._replace(key=key))

        keys = jax.random.split(moment.key, self.size)
        return jnp.mean(eqx.filter_vmap(one)(self.members, keys))

    def sample(self, key: Key, b: Float[Array, " cond"], n: int) -> Float[Array, "draws dim"]:
        """Draws in equal shares from all members, in random order."""
        key_members, key_order = jax.random.split(key)
        share = -(-n // self.size)
        draws = self._in_turn(
            lambda member, key: member.sample(key, b, share),
            jax.random.split(key_members, self.size),
        )
        return jax.random.permutation(key_order, draws.reshape(-1, draws.shape[-1]))[:n]

    def _in_turn(self, f: Callable[[AbstractDensity, Any], Any], arguments: Any = None) -> Any:
        """f of each member, one after the other: many rows fill a processor, and those of several
        networks side by side do not fit its cache. In training there are few."""
        weights, static = eqx.partition(self.members, eqx.is_array)
        return jax.lax.map(
            lambda both: f(eqx.combine(both[0], static), both[1]), (weights, arguments)
        )


def with_steps(density: AbstractDensity, steps: int | None) -> AbstractDensity:
    """The density, or all members of an ensemble, drawn from in `steps` steps.

    Raises:
        ConfigError: if it is not drawn from in steps, or not in as many.
    """
    if isinstance(density, _Ensemble):
        return replace(density, members=with_steps(density.members, steps))
    if not isinstance(density, AbstractStepwise):
        raise ConfigError("draws are made at once here: only gb.FMPE and gb.CMPE take steps")
    return density.with_steps(steps)


def apart(model: Any) -> tuple[Any, int | None]:
    """The model as that of a single member once a `vmap` has taken the members' leading axis away,
    and their number: they are fitted side by side. None where members share a network."""
    nodes = jax.tree.leaves(model, is_leaf=_is_ensemble)
    found = [node for node in nodes if _is_ensemble(node)]
    if len(found) != 1 or any(eqx.is_array(node) for node in nodes):
        return model, None
    return _alone(model, True), found[0].size


def together(model: Any) -> Any:
    """Undo `apart`."""
    return _alone(model, False)


def _alone(model: Any, alone: bool) -> Any:
    def one(node: Any) -> Any:
        return replace(node, alone=alone) if _is_ensemble(node) else node

    return jax.tree.map(one, model, is_leaf=_is_ensemble)


def _is_ensemble(node: Any) -> bool:
    return isinstance(node, _Ensemble)


def members(size: int | None, few: bool, several: int) -> int:
    """`size`; None makes it `several` for few simulations, which one network overfits, else 1."""
    return size or (several if few else 1)


def ensemble(
    member: AbstractEstimator, size: int | None, few: bool, several: int
) -> AbstractEstimator:
    """The recipe of one density, or of an ensemble of `members(size, few, several)`."""
    size = members(size, few, several)
    return member if size == 1 else Ensemble(member, size)
