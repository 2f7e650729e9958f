"""Diagnostics against ArviZ, their complaints, and draws that come from chains."""

from dataclasses import replace

import numpy as np
import pytest
from arviz_stats.base import array_stats
from scipy import stats

from gibbous.posteriors.convergence import Diagnostics
from gibbous.posteriors.draws import Draws

M, CHAINS, LENGTH = 2, 4, 250
LABELS = ("a", "b[0]", "b[1]")


def _chains(m=M):
    """[m, chains, draws, 3]: independent, autocorrelated, constant."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(m, CHAINS, LENGTH, 2))
    slow = np.zeros((m, CHAINS, LENGTH))
    for t in range(1, LENGTH):
        slow[:, :, t] = 0.9 * slow[:, :, t - 1] + noise[:, :, t, 1]
    return np.stack([noise[..., 0], slow, np.ones_like(slow)], axis=-1).astype(np.float32)


def _of(chains, divergences=0, finished=True):
    m = len(chains)
    return Diagnostics.of(
        chains, np.full(m, divergences), np.full(m, finished), np.arange(m, dtype=float)
    )


def _split_rhat(v):
    """Of one scalar [chains, draws]: Vehtari et al. 2021, equations 1 to 4 after ranks."""
    v = v.reshape(2 * len(v), -1)  # each chain cut in two

    def rhat(v):
        ranks = stats.rankdata(v).reshape(v.shape)
        z = stats.norm.ppf((ranks - 3 / 8) / (v.size + 1 / 4))
        within, between = z.var(axis=1, ddof=1).mean(), z.mean(axis=1).var(ddof=1)
        n = v.shape[1]
        return np.sqrt(((n - 1) / n * within + between) / within)

    return max(rhat(v), rhat(np.abs(v - np.median(v))))


def test_the_numbers_are_those_of_the_paper_and_of_arviz():
    chains = _chains()
    chains[1, 0] += 0.5
    found = _of(chains)
    assert found.rhat.shape == found.ess_bulk.shape == found.ess_tail.shape == (M, 3)
    for i, j in np.ndindex(M, 2):
        v = chains[i, :, :, j].astype(np.float64)
        assert found.rhat[i, j] == pytest.approx(_split_rhat(v), rel=1e-6)
        assert found.ess_bulk[i, j] == pytest.approx(array_stats.ess(v, method="bulk"))
        tail = array_stats.ess(v, method="tail", prob=(0.05, 0.95))
        assert found.ess_tail[i, j] == pytest.approx(tail)
    assert found.rhat[1, 0] > 1.02 > found.rhat[0, 0]


def test_effective_sizes_are_those_of_theory():
    found = _of(_chains())
    # Independent: all 1,000. AR(1) of 0.9: (1 - 0.9) / (1 + 0.9) of them, 53. The estimates
    # scatter by some 10% and 30%.
    np.testing.assert_allclose(found.ess_bulk[:, 0], 1_000, rtol=0.3)
    np.testing.assert_allclose(found.ess_bulk[:, 1], 53, rtol=0.7)


def test_what_does_not_vary_has_none():
    found = _of(_chains())
    for value in (found.rhat, found.ess_bulk, found.ess_tail):
        assert np.isnan(value[:, 2]).all()
        assert np.isfinite(value[:, :2]).all()


def test_three_draws_are_too_few_to_split():
    found = _of(_chains()[:, :, :3])
    assert np.isnan(found.rhat).all()
    assert found.complaint(LABELS, 1_000) == ""


def test_one_observation_of_a_batch():
    found = _of(_chains())
    one = found.observation(1)
    np.testing.assert_array_equal(one.rhat, found.rhat[1])
    assert one.log_evidence == 1
    assert one.finished


def test_good_chains_bring_no_complaint():
    chains = _chains()[..., [0, 0, 2]]
    found = _of(chains)
    assert found.complaint(LABELS, 1_000) == ""
    assert found.observation(0).complaint(LABELS, 1_000) == ""


def test_each_fault_has_its_complaint():
    good = _chains(3)[..., [0, 0, 2]]
    apart = good.copy()
    apart[1, 0, :, 1] += 5
    text = _of(apart).complaint(LABELS, 1_000)
    worst = _of(apart).rhat[1, 1]
    assert f"chains disagree for 1 of 3 observations (R-hat of b[0] is {worst:.2f}" in text
    assert "with_sampler" in text
    few = _of(good[:, :, :10].repeat(20, axis=2)).complaint(LABELS, 1_000)  # 40 that differ
    assert "3 of 3 observations have fewer than 100 effective draws" in few
    assert "12 trajectories diverged" in _of(good, divergences=4).complaint(LABELS, 1_000)
    lost = replace(_of(good), finished=np.array([True, False, True]))
    assert "did not reach the posterior of 1 of 3 observations" in lost.complaint(LABELS, 1_000)
    assert lost.observation(0).complaint(LABELS, 1_000) == ""
    assert "of 1 of 1 observations" in lost.observation(1).complaint(LABELS, 1_000)


@pytest.fixture(scope="module")
def draws():
    chains = _chains()
    # As `Posterior` lays them out: one draw of each chain after the other.
    flat = chains.swapaxes(1, 2).reshape(M, CHAINS * LENGTH, 3)
    values = {"a": flat[..., 0], "b": flat[..., 1:]}
    return chains, Draws(values, 1, CHAINS, _of(chains))


def test_draws_of_chains_carry_their_diagnostics(draws):
    _, batch = draws
    one = batch.observation(1)
    assert one.chains == CHAINS
    np.testing.assert_array_equal(one.diagnostics.rhat, batch.diagnostics.rhat[1])
    table = one.summary()
    assert list(table.columns[-3:]) == ["rhat", "ess_bulk", "ess_tail"]
    np.testing.assert_array_equal(table["ess_bulk"], batch.diagnostics.ess_bulk[1])


def test_arviz_gets_each_chain_whole(draws):
    chains, batch = draws
    posterior = batch.observation(1).to_arviz()["posterior"]
    assert posterior["a"].shape == (CHAINS, LENGTH)
    np.testing.assert_array_equal(posterior["a"].values, chains[1, :, :, 0])
    np.testing.assert_array_equal(posterior["b"].values, chains[1, :, :, 1:])


def test_arviz_leaves_out_what_does_not_fill_all_chains():
    draws = Draws({"a": np.arange(22.0)}, 0, 4)
    got = draws.to_arviz()["posterior"]["a"].values
    np.testing.assert_array_equal(got, np.arange(20).reshape(5, 4).T)
