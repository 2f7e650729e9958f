"""The double-moon problem: two half circles, noise, and a stretch.

    d ~ Uniform(0, 1)           `fraction` of the points that lie on the upper moon
    log10 s ~ Normal(-3, 0.7)   `log10_noise`
    t ~ HalfNormal(2)           `dilation` of the vertical

    phi ~ Uniform(0, pi)
    v = (cos phi, sin phi) with probability d, else (1 - cos phi, 1/2 - sin phi)
    y = diag(1, t) (v + s e),  e ~ N(0, I_2);  x is n iid points, shape [n, 2].

The lower moon is the upper one turned by half a turn about (1/2, 1/4). With u = (y_0, y_1 / t) and
A the density of a point about the upper half circle (`arc.py`), 1/t the Jacobian of the stretch,

    p(y | d, s, t) = (1/t) [ d A(u; s) + (1 - d) A((1, 1/2) - u; s) ].

The exact posterior is that likelihood times the prior, normalised by importance sampling
(`importance.py`) in z = (logit d, log10 s, log t). t is known to about s / sqrt(n), often a
relative 1e-4, so modes are sought from the profile of the root-mean-square distance to the nearer
moon: its dip at the true t is wide even where the likelihood's is not. All is float64 NumPy;
observations in float32 serve as long as s exceeds their rounding, about 1e-7.
"""

import warnings
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from jaxtyping import Array, ArrayLike, Float
from scipy.special import expit, log_expit, logit, logsumexp

from gibbous.errors import GibbousWarning
from gibbous.prior import Prior
from gibbous.simulation.simulator import simulator
from gibbous.tasks.arc import log_arc_density
from gibbous.tasks.base import Task, observation, parameter, positive
from gibbous.tasks.importance import Weighted, importance_sample

NOISE_MEAN, NOISE_SD = -3.0, 0.7  # of log10 noise
DILATION_SCALE = 2.0
BLOCK = 8192  # arc densities at a time: the temporaries stay in cache
POOR_ESS = 0.05
FEW, PRIOR_DRAWS = 5, 500_000  # below so many points, draws of the prior are weighed

Rows = Float[np.ndarray, " m"]


def double_moon(n_points: int = 200) -> Task:
    """The task, with datasets of `n_points`; `exact` takes a dataset of any size.

    Raises:
        ConfigError: if `n_points` is below one.
    """
    positive(n_points, "n_points")
    prior = Prior(
        fraction=dist.Uniform(0.0, 1.0),
        log10_noise=dist.Normal(NOISE_MEAN, NOISE_SD),
        dilation=dist.HalfNormal(DILATION_SCALE),
    )

    @simulator
    def moons(key: Array, theta: Mapping[str, Array]) -> Float[Array, "n 2"]:
        which, where, scatter = jax.random.split(key, 3)
        phi = jnp.pi * jax.random.uniform(where, (n_points,))
        arc = jnp.stack([jnp.cos(phi), jnp.sin(phi)], axis=-1)
        upper = jax.random.uniform(which, (n_points, 1)) < theta["fraction"]
        point = jnp.where(upper, arc, jnp.array([1.0, 0.5]) - arc)
        point += 10.0 ** theta["log10_noise"] * jax.random.normal(scatter, (n_points, 2))
        return point * jnp.stack([jnp.ones_like(theta["dilation"]), theta["dilation"]])

    return Task("double_moon", prior, moons, DoubleMoonPosterior)


