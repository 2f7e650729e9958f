"""Every shape in a signature is checked while the tests run, and no figure opens a window."""

import os

os.environ["MPLBACKEND"] = "Agg"

import equinox as eqx
import jax
import jaxtyping
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
