"""Every shape in a signature is checked while the tests run, and no figure opens a window."""

import os

os.environ["MPLBACKEND"] = "Agg"

import equinox as eqx
import jax
import jax.numpy as jnp
import jaxtyping
import numpyro.distributions as dist
import pytest

# Before the first import of gibbous, and for the whole session.
jaxtyping.install_import_hook("gibbous", "beartype.beartype")


@pytest.fixture(autouse=True, scope="module")
def _forget_programs():
    """Every compiled program maps memory, and a process may hold some 65,000 maps: beyond, XLA
    dies of a segmentation fault."""
    yield
    jax.clear_caches()
    eqx.clear_caches()


@pytest.fixture
def unchecked():
    """Switch the checked signatures off, as for users: to reach the messages that are meant for
    arguments of a wrong type or shape."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="module")
def prior():
    """Scalars, a vector, a conditional scale, a conditional support."""
    from gibbous.prior import Prior

    return Prior(
        fraction=dist.Beta(2.0, 3.0),
        scale=dist.LogNormal(0.5, 0.3),
        noise=lambda scale: dist.HalfNormal(scale),
        slopes=dist.Normal(jnp.array([0.0, 1.0, 2.0]), 0.5),
        top=lambda fraction: dist.Uniform(fraction, 2.0),
    )


@pytest.fixture(scope="module")
def theta(prior):
    return prior.sample(0, 2_000)
