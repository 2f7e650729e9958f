"""The one meaning of "seed"."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gibbous._types import as_key, stream
from gibbous.errors import GibbousError, SeedError


def _data(seed):
    return np.asarray(jax.random.key_data(as_key(seed))).tolist()


def test_an_int_is_a_key():
    assert (
        _data(7) == _data(np.int64(7)) == _data(jax.random.key(7)) == _data(jax.random.PRNGKey(7))
    )
    assert _data(7) != _data(8)
    assert as_key(7).shape == ()


def test_negative_and_huge_ints_are_seeds_too():
    seeds = [0, -1, 2**31, 2**32 - 1, 2**63 - 1, -(2**31)]
    drawn = {tuple(_data(s)) for s in seeds}
    assert all(_data(s) == _data(s) for s in seeds)
    assert len(drawn) >= 3  # no more is promised: without x64 JAX keeps the lower 32 bits


@pytest.mark.parametrize("seed", [True, 1.0, "0", None, (0, 1)])
def test_anything_else_is_refused(seed, unchecked):
    with pytest.raises(SeedError, match=r"expected a seed .* pass for example seed=0"):
        as_key(seed)


def test_an_array_that_is_no_key_is_refused():
    for wrong in (jnp.zeros(2), jnp.zeros(3, jnp.uint32), jnp.int32(3)):
        with pytest.raises(SeedError):
            as_key(wrong)
    with pytest.raises(TypeError) as caught:  # many keys are no key
        as_key(jax.random.split(jax.random.key(0)))
    assert isinstance(caught.value, GibbousError)


def test_verbs_with_the_same_seed_have_streams_of_their_own():
    keys = {tuple(np.asarray(jax.random.key_data(k))) for k in (as_key(0), stream(0, "sample"))}
    assert len(keys | {tuple(np.asarray(jax.random.key_data(stream(0, "predict"))))}) == 3
    same = jax.random.key_data(stream(0, "sample")) == jax.random.key_data(stream(0, "sample"))
    assert bool(np.all(same))
