"""What the methods that give the posterior directly have in common: the embedding, the ensemble."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpyro.distributions as dist
import pytest

import gibbous as gb
from gibbous.estimators.ensemble import _Ensemble
from gibbous.latent import Latent
from gibbous.method import Spec
from gibbous.simulation.sources import Batch

PRIOR = gb.Prior(theta=dist.Normal(jnp.zeros(2), 1.0))
PILOT = Batch(jnp.zeros((64, 2)), jnp.linspace(-1, 1, 192).reshape(64, 3), None)


@pytest.mark.parametrize(("method", "size"), [(gb.NPE, 4), (gb.FMPE, 2), (gb.CMPE, 4)])
def test_only_few_simulations_take_several_members(method, size):
    latent = Latent.fit(PRIOR, PRIOR.sample(0, 64))

    def density(few, **options):
        init = method(**options).init
        return eqx.filter_eval_shape(init, jax.random.key(0), Spec(PILOT, few, latent)).density

    assert not isinstance(density(few=False), _Ensemble)
    assert density(few=True).size == size
    assert density(few=False, members=3).size == 3