class DoubleMoonPosterior:
    """The exact posterior of (fraction, log10_noise, dilation) given points [n, 2].

    `ess` is the effective fraction of the importance draws (1 is perfect); `log_evidence` is
    log p(x) in nats, with a standard error of about sqrt((1 / ess - 1) / draws). Fewer than five
    points leave a posterior too bent for the proposal, but so broad that draws of the prior serve.

    Raises:
        ObservationError: unless x is a finite [n, 2] array.

    Warns:
        GibbousWarning: if `ess` is below 0.05; draws and densities are then not to be trusted.
    """

    def __init__(self, x: ArrayLike, *, draws: int = 1000, seed: int = 0) -> None:
        self._y = observation(x, (None, 2))
        rng = np.random.default_rng(seed)
        if len(self._y) < FEW:
            self._pool: Weighted | None = None
            self._z = _draw_prior(rng, PRIOR_DRAWS)
            log_d, log_1d = log_expit(self._z[:, 0]), log_expit(-self._z[:, 0])
            w = log_likelihood(self._y, log_d, log_1d, self._z[:, 1], np.exp(self._z[:, 2]))
            self.log_evidence = float(logsumexp(w) - np.log(len(w)))
            self._p = np.exp(w - logsumexp(w))
            self.ess = float(1 / np.sum(self._p**2) / len(w))
            return
        self._pool = importance_sample(self._log_target, starts(self._y), rng, draws)
        self.ess = self._pool.ess
        self.log_evidence = self._pool.log_z
        if self.ess < POOR_ESS:
            warnings.warn(
                f"expected an effective sample size of at least {POOR_ESS:.0%} of the importance "
                f"draws, got {self.ess:.1%}; ask DoubleMoonPosterior(x, draws=...) for more than "
                f"{draws} draws, and check that x was simulated by this task",
                GibbousWarning,
                stacklevel=2,
            )

    def sample(self, n: int, seed: int) -> dict[str, np.ndarray]:
        """Draw `n` times, independently, by rejection from the importance proposal.

        The bound on the weights is the largest among the importance draws; any above it is cut.
        Of fewer than five points: by the weights of draws of the prior.
        """
        rng = np.random.default_rng(seed)
        if self._pool is None:
            return _named(self._z[rng.choice(len(self._z), size=n, p=self._p)])
        bound = self._pool.log_w.max()
        accept = np.exp(self._pool.log_z - bound)
        kept, missing = [np.empty((0, 3))], n
        while missing > 0:
            z = self._pool.proposal.sample(rng, int(1.1 * missing / accept) + 10)
            log_w = self._log_target(z) - self._pool.proposal.log_prob(z)
            kept.append(z[np.log(rng.uniform(size=len(z))) < log_w - bound][:missing])
            missing -= len(kept[-1])
        return _named(np.concatenate(kept))

    def log_prob(self, theta: Mapping[str, ArrayLike]) -> np.ndarray:
        """Normalised log density in the task's parameters, -inf outside the prior.

        Each parameter is a scalar or an array [m]; the result has their common shape.
        """
        d, noise, t = np.broadcast_arrays(
            *(parameter(theta, name) for name in ("fraction", "log10_noise", "dilation"))
        )
        shape = d.shape
        inside = (d >= 0) & (d <= 1) & (t > 0) & (np.abs(noise) < 100)
        out = np.full(shape, -np.inf)
        d, noise, t = d[inside], noise[inside], t[inside]
        with np.errstate(divide="ignore"):  # log 0 = -inf is right at d = 0 and d = 1
            log_d, log_1d = np.log(d), np.log1p(-d)
        out[inside] = (
            log_likelihood(self._y, log_d, log_1d, noise, t)
            + log_prior(noise, t)
            - self.log_evidence
        )
        return out

    def _log_target(self, z: Float[np.ndarray, "m 3"]) -> Rows:
        """Unnormalised log density of z = (logit d, log10 s, log t), Jacobian included."""
        log_d, log_1d = log_expit(z[:, 0]), log_expit(-z[:, 0])
        with np.errstate(all="ignore"):  # with few points a step may go where t or s overflows
            t = np.exp(z[:, 2])
            prior = log_prior(z[:, 1], t) + log_d + log_1d + z[:, 2]
            value = log_likelihood(self._y, log_d, log_1d, z[:, 1], t) + prior
        return np.where(np.isnan(value), -np.inf, value)


def _named(z: Float[np.ndarray, "m 3"]) -> dict[str, np.ndarray]:
    return {"fraction": expit(z[:, 0]), "log10_noise": z[:, 1], "dilation": np.exp(z[:, 2])}


def _draw_prior(rng: np.random.Generator, n: int) -> Float[np.ndarray, "m 3"]:
    noise = NOISE_MEAN + NOISE_SD * rng.standard_normal(n)
    log_t = np.log(np.abs(DILATION_SCALE * rng.standard_normal(n)))
    return np.stack([logit(rng.uniform(size=n)), noise, log_t], axis=1)


