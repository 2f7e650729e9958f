"""Flow matching: a density as the flow of noise along a learnt velocity.

    du_t/dt = v(u_t, t, b),      u_0 ~ N(0, I),      a = mu(b) + exp(s(b)) u_1,
    log q(a | b) = log N(u_0; 0, I) - int_0^1 div v(u_t, t, b) dt - sum_i s_i(b),
    loss = E_{t, eps} |v(u_t, t, b) - (u - eps)|^2,      u_t = t u + (1 - t) eps,

the straight path of optimal transport from noise eps to data u (Lipman et al. 2023, arXiv
2210.02747; for posteriors Wildberger et al. 2023, arXiv 2305.17161). t = 1 - r^p with r uniform in
training, and steps are equal in r when sampling: p > 1 looks closer at the data. In the loss
of a row each eps comes with -eps, and one r from each of as many equal intervals, so that gradients
scatter less (Owen 2013, "Monte Carlo theory, methods and examples", chapter 8). Any network may be
v:

    v(u_t, t, b) = (2 t - 1) / (t^2 + (1 - t)^2) u_t + network(u_t, t, b),

the first term being the velocity of data that are N(0, I). Closer to that they are brought by mu
and s (`locate.py`), which learn a normal density of their own, through which no gradient of the
velocity's loss flows. mu is linear and s constant, or, for narrow posteriors, both are networks.

Shapes: a, u, eps, v [dim], b [cond].
"""

from collections.abc import Callable
from dataclasses import replace

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from gibbous._types import Key
from gibbous.errors import ConfigError
from gibbous.estimators.base import (
    AbstractEstimated,
    AbstractEstimator,
    AbstractStepwise,
    Moment,
)
from gibbous.estimators.locate import Locate, Regression, standardise
from gibbous.estimators.modulated import Modulated, located

_PAIRS = {True: 2, False: 8}  # of noise and its negative for each row, in training and validation
_EXACT = 30  # dimensions up to which the divergence is computed, and not estimated
_PROBES = 16  # random directions of Hutchinson's estimate, above
_MAX_STEPS = 4_096


class FlowMatching(AbstractEstimator):
    """A density by flow matching.

    Args:
        width: units of a layer. depth: number of residual blocks.
        activation: name of a function of `jax.nn`.
        narrow: for posteriors far narrower than the prior, of widths that differ between datasets:
            learn a normal density with networks of its own besides, and all else in its
            coordinates. It overfits where simulations are few.
        power: p of the times t = 1 - r^p, at least 1, which is uniform; more for narrow posteriors.
        steps: of equal length when sampling, by Heun's method; None adapts them, as densities do.
        tolerance: of adaptive steps, relative and absolute.

    Raises:
        ConfigError: on options out of range.
    """

    width: int = 64
    depth: int = 4
    activation: str = "silu"
    narrow: bool = False
    power: float = 2.0
    steps: int | None = 16
    tolerance: float = 1e-5

    def __check_init__(self):
        if self.power < 1 or (self.steps is not None and self.steps < 1) or self.tolerance <= 0:
            raise ConfigError(
                f"expected a power of at least 1, at least one step (or None) and a positive "
                f"tolerance, got {self.power}, {self.steps} and {self.tolerance}"
            )

    def build(
        self, key: Key, a: Float[Array, "rows dim"], b: Float[Array, "rows cond"]
    ) -> "_FlowMatching":
        """Make the networks."""
        locate, network = located(self, key, a, b)
        return _FlowMatching(locate, network, self.power, self.steps, self.tolerance)


