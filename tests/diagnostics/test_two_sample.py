"""Two-sample numbers on pairs whose answers are known."""

import numpy as np
import pytest
from scipy.stats import norm

from gibbous.diagnostics import c2st, mmd, sliced_wasserstein
from gibbous.errors import ShapeError

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(2, 4_000, 2))
SHIFT = np.array([1.0, 0.0])


@pytest.fixture(scope="module")
def scores() -> np.ndarray:
    """Of equal, shifted, wider samples, and of samples that are apart."""
    others = [Y, Y + SHIFT, 2 * Y, Y + 20]
    return c2st(np.stack([X] * len(others)), np.stack(others), seed=0)


def test_c2st_is_that_of_the_best_classifier(scores):
    # 8,000 rows: a standard error of 0.0056 at 1/2; a trained network is 0.01 from the best.
    # Wider: 2 N(0, I) is likelier outside |x|^2 = 8 ln 4 / 3, with |x|^2 ~ 2 Exp and 8 Exp.
    radius = 8 * np.log(4) / 3
    best = [0.5, norm.cdf(0.5), 0.5 * (1 - np.exp(-radius / 2)) + 0.5 * np.exp(-radius / 8), 1.0]
    np.testing.assert_allclose(scores, best, atol=4 * 0.0056 + 0.01)


def test_a_pair_alone_has_the_score_that_it_has_among_others(scores):
    # Another seed for its weights and folds: both are within the classifier's own scatter.
    assert c2st(X, Y + SHIFT, seed=1) == pytest.approx(scores[1], abs=0.015)


def test_c2st_does_not_depend_on_units_and_repeats():
    once = c2st(X, Y + SHIFT, seed=2)
    assert c2st(X, Y + SHIFT, seed=2) == once
    assert c2st(100 * X + 7, 100 * (Y + SHIFT) + 7, seed=2) == pytest.approx(once, abs=0.01)


def test_a_constant_coordinate_tells_nothing_unless_it_differs():
    x, y = (np.column_stack([v[:400], np.full(400, 3.0)]) for v in (X, Y))
    same, other = c2st(np.stack([x, x]), np.stack([y, y + np.array([0, 0, 2.0])]), seed=0)
    assert abs(same - 0.5) < 4 * (1 / (8 * 400)) ** 0.5 + 0.01
    assert other > 0.99


def test_mmd_of_normals_is_the_closed_form():
    # k = exp(-|x - y|^2 / (2 h^2)): E k over normals that are m apart, in d dimensions, is
    # (h^2 / (h^2 + 2))^{d/2} exp(-m^2 / (2 (h^2 + 2))); h^2, the median of 2 chi2(2), is 4 ln 2.
    h2 = 4 * np.log(2)
    want = 2 * h2 / (h2 + 2) * (1 - np.exp(-1 / (2 * (h2 + 2))))
    # Without bias; the standard deviation under equality is about 1/n, and under a shift
    # below 2 sqrt(want / n) = 0.01.
    assert mmd(X, Y + SHIFT) == pytest.approx(want, abs=0.015)
    assert abs(mmd(X, Y)) < 5 / len(X)
    assert mmd(X, Y + SHIFT) > 0.05


def test_sliced_wasserstein_of_a_shift_is_its_length_over_root_d():
    # W_2 of two shifted normals along u is u.m, of mean square |m|^2 / d. The random directions
    # have an error of sd(u_1^2) / sqrt(2,000) = 0.354 / 44.7 = 0.008 on 1/2, 0.006 on the root.
    got = sliced_wasserstein(X, Y + SHIFT, seed=0, projections=2_000)
    assert got == pytest.approx(0.5**0.5, abs=0.03)
    assert sliced_wasserstein(X, Y, seed=0) < 0.06
    assert sliced_wasserstein(X, 10 * (Y + SHIFT), seed=0) > 5


def test_samples_that_do_not_fit_are_refused():
    for f in (lambda a, b: c2st(a, b, seed=0), mmd, lambda a, b: sliced_wasserstein(a, b, seed=0)):
        with pytest.raises(ShapeError, match="one shape"):
            f(X, Y[:, :1])
    with pytest.raises(ShapeError, match="100 draws"):
        c2st(X[:50], Y[:50], seed=0)
