"""Our classifier test against scikit-learn's, whose recipe it stands for."""

import numpy as np
import pytest

from benchmarks.c2st import c2st as reference
from gibbous.diagnostics import c2st

# docs/recipe.md has both for posteriors with 10,000 draws: they differ by as much as either does
# over its seeds, up to 0.03 where posteriors are thin, 0.01 elsewhere. The sampling error of 2,000
# draws, sqrt(1 / (8 x 2,000)) = 0.008, is common to both, as the rows are the same.
TOLERANCE = 0.03
RNG = np.random.default_rng(0)


@pytest.mark.slow
def test_both_classifiers_agree():
    x, y = RNG.normal(size=(2, 2_000, 3))
    ring = np.stack([np.cos(x[:, 0]), np.sin(x[:, 0]), x[:, 1]], axis=1)
    pairs = [(x, y), (x, y + np.array([0.4, 0, 0])), (x, 1.5 * y), (ring, ring + 0.3 * y)]
    ours = c2st(*(np.stack(side) for side in zip(*pairs, strict=True)), seed=0)
    theirs = np.array([reference(*pair) for pair in pairs])
    np.testing.assert_allclose(ours, theirs, atol=TOLERANCE)
    assert np.ptp(theirs) > 5 * TOLERANCE  # they are not all alike
