"""Influenza in an English boarding school, 1978 (British Medical Journal, 4 March 1978, p. 587).

763 boys; x_k is the number in bed on day k = 1, ..., 14. One boy is infectious on day 0, and

    dS/dt = -beta S I / N,   dI/dt = beta S I / N - gamma I,   N = 763, S(0) = 762, I(0) = 1,
    x_k ~ NegativeBinomial(mean I(k), variance I(k) + inv_phi I(k)^2):

the SIR model (Kermack & McKendrick, 1927), beta and gamma in 1/day. The priors are those of
Grinsztajn et al. (2021, arXiv 2006.02985): N(2, 1) and N(0.4, 0.5), cut at zero, and
Exponential(5), where 5 is the rate.

    gibbous simulate examples/boarding_school.py

Exact answer, by long-run MCMC (beta, gamma, inv_phi): means 1.735, 0.542, 0.137; standard
deviations 0.053, 0.046, 0.075.
"""

import diffrax
import jax
import jax.numpy as jnp
import numpyro.distributions as dist

import gibbous as gb

BOYS = 763.0
DAYS = jnp.arange(1.0, 15.0)

prior = gb.Prior(
    beta=dist.TruncatedNormal(2.0, 1.0, low=0.0),
    gamma=dist.TruncatedNormal(0.4, 0.5, low=0.0),
    inv_phi=dist.Exponential(5.0),
)

observed = jnp.array(
    [3.0, 8.0, 26.0, 76.0, 225.0, 298.0, 258.0, 233.0, 189.0, 128.0, 68.0, 29.0, 14.0, 4.0]
)


def infected(beta, gamma):
    """I(t) on days 1 to 14: [14], in boys."""

    # In log S and log I neither can turn negative, and the smallest I keeps its relative accuracy.
    def rates(t, logs, args):
        log_s, log_i = logs
        return -beta * jnp.exp(log_i) / BOYS, beta * jnp.exp(log_s) / BOYS - gamma

    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(rates),
        diffrax.Tsit5(),
        t0=0.0,
        t1=14.0,
        dt0=0.05,
        y0=(jnp.log(BOYS - 1.0), jnp.log(1.0)),
        saveat=diffrax.SaveAt(ts=DAYS, fn=lambda t, logs, args: jnp.exp(logs[1])),
        stepsize_controller=diffrax.PIDController(rtol=1e-5, atol=1e-6),
        max_steps=256,  # 23 was the most over 20,000 prior draws
    )
    return jnp.asarray(solution.ys)


@gb.simulator
def simulator(key, theta):
    """Counts on days 1 to 14, as floats: [14]. Heavy-tailed: log1p or asinh helps."""
    gamma_key, poisson_key = jax.random.split(key)
    mean = infected(theta["beta"], theta["gamma"])
    phi = 1.0 / jnp.maximum(theta["inv_phi"], 1e-6)
    # A negative binomial is a Poisson with a gamma-distributed rate, here of mean 1 times `mean`.
    # In logs: for small phi most gamma draws are below the smallest float.
    rate = mean * jnp.exp(jax.random.loggamma(gamma_key, phi, DAYS.shape)) / phi
    return jax.random.poisson(poisson_key, jnp.clip(rate, 0.0, 1e6)).astype(jnp.float32)