class _FlowMatching(AbstractStepwise, AbstractEstimated):
    locate: Locate | Regression
    network: Modulated
    power: float = eqx.field(static=True)
    steps: int | None = eqx.field(static=True)
    tolerance: float = eqx.field(static=True)

    @property
    def tractable(self) -> bool:
        """Yes, by solving the equation backwards."""
        return True

    def with_steps(self, steps: int | None) -> "_FlowMatching":
        """Of Heun's method; None adapts them."""
        if steps is not None and steps < 1:
            raise ConfigError(f"expected at least one step, or None, got {steps}")
        return replace(self, steps=steps)

    def velocity(
        self, u: Float[Array, " dim"], r: Float[Array, ""], b: Float[Array, " cond"]
    ) -> Float[Array, " dim"]:
        """v(u_t, t, b), t = 1 - r^p."""
        t = 1 - r**self.power
        return (2 * t - 1) / (t**2 + (1 - t) ** 2) * u + self.network(u, r, b)

    def loss(
        self, a: Float[Array, " dim"], b: Float[Array, " cond"], moment: Moment
    ) -> Float[Array, ""]:
        """Squared error of the velocity, and the normal density's own loss."""
        u, normal = standardise(self.locate, a, b)
        key_r, key_eps = jax.random.split(moment.key)
        n = _PAIRS[moment.training]
        r = (jnp.arange(n) + jax.random.uniform(key_r, (n,))) / n
        eps = jax.random.normal(key_eps, (n, *u.shape))

        def one(r: Array, eps: Array) -> Array:
            noise = r**self.power
            velocity = self.velocity((1 - noise) * u + noise * eps, r, b)
            return jnp.sum((velocity - (u - eps)) ** 2)

        errors = jax.vmap(one)(jnp.tile(r, 2), jnp.concatenate([eps, -eps]))
        return jnp.mean(errors) + normal

    def sample(self, key: Key, b: Float[Array, " cond"], n: int) -> Float[Array, "draws dim"]:
        """n draws given b."""
        mu, s = self.locate(b)

        def one(eps: Array) -> Array:
            return mu + jnp.exp(s) * self._solve(self._field(b), 1.0, 0.0, eps, self.steps)

        return jax.vmap(one)(jax.random.normal(key, (n, len(mu))))

    def log_prob(self, a: Float[Array, " dim"], b: Float[Array, " cond"]) -> Float[Array, ""]:
        """Log density of a given b."""
        _, s = self.locate(b)
        u, divergence = self._back(a, b, jnp.sum)
        normal = -0.5 * jnp.sum(u**2) - 0.5 * len(u) * jnp.log(2 * jnp.pi)
        return normal + divergence - jnp.sum(s)

    @property
    def estimated(self) -> bool:
        """Above some dimensions."""
        return self.network.last.weight.shape[-2] > _EXACT

    def log_prob_error(self, a: Float[Array, " dim"], b: Float[Array, " cond"]) -> Float[Array, ""]:
        """From the scatter of Hutchinson's random directions."""
        _, terms = self._back(a, b, lambda terms: terms)
        return jnp.std(terms, ddof=1) * len(terms) ** 0.5  # of the sum of so many

    def _back(self, a: Array, b: Array, collect: Callable[[Array], Array]) -> tuple[Array, Array]:
        """u_0 on the path that ends in a, and what is collected of the divergence's terms."""
        mu, s = self.locate(b)
        field, dim = self._field(b), len(mu)
        if self.estimated:  # Hutchinson: E e^T J e = tr J
            probes = jax.random.rademacher(jax.random.key(0), (_PROBES, dim), jnp.float32)
            probes /= _PROBES**0.5
        else:
            probes = jnp.eye(dim)

        def both(t: Array, state: tuple[Array, Array], _: None) -> tuple[Array, Array]:
            def along(e: Array) -> tuple[Array, Array]:
                v, j = jax.jvp(lambda u: field(t, u, None), (state[0],), (e,))
                return v, e @ j

            v, terms = jax.vmap(along, out_axes=(None, 0))(probes)
            return v, collect(terms)

        start = ((a - mu) * jnp.exp(-s), jnp.zeros_like(collect(probes[:, 0])))
        return self._solve(both, 0.0, 1.0, start, None)

    def _field(self, b: Array):
        p = self.power  # dt/dr = -p r^(p - 1)
        return lambda r, u, _: -p * r ** (p - 1) * self.velocity(u, r, b)

    def _solve(self, field, t0: float, t1: float, start, steps: int | None):
        fixed = steps is not None
        controller = (
            diffrax.ConstantStepSize()
            if fixed
            else diffrax.PIDController(rtol=self.tolerance, atol=self.tolerance)
        )
        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(field),
            diffrax.Heun() if fixed else diffrax.Tsit5(),
            t0,
            t1,
            (t1 - t0) / steps if steps is not None else None,
            start,
            stepsize_controller=controller,
            max_steps=steps if steps is not None else _MAX_STEPS,
        )
        return jax.tree.map(lambda v: v[-1], solution.ys)