def log_prior(log10_noise: Rows, t: Rows) -> Rows:
    """Log prior density of (log10 s, t); that of d is 0."""
    noise = -0.5 * ((log10_noise - NOISE_MEAN) / NOISE_SD) ** 2 - 0.5 * np.log(
        2 * np.pi * NOISE_SD**2
    )
    return noise - 0.5 * (t / DILATION_SCALE) ** 2 + 0.5 * np.log(2 / (np.pi * DILATION_SCALE**2))


def log_likelihood(
    y: Float[np.ndarray, "n 2"], log_d: Rows, log_1d: Rows, log10_noise: Rows, t: Rows
) -> Rows:
    """sum_i log p(y_i | theta), one value a row of parameters."""
    out, rows = np.empty(len(t)), max(1, BLOCK // len(y))
    for start in range(0, len(t), rows):
        part = slice(start, start + rows)
        points = _log_points(y, log_d[part], log_1d[part], log10_noise[part], t[part])
        out[part] = points.sum(axis=1)
    return out


def _log_points(
    y: Float[np.ndarray, "n 2"], log_d: Rows, log_1d: Rows, log10_noise: Rows, t: Rows
) -> Float[np.ndarray, "m n"]:
    """log p(y_i | theta) of each point under each row of parameters."""
    s, stretch = 10.0 ** log10_noise[:, None], t[:, None]
    across, up = y[:, 0], y[:, 1] / stretch
    upper = log_d[:, None] + log_arc_density(across, up, s)
    lower = log_1d[:, None] + log_arc_density(1.0 - across, 0.5 - up, s)
    return np.logaddexp(upper, lower) - np.log(stretch)


def _distances(y: Float[np.ndarray, "n 2"], t: Rows) -> Float[np.ndarray, "2 m n"]:
    """Distance of each point, its vertical divided by t, to the upper and to the lower moon."""
    up = y[:, 1] / t[:, None]
    across = np.broadcast_to(y[:, 0], up.shape)
    found = []
    for a, b in ((across, up), (1.0 - across, 0.5 - up)):
        found.append(np.where(b >= 0, np.abs(np.hypot(a, b) - 1.0), np.hypot(np.abs(a) - 1.0, b)))
    return np.stack(found)


def starts(
    y: Float[np.ndarray, "n 2"], most: int = 3, moons: tuple[int, ...] = (0, 1)
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Where the profile over t dips, best first: (z, rough scale) for each.

    moons: the ones that points may lie on, 0 the upper.
    """
    n, reach = len(y), np.abs(y[:, 1]).max() + 1e-12

    def profile(log_t: Rows) -> tuple[Rows, Rows]:
        t = np.exp(log_t)
        rms = np.sqrt(np.mean(_distances(y, t)[list(moons)].min(axis=0) ** 2, axis=1)) + 1e-8
        return -n * (np.log(rms) + log_t) + log_prior(np.log10(rms), t), rms

    # Low noise puts max |y_1| between t/2 and t; high noise, or few points, beyond that.
    grid = np.log(reach) + np.linspace(-2.5, 2.5, 201)
    value, _ = profile(grid)
    inner = np.flatnonzero((value[1:-1] >= value[:-2]) & (value[1:-1] >= value[2:])) + 1
    tops = inner[np.argsort(-value[inner])][:most] if len(inner) else np.array([value.argmax()])
    starts = []
    for log_t in grid[tops]:
        width = grid[1] - grid[0]
        s = 1.0
        for _ in range(6):  # six zooms by 10: from 0.025 to 2.5e-8 in log t
            near = log_t + width * np.linspace(-1.0, 1.0, 21)
            value, rms = profile(near)
            log_t, s = near[value.argmax()], rms[value.argmax()]
            width /= 10.0
        upper, lower = _distances(y, np.exp(np.array([log_t])))[:, 0]
        d = (np.sum(upper < lower) + 1.0) / (n + 2.0)
        scale = np.array(
            [1.0 / np.sqrt(n * d * (1.0 - d)), 0.3 / np.sqrt(n), 2.0 * min(s, 0.5) / np.sqrt(n)]
        )
        starts.append((np.array([logit(d), np.log10(s), log_t]), scale))
    return starts
