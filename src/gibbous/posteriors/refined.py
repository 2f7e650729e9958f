"""Importance refinement: draws of a learnt posterior, weighed by a better likelihood.

    w_i  ~  pi(theta_i) L(x | theta_i) / q(theta_i | x),      theta_i ~ q(theta | x).

The largest weights are smoothed by a Pareto distribution fitted to their tail (Vehtari et al. 2024,
JMLR 25, arXiv 1507.02646). Its shape k tells whether q can be repaired: below 0.7 weighted means
converge at a useful rate, above it q is too narrow somewhere, and no number of draws will do.

    ESS = 1 / sum_i w_i^2,      log evidence = log 1/m sum_i w_i  (not smoothed)
"""

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Int
from scipy.special import logsumexp

from gibbous._types import Key
from gibbous.errors import ObservationError
from gibbous.posteriors.draws import Draws

GOOD_K = 0.7


@dataclass(frozen=True)
class Refined:
    """What `posterior.refine` gives.

    Attributes:
        draws: of the refined posterior, with repeats where a weight asks for them.
        ess: effective number of draws behind them.
        khat: shape of the weights' tail; above 0.7 the draws are not to be trusted.
        log_evidence: of the data in nats, NaN where the posterior was not normalised.
    """

    draws: Draws
    ess: float
    khat: float
    log_evidence: float

    @property
    def complaint(self) -> str:
        """What is wrong with it, or nothing."""
        if self.khat <= GOOD_K:
            return ""
        return (
            f"k-hat is {self.khat:.2f}, above {GOOD_K}: the posterior is too narrow or misplaced "
            f"for weights to repair it ({self.ess:.0f} effective draws). Train longer or on more "
            "simulations, or sample the likelihood itself"
        )


def refined(key: Key, draws: Draws, log_w: np.ndarray, n: int, normalised: bool) -> Refined:
    """Draw n times from `draws` by their log weights [m].

    Raises:
        ObservationError: if no weight is finite.
    """
    log_w = np.where(np.isfinite(log_w), np.asarray(log_w, np.float64), -np.inf)
    if not np.isfinite(log_w).any():
        raise ObservationError("the likelihood is zero, or not finite, at all draws")
    weight, khat = smoothed(log_w)
    row = resample(key, weight, n)
    return Refined(
        Draws({name: v[row] for name, v in draws.values.items()}),
        float(1 / np.sum(weight**2)),
        khat,
        float(logsumexp(log_w) - np.log(len(log_w))) if normalised else float("nan"),
    )


def smoothed(log_w: Float[np.ndarray, " m"]) -> tuple[Float[np.ndarray, " m"], float]:
    """Weights that sum to one, the largest of them smoothed, and k-hat."""
    from arviz_stats.base import array_stats  # pyright: ignore[reportPrivateImportUsage]

    some = np.isfinite(log_w)
    # It takes the logs negated, as those of likelihoods that are left out.
    both: Any = array_stats.psislw(-np.where(some, log_w, log_w[some].min() - 700.0))
    smooth, khat = np.asarray(both[0]), float(both[1])
    return np.where(some, np.exp(smooth - logsumexp(smooth)), 0.0), khat


def resample(key: Key, weight: Float[np.ndarray, " m"], n: int) -> Int[np.ndarray, " n"]:
    """n rows in random order; one of weight w comes floor(n w) or ceil(n w) times (systematic)."""
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    places = (np.arange(n) + rng.uniform()) / n
    rows = np.searchsorted(np.cumsum(weight), places).clip(max=len(weight) - 1)
    return rng.permutation(rows)
