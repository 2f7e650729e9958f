"""What a likelihood learnt with the family known leaves to a classifier."""

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import norm

from benchmarks.sir_limit import TESTED, best_share, learnt_less_exact


@pytest.mark.parametrize("shift", [0.0, 0.5, 2.0])
def test_the_best_classifier_of_two_normals(shift):
    v = np.random.default_rng(0).normal(size=200_000)
    # Right of the middle between them it says one, left of it the other. |w - 1| has a standard
    # deviation of at most (e^4 - 1)^.5 = 7.3 at shift 2 (.53 at .5): errors of .0041 and .0003.
    error = 0.25 * (np.exp(shift**2) - 1) ** 0.5 / len(v) ** 0.5
    assert abs(best_share(shift * v + 3.0) - norm.cdf(shift / 2)) <= 4 * error


@pytest.mark.parametrize(("of_truth", "least", "most"), [(1.0, 0.5, 0.52), (0.98, 0.56, 1.0)])
def test_a_logistic_model_is_learnt_from_its_own_counts(of_truth, least, most):
    rng = np.random.default_rng(1)
    theta = np.exp(rng.normal(scale=0.02, size=(4_000, 2)))
    p = expit(np.log(theta) @ rng.normal(size=(2, 10)) - 1.0)
    p[:, 1] *= 1e-5  # a dozen of 4,000 counts are not zero
    x = rng.binomial(TESTED, of_truth * p)
    x[:, 0] = 0  # a count that is always the same says nothing
    x_obs = rng.binomial(TESTED, p[0])
    # Some nine models, of each two slopes, have an error of variance 18 / 4,000 = .0045 over
    # theta, and E |w - 1| / 4 of it is .067 (2 / pi)^.5 / 4 = .013. Counts that are 2% too few
    # shift each logit by .02 / (1 - p), some .03, where learning errs by .001.
    share = best_share(learnt_less_exact(x_obs, theta, p, x, 1))
    assert least < share < most
