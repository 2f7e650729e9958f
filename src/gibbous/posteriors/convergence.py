"""Whether Markov chains, or populations of particles, have converged: R-hat and effective sizes."""

from dataclasses import dataclass

import numpy as np

_RHAT, _ESS = 1.05, 100.0


@dataclass(frozen=True)
class Diagnostics:
    """How far draws of a Markov chain, or of a population of particles, can be trusted.

    Scalars carry the axis of observations in front for a batch.

    Attributes:
        rhat: rank-normalised split R-hat of each scalar, [d]; 1 where chains agree (Vehtari et al.
            2021, arXiv 1903.08008). NaN for what does not vary.
        ess_bulk, ess_tail: effective sample sizes of each scalar, [d], for means and for quantiles.
        divergences: trajectories that left the density (NUTS).
        finished: whether the sampler arrived at the posterior.
        log_evidence: log p(x) in nats (of a ratio: log of the ratio's mean), NaN if not computed.
    """

    rhat: np.ndarray
    ess_bulk: np.ndarray
    ess_tail: np.ndarray
    divergences: np.ndarray
    finished: np.ndarray
    log_evidence: np.ndarray

    def observation(self, i: int) -> "Diagnostics":
        """Those of observation `i` of a batch."""
        return Diagnostics(**{k: np.asarray(v[i]) for k, v in vars(self).items()})

    @classmethod
    def of(
        cls,
        chains: np.ndarray,
        divergences: np.ndarray,
        finished: np.ndarray,
        log_evidence: np.ndarray,
    ) -> "Diagnostics":
        """Compute them from chains [m, chains, draws, d]."""
        from arviz_stats.base.array import array_stats

        if chains.shape[2] < 4:  # too few to split
            nothing = np.full((len(chains), chains.shape[3]), np.nan)
            return cls(nothing, nothing, nothing, divergences, finished, log_evidence)
        # What never varies has no R-hat and no ESS; a trace of noise stands in, then NaN.
        varies = np.ptp(chains, axis=(1, 2)) > 0
        noise = np.random.default_rng(0).standard_normal(chains.shape[1:3])
        stands = np.where(varies[:, None, None, :], chains.astype(np.float64), noise[..., None])
        axes = {"chain_axis": 1, "draw_axis": 2}

        def each(f, **options) -> np.ndarray:
            return np.where(varies, f(stands, **axes, **options), np.nan)

        return cls(
            rhat=each(array_stats.rhat),
            ess_bulk=each(array_stats.ess, method="bulk"),
            ess_tail=each(array_stats.ess, method="tail", prob=(0.05, 0.95)),
            divergences=divergences,
            finished=finished,
            log_evidence=log_evidence,
        )

    def complaint(self, labels: tuple[str, ...], n: int) -> str:
        """What is wrong with these n draws and what to do about it; empty if nothing is.

        Bad is an R-hat above 1.05, an effective size below 100 and n / 4, a divergence, or a
        sampler that did not arrive. (Of independent draws from 4 x 250, R-hat is nearly always
        below 1.02.)
        """
        found = []
        rhat, ess = np.atleast_2d(self.rhat), np.atleast_2d(self.ess_bulk)
        m, lost = len(rhat), int(np.sum(~np.atleast_1d(self.finished)))
        if lost:
            found.append(f"the sampler did not reach the posterior of {lost} of {m} observations")
        bad = (np.nan_to_num(rhat, nan=1.0) > _RHAT).any(axis=1)
        if bad.any():
            i, j = np.unravel_index(np.nanargmax(rhat), rhat.shape)
            found.append(
                f"chains disagree for {bad.sum()} of {m} observations (R-hat of {labels[j]} is "
                f"{rhat[i, j]:.2f}, should be below {_RHAT}): they may each have found other modes"
            )
        enough = min(_ESS, n / 4)
        few = (np.nan_to_num(ess, nan=np.inf) < enough).any(axis=1)
        if few.any():
            i, j = np.unravel_index(np.nanargmin(ess), ess.shape)
            found.append(
                f"{few.sum()} of {m} observations have fewer than {enough:.0f} effective draws "
                f"({ess[i, j]:.0f} for {labels[j]})"
            )
        if np.sum(self.divergences):
            found.append(
                f"{int(np.sum(self.divergences))} trajectories diverged: the posterior has regions "
                "that NUTS cannot enter"
            )
        if not found:
            return ""
        return (
            "; ".join(found) + ". Ask for more draws, or sample otherwise: "
            "posterior.with_sampler(gb.SMC(particles=8_192, moves=50)) is robust, "
            "gb.NestedSlice() more so; gb.NUTS(warmup=2_000) is for posteriors with one mode."
        )
