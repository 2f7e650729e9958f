"""Networks that are told which entries are missing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gibbous as gb
from gibbous.errors import ConfigError
from gibbous.nets.choice import choose_embedding

KEY = jax.random.key(0)
ROWS = jax.random.normal(KEY, (50, 4))


def test_a_missing_entry_is_told_from_any_value():
    net = gb.Indicators(gb.Identity()).build(KEY, ROWS)
    x = jnp.array([0.5, jnp.nan, 0.0, -1.0])
    np.testing.assert_array_equal(net(x, None), [0.5, 0, 0, -1, 0, 1, 0, 0])
    deep = gb.Indicators(gb.MLP(width=8)).build(KEY, ROWS)
    assert np.isfinite(deep(x, None)).all()
    assert not np.allclose(deep(x, None), deep(x.at[1].set(0.0), None))


def test_sets_keep_their_points_and_their_mask():
    sets = jax.random.normal(KEY, (30, 6, 2)).at[:, 2, 1].set(jnp.nan)
    recipe = gb.Indicators(gb.DeepSet(width=8, size=4, degree=0))
    net = recipe.build(KEY, sets)
    assert recipe.takes_sets
    mask = jnp.array([1.0, 1, 1, 1, 0, 0])
    short, padded = net(sets[0, :4], None), net(sets[0].at[4:].set(7.0), mask)
    np.testing.assert_allclose(short, padded, rtol=2e-3, atol=2e-3)
    # A point that lacks an entry counts, where a Deep Set alone would leave it out; not one that
    # lacks all.
    changed = net(sets[0].at[2, 0].add(1.0), None)
    assert not np.allclose(changed, net(sets[0], None), atol=1e-3)
    gone = net(sets[0].at[5].set(jnp.nan), None)
    np.testing.assert_allclose(gone, net(sets[0, :5], None), rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize(
    ("given", "missing", "chosen"),
    [
        (None, False, gb.Identity()),
        (None, True, gb.Indicators(gb.MLP())),
        (gb.MLP(size=3), False, gb.MLP(size=3)),
        (gb.MLP(size=3), True, gb.Indicators(gb.MLP(size=3))),
        (gb.Indicators(gb.MLP()), True, gb.Indicators(gb.MLP())),
    ],
)
def test_what_is_chosen_for_vectors(given, missing, chosen):
    assert choose_embedding(given, ROWS, missing) == chosen


def test_what_is_chosen_for_sets():
    sets = jnp.zeros((5, 6, 2))
    assert choose_embedding(gb.DeepSet(), sets, True) == gb.DeepSet()
    with pytest.raises(ConfigError, match="how to embed it"):
        choose_embedding(None, sets)
    own = lambda x, mask: x.ravel()  # noqa: E731  (a network of the user's, which sees NaN)
    assert choose_embedding(own, sets, True) is own
