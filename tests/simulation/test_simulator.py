"""Marking a function as a simulator."""

import jax
import numpy as np
import pytest

from gibbous import Simulator, simulator
from gibbous.errors import ConfigError
from gibbous.simulation.simulator import simulator_of


def test_both_ways_to_mark():
    @simulator
    def one(key, theta):
        return theta["a"] + jax.random.normal(key, (2,))

    @simulator(backend="numpy")
    def other(rng, theta):
        return rng.normal(theta["a"], size=2)

    assert (one.backend, other.backend) == ("jax", "numpy")
    assert isinstance(one, Simulator)
    # it is called like the function that it wraps
    assert one(jax.random.key(0), {"a": 1.0}).shape == (2,)
    np.testing.assert_array_equal(
        other(np.random.default_rng(0), {"a": 1.0}), 1 + np.random.default_rng(0).normal(size=2)
    )


def test_a_function_becomes_a_simulator_once():
    marked = simulator_of(lambda key, theta: key)
    assert simulator_of(marked) is marked
    assert marked.backend == "jax"
    assert simulator(marked) is marked


def test_what_is_refused(unchecked):
    with pytest.raises(ConfigError, match='expected backend "jax" or "numpy", got \'torch\''):
        simulator(backend="torch")
    with pytest.raises(ConfigError, match=r"expected a simulator, a function .* got 3"):
        simulator(3)
    with pytest.raises(ConfigError, match="a simulator"):
        simulator(backend="numpy")("text")
