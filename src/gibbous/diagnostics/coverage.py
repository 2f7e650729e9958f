"""Coverage: how often an interval of k sigma holds the truth.

Two kinds of interval, per scalar, at nominal probability p_k = erf(k / sqrt 2):

    central   the truth lies between the (1 - p_k)/2 and (1 + p_k)/2 quantiles of the draws,
              that is |u - 1/2| <= p_k / 2 for its PIT u (Cook et al. 2006; Hermans et al. 2022);
    normal    |theta* - mean| <= k sd of the draws, the textbook recipe; it equals p_k only where
              the posterior is normal, so a deviation may be shape and not miscalibration.

Over m datasets the fraction has the binomial standard error sqrt(p_k (1 - p_k) / m).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy import special


@dataclass(frozen=True)
class Coverage:
    """Coverage as a function of k.

    Attributes:
        k: number of sigmas, [K]. nominal: p_k, [K].
        central, normal: fraction of datasets covered, [K, d].
        error: standard error of a fraction whose expectation is nominal, [K].
        m: number of datasets.
    """

    k: Float[np.ndarray, " K"]
    nominal: Float[np.ndarray, " K"]
    central: Float[np.ndarray, "K d"]
    normal: Float[np.ndarray, "K d"]
    error: Float[np.ndarray, " K"]
    m: int

    def at(self, k: float) -> tuple[float, np.ndarray, np.ndarray, float]:
        """Nominal, central [d], normal [d] and standard error at the grid point nearest to k."""
        i = int(np.argmin(np.abs(self.k - k)))
        return float(self.nominal[i]), self.central[i], self.normal[i], float(self.error[i])

    def z_scores(self, k: float) -> np.ndarray:
        """(central - nominal) / standard error at k, [d]."""
        nominal, central, _, error = self.at(k)
        return (central - nominal) / error


def coverage(
    u: Float[np.ndarray, "m d"],
    mean: Float[np.ndarray, "m d"],
    sd: Float[np.ndarray, "m d"],
    truth: Float[np.ndarray, "m d"],
    k: Float[np.ndarray, " K"] | None = None,
) -> Coverage:
    """Coverage of both kinds of interval.

    Args:
        u: PIT of the truth (`gibbous.diagnostics.pit`).
        mean, sd: of the posterior draws. truth: the true parameters.
        k: sigmas to evaluate at; by default 0.1, 0.2, ..., 4.
    """
    k = np.arange(1, 41) / 10 if k is None else np.asarray(k, np.float64)
    nominal = special.erf(k / np.sqrt(2))
    central = np.mean(np.abs(u - 0.5)[None] <= nominal[:, None, None] / 2, axis=1)
    deviation = np.abs(truth - mean) / sd
    normal = np.mean(deviation[None] <= k[:, None, None], axis=1)
    error = np.sqrt(nominal * (1 - nominal) / len(u))
    return Coverage(k, nominal, central, normal, error, len(u))
