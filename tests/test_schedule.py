"""The schedule against the formula that optax has for it."""

import numpy as np
import optax
import pytest

from gibbous.schedule import Schedule


@pytest.mark.parametrize(("steps", "warmup"), [(1_000, 0.3), (777, 0.05), (5, 0.0)])
def test_it_is_the_squared_cosine_with_warm_up(steps, warmup):
    ours = Schedule.of(steps, warmup, 1e-2, 0.1)
    climb = max(1, int(warmup * steps))
    theirs = optax.warmup_cosine_decay_schedule(0.0, 1e-2, climb, steps, exponent=2.0)
    at = np.arange(steps + 1)
    np.testing.assert_allclose(ours.rate(at), [theirs(t) for t in at], rtol=1e-4, atol=1e-8)
    plain = optax.warmup_cosine_decay_schedule(0.0, 1e-2, climb, steps)
    assert np.abs(np.asarray(ours.rate(at)) - [plain(t) for t in at]).max() > 1e-3
