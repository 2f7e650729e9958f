"""Adaptive importance sampling from a low-dimensional density known up to a constant.

Target exp(l(z)), z in R^d. The proposal q is a mixture of multivariate Student-t densities (nu = 5:
tails heavier than a posterior's), one for each mode found: centre m_k, scale matrix S_k from the
curvature of l there, weight from Laplace's Z_k = exp(l(m_k)) (2 pi)^(d/2) |S_k|^(1/2). With draws
z_i ~ q and weights w_i = exp(l(z_i)) / q(z_i),

    Z ~ mean_i w_i,      ESS = (sum_i w_i)^2 / sum_i w_i^2,

and each round of adaptation replaces every component's weight, centre and scale matrix by the
weighted moments of the draws, shared out by responsibility (population Monte Carlo: Cappé et al.,
2008, arXiv 0710.4242).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import gammaln, logsumexp

Points = Float[np.ndarray, "m d"]
Values = Float[np.ndarray, " m"]
LogDensity = Callable[[Points], Values]

NU = 5.0
KEEP = 12.0  # nats of Laplace evidence by which a mode may trail the best
NEWTON_STEPS = 25
STEP_FRACTIONS = np.array([1.0, 0.5, 0.2, 0.05, 0.01])


@dataclass(frozen=True)
class StudentMixture:
    """q(z) = sum_k weight_k t_nu(z; centre_k, chol_k chol_k^T)."""

    weights: Float[np.ndarray, " k"]
    centres: Float[np.ndarray, "k d"]
    chols: Float[np.ndarray, "k d d"]

    def sample(self, rng: np.random.Generator, n: int) -> Points:
        """Draws [n, d]."""
        k = rng.choice(len(self.weights), size=n, p=self.weights)
        d = self.centres.shape[1]
        scale = np.sqrt(NU / rng.chisquare(NU, size=n))
        normal = rng.standard_normal((n, d))
        return self.centres[k] + scale[:, None] * np.einsum("nij,nj->ni", self.chols[k], normal)

    def log_components(self, z: Points) -> Float[np.ndarray, "k m"]:
        """log of weight_k t_nu(z; ...), one row a component."""
        d = z.shape[1]
        constant = gammaln((NU + d) / 2) - gammaln(NU / 2) - d / 2 * np.log(NU * np.pi)
        rows = []
        for weight, centre, chol in zip(self.weights, self.centres, self.chols, strict=True):
            white = np.linalg.solve(chol, (z - centre).T)
            tail = (NU + d) / 2 * np.log1p(np.sum(white**2, axis=0) / NU)
            rows.append(np.log(weight) + constant - np.log(np.diag(chol)).sum() - tail)
        return np.stack(rows)

    def log_prob(self, z: Points) -> Values:
        """log q(z), one value a row."""
        return np.logaddexp.reduce(self.log_components(z), axis=0)


@dataclass(frozen=True)
class Weighted:
    """Draws from `proposal` with their log weights."""

    proposal: StudentMixture
    z: Points
    log_w: Values

    @property
    def log_z(self) -> float:
        """log Z in nats."""
        return float(logsumexp(self.log_w) - np.log(len(self.log_w)))

    @property
    def ess(self) -> float:
        """Effective sample size as a fraction of the draws."""
        w = np.exp(self.log_w - self.log_w.max())
        return float(w.sum() ** 2 / (w**2).sum() / len(w))


def importance_sample(
    log_target: LogDensity,
    starts: Sequence[tuple[np.ndarray, np.ndarray]],
    rng: np.random.Generator,
    draws: int,
    rounds: int = 2,
) -> Weighted:
    """Fit the proposal to `log_target` and weight `draws` of it.

    Args:
        log_target: l(z) for the rows of z; -inf is allowed away from the starts.
        starts: pairs (z [d], rough scale [d]) from which modes are sought.
        draws: size of the last round, the one returned; adaptation rounds take half of it each.
    """
    found = [_climb(log_target, *start) for start in starts]
    best = max(evidence for _, _, evidence in found)
    modes: list[tuple[np.ndarray, np.ndarray, float]] = []
    for centre, chol, evidence in sorted(found, key=lambda mode: -mode[2]):
        apart = all(np.linalg.norm(np.linalg.solve(c, centre - m)) > 1.0 for m, c, _ in modes)
        if evidence > best - KEEP and apart:
            modes.append((centre, chol, evidence))
    share = np.exp(np.array([evidence for _, _, evidence in modes]) - best)
    share = np.maximum(share / share.sum(), 0.02)
    proposal = StudentMixture(
        share / share.sum(), np.stack([m for m, _, _ in modes]), np.stack([c for _, c, _ in modes])
    )
    for _ in range(rounds):
        proposal = _adapt(_weigh(log_target, proposal, rng, draws // 2))
    return _weigh(log_target, proposal, rng, draws)


def _weigh(
    log_target: LogDensity, proposal: StudentMixture, rng: np.random.Generator, n: int
) -> Weighted:
    z = proposal.sample(rng, n)
    return Weighted(proposal, z, log_target(z) - proposal.log_prob(z))


def _adapt(old: Weighted) -> StudentMixture:
    """One population Monte Carlo update; a component seen by too few draws keeps its shape."""
    q, z = old.proposal, old.z
    d = z.shape[1]
    logs = q.log_components(z)
    w = np.exp(old.log_w - old.log_w.max())
    weights, centres, chols = q.weights.copy(), q.centres.copy(), q.chols.copy()
    for k, row in enumerate(np.exp(logs - logsumexp(logs, axis=0)) * w):
        weights[k] = max(row.sum() / w.sum(), 1e-3)
        if row.sum() ** 2 < 10 * d * np.sum(row**2):
            continue
        p = row / row.sum()
        centres[k] = p @ z
        centred = z - centres[k]
        # As the t's scale matrix, the target's covariance makes q wider by nu / (nu - 2): safe.
        chols[k] = np.linalg.cholesky((centred.T * p) @ centred)
    return StudentMixture(weights / weights.sum(), centres, chols)


def _climb(
    log_target: LogDensity, start: np.ndarray, scale: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float]:
    """Damped Newton from `start`, gradient and Hessian by differences half a scale wide.

    Returns the mode [d], the Cholesky factor of Laplace's covariance there [d, d] and Laplace's
    log evidence.
    """
    z, d = np.array(start, dtype=np.float64), len(start)
    eye = np.eye(d)
    pairs = [(i, j) for i in range(d) for j in range(i)]
    moves = np.array(
        [np.zeros(d), *eye, *-eye]
        + [a * eye[i] + a * b * eye[j] for i, j in pairs for a in (1, -1) for b in (1, -1)]
    )
    half, widest = 0.5, 20.0 * scale
    best_value, chol = -np.inf, np.diag(scale)
    for _ in range(NEWTON_STEPS):
        values = log_target(z + half * scale * moves)
        if not np.isfinite(values).all():  # off the edge of the target
            scale = 0.3 * scale
            continue
        here, plus, minus = values[0], values[1 : d + 1], values[d + 1 : 2 * d + 1]
        gradient = (plus - minus) / (2 * half)
        hessian = np.diag((plus + minus - 2 * here) / half**2)
        for (i, j), (pp, pm, mm, mp) in zip(pairs, values[2 * d + 1 :].reshape(-1, 4), strict=True):
            hessian[i, j] = hessian[j, i] = (pp - pm + mm - mp) / (4 * half**2)
        curvature, axes = np.linalg.eigh(-hessian)
        curvature = np.clip(curvature, 0.05, 1e6)  # uphill even where l is not concave
        chol = scale[:, None] * np.linalg.cholesky((axes / curvature) @ axes.T)
        step = axes @ ((axes.T @ gradient) / curvature)
        step *= scale / max(1.0, np.linalg.norm(step) / 4.0)
        trial = z + STEP_FRACTIONS[:, None] * step
        reached = np.nan_to_num(log_target(trial), nan=-np.inf)
        pick = int(np.argmax(reached))
        gain = reached[pick] - here
        best_value = max(here, reached[pick])
        if gain > 0:
            z = trial[pick]
        wanted = np.clip(np.sqrt((chol**2).sum(axis=1)), 0.2 * scale, 5.0 * scale)
        if gain < 1e-2 and np.all(np.abs(np.log(wanted / scale)) < 0.5):
            break
        scale = np.minimum(wanted, widest)
    evidence = best_value + np.log(np.diag(chol)).sum() + d / 2 * np.log(2 * np.pi)
    return z, chol, float(evidence)
