"""How near to the posteriors of sir a likelihood can come that is learnt from simulations.

    python -m benchmarks.sir_limit --references FOLDER

By a learner that is told what no method knows: that the counts are independent and binomial,

    x_k ~ Binomial(1000, p_k(theta)),      logit p_k = a polynomial of log theta,

and where the posterior is, as all simulations come from its reference draws. What is left is the
error of maximum likelihood from so many simulations. With w the learnt over the exact likelihood,
of mean one over the draws of the exact posterior p, the best of classifiers between the two
posteriors is right in a share

    1/2 + 1/2 TV = 1/2 + 1/4 E_p |w - 1|.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import log_expit, xlog1py, xlogy
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

import gibbous as gb
from benchmarks.references import references
from gibbous.tasks.sir import TESTED, infected

DEGREES = (1, 2, 3)


def best_share(log_ratio: np.ndarray) -> float:
    """Of draws of p and q that the best classifier puts right; log q / p, up to a constant, at
    draws of p."""
    w = np.exp(log_ratio - log_ratio.max())
    return float(0.5 + 0.25 * np.mean(np.abs(w / w.mean() - 1)))


def learnt_less_exact(
    x_obs: np.ndarray, theta: np.ndarray, p: np.ndarray, x: np.ndarray, degree: int
) -> np.ndarray:
    """Log likelihood of an observation [10] at each theta [n, 2], as learnt from the counts x
    [n, 10] there, less that by their shares p [n, 10]."""
    z = StandardScaler().fit_transform(np.log(theta))
    features = PolynomialFeatures(degree, include_bias=False).fit_transform(z)
    yes, twice = np.repeat([1, 0], len(z)), np.tile(features, (2, 1))
    difference = np.zeros(len(z))
    for k in np.flatnonzero(x.any(axis=0)):  # at first no one is ill in any
        # Of counts that are nearly all zero coefficients run away, without a little regularisation.
        model = LogisticRegression(C=1e4, solver="newton-cholesky", tol=1e-6)
        model.fit(twice, yes, sample_weight=np.concatenate([x[:, k], TESTED - x[:, k]]))
        f, sick, well = model.decision_function(features), x_obs[k], TESTED - x_obs[k]
        difference += sick * log_expit(f) + well * log_expit(-f)
        difference -= xlogy(sick, p[:, k]) + xlog1py(well, -p[:, k])
    return difference


def limits(
    x_obs: np.ndarray, theta: np.ndarray, repeats: int, rng: np.random.Generator
) -> list[float]:
    """The best share for each of `DEGREES`, mean over repeats."""
    beta, gamma = jnp.asarray(theta.T)
    p = np.asarray(jax.vmap(infected)({"beta": beta, "gamma": gamma}), np.float64)
    simulated = [rng.binomial(TESTED, p) for _ in range(repeats)]
    return [
        float(np.mean([best_share(learnt_less_exact(x_obs, theta, p, x, d)) for x in simulated]))
        for d in DEGREES
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a line an observation, and the mean of the best of each."""
    parser = argparse.ArgumentParser(description="What simulations of sir can tell at most")
    parser.add_argument("--references", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--budget", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=10)
    args = parser.parse_args(arguments)
    rng, numbers = np.random.default_rng(0), [1, 2, 3, 4, 5]
    observed, draws = references(gb.tasks.sir(), numbers, args.budget, args.references)
    assert draws is not None
    best = []
    for number, x_obs, theta in zip(numbers, observed, draws, strict=True):
        found = limits(x_obs, theta, args.repeats, rng)
        best.append(min(found))
        each = ", ".join(f"{d}: {v:.3f}" for d, v in zip(DEGREES, found, strict=True))
        print(f"observation {number}, by degree: {each}")
    print(f"mean of the best of each: {np.mean(best):.3f}")


if __name__ == "__main__":
    main()
