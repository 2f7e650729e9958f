"""Every shape in a signature is checked while the tests run, and no figure opens a window."""

import os

os.environ["MPLBACKEND"] = "Agg"
# What is compiled runs for a moment: the less LLVM polishes it, the sooner a test is over.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")

import equinox as eqx
import jax
import jax.numpy as jnp
import jaxtyping
import numpyro.distributions as dist
import pytest

# Before the first import of gibbous, and for the whole session.
jaxtyping.install_import_hook("gibbous", "beartype.beartype")


def pytest_addoption(parser):
    parser.addoption(
        "--turn", default="0/1", metavar="I/M",
        help="of the slow tests run those whose turn it is: each m-th group, from i mod m",
    )  # fmt: skip


def pytest_collection_modifyitems(config, items):
    """What shares a file and its parameters shares its fixtures, and takes its turn together."""
    i, m = map(int, config.getoption("--turn").split("/"))
    groups = {}
    for item in items:
        if item.get_closest_marker("slow"):
            parameters = item.callspec.id if hasattr(item, "callspec") else ""
            groups.setdefault((item.path, parameters), []).append(item)
    waiting = [group for place, group in enumerate(groups.values()) if place % m != i % m]
    others = {item for group in waiting for item in group}
    config.hook.pytest_deselected(items=list(others))
    items[:] = [item for item in items if item not in others]


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
