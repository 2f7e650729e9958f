"""Importance sampling on targets whose evidence is known."""

import numpy as np
import pytest
from scipy.special import logsumexp

from gibbous.tasks.importance import importance_sample

MEAN = np.array([1.0, -2.0, 300.0])
SD = np.array([0.5, 3.0, 1e-3])


def gaussian(z, mean=MEAN, sd=SD):
    return -0.5 * (((z - mean) / sd) ** 2).sum(axis=1)


def log_z(sd=SD):
    return 1.5 * np.log(2 * np.pi) + np.log(sd).sum()


def standard_error(found, draws):
    return np.sqrt((1 / found.ess - 1) / draws)


def test_evidence_and_moments_of_a_gaussian():
    draws = 4000
    start = (MEAN + 8 * SD, 0.2 * SD)  # off the mode, with too small a scale
    found = importance_sample(gaussian, [start], np.random.default_rng(0), draws)
    assert found.ess > 0.8
    # 4 standard errors of a weighted mean: 4 sqrt((1/0.9 - 1) / 4000) = 0.02 nats.
    allowed = 4 * standard_error(found, draws)
    assert abs(found.log_z - log_z()) < allowed < 0.03
    assert abs(found.log_z - log_z(SD * np.array([1.05, 1, 1]))) > allowed  # 5% is told apart
    w = np.exp(found.log_w - logsumexp(found.log_w))
    # 4 / sqrt(4000 x 0.9) = 0.067 sds.
    np.testing.assert_allclose((w @ found.z - MEAN) / SD, 0.0, atol=0.07)


def test_two_modes_need_two_starts():
    gap = np.array([0.0, 0.0, 0.05])

    def target(z):
        return np.logaddexp(gaussian(z), np.log(3.0) + gaussian(z, MEAN + gap))

    draws, truth = 4000, log_z() + np.log(4.0)
    starts = [(MEAN, SD), (MEAN + gap, SD)]
    both = importance_sample(target, starts, np.random.default_rng(1), draws)
    assert abs(both.log_z - truth) < 4 * standard_error(both, draws)
    one = importance_sample(target, starts[:1], np.random.default_rng(1), draws)
    assert abs(one.log_z - truth) > 4 * standard_error(one, draws)


def test_starts_that_climb_to_one_mode_are_merged():
    starts = [(MEAN + shift * SD, SD) for shift in (-2.0, 0.0, 2.0)]
    found = importance_sample(gaussian, starts, np.random.default_rng(2), 200)
    assert len(found.proposal.weights) == 1


def test_proposal_is_normalised():
    # E_q[p / q] = 1 for the normalised Gaussian p; a wrong constant in q would show as a factor.
    q = importance_sample(gaussian, [(MEAN, SD)], np.random.default_rng(3), 200).proposal
    z = q.sample(np.random.default_rng(4), 20_000)
    ratio = np.exp(gaussian(z) - log_z() - q.log_prob(z))
    assert ratio.mean() == pytest.approx(1.0, abs=4 * ratio.std() / np.sqrt(len(z)))
