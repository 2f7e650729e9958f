"""sbijax 0.3.4 with the networks of its documentation and its default training and sampling.

It standardises nothing, so the observations are standardised for it.
"""

import warnings

import numpy as np
from job import STAGES, Contender, run

WARMUP = 1_000  # of NUTS, the default


class Sbijax(Contender):
    """`sbijax.NAME((prior, None), network)`."""

    packages = ("sbijax", "jax")
    batched = False

    def __init__(self) -> None:
        import jax
        import sbijax
        import sbijax.nn
        from tensorflow_probability.substrates.jax import distributions

        self.jax, self.library, self.tfd = jax, sbijax, distributions
        self.compiled = 0.0
        jax.monitoring.register_event_duration_secs_listener(self.listen)

    def listen(self, event: str, seconds: float, **_: object) -> None:
        """Add up the seconds of tracing, lowering and compiling."""
        if event in STAGES:
            self.compiled += seconds

    def prior(self, about: dict):
        """The prior as a joint distribution of one vector `theta`."""
        given = {k: self.jax.numpy.array(v) for k, v in about.items() if k != "kind"}
        if about["kind"] == "box":
            theta = self.tfd.Uniform(given["low"], given["high"])
        elif about["kind"] == "normal":
            scale = self.jax.numpy.linalg.cholesky(given["cov"])
            theta = self.tfd.MultivariateNormalTriL(given["mean"], scale)
            return self.tfd.JointDistributionNamed({"theta": theta}, batch_ndims=0)
        else:
            theta = self.tfd.LogNormal(given["mu"], given["sigma"])
        theta = self.tfd.Independent(theta, 1)
        return self.tfd.JointDistributionNamed({"theta": theta}, batch_ndims=0)

    def train(self, job: dict, theta: np.ndarray, x: np.ndarray) -> None:
        """Fit."""
        nn, d, k = self.library.nn, theta.shape[1], x.shape[1]
        network = {
            "NPE": lambda: nn.make_maf(d),
            "NLE": lambda: nn.make_maf(k),
            "NRE": lambda: nn.make_resnet(),
            "FMPE": lambda: nn.make_cnf(d),
            "CMPE": lambda: nn.make_cm(d),
        }[job["method"]]()
        self.dim, self.chains = d, 4 if job["method"] in ("NLE", "NRE") else 1
        self.mean, self.sd = x.mean(0), x.std(0) + 1e-8
        method = getattr(self.library, job["method"])
        self.model = method((lambda: self.prior(job["prior"]), None), network)
        before, jnp = self.compiled, self.jax.numpy
        data = {"y": jnp.array(self.scaled(x)), "theta": {"theta": jnp.array(theta)}}
        self.params, _ = self.model.fit(self.jax.random.key(job["seed"]), data=data)
        self.compile_seconds = self.compiled - before

    def scaled(self, x: np.ndarray) -> np.ndarray:
        """Observations, standardised."""
        return ((x - self.mean) / self.sd).astype(np.float32)

    def draw(self, x: np.ndarray, n: int, seed: int) -> np.ndarray:
        """Draws; those of chains come one chain after the other."""
        options = {"n_samples": n}
        if self.chains > 1:
            length = -(-n // self.chains)
            options = {"n_chains": self.chains, "n_warmup": WARMUP, "n_samples": WARMUP + length}
        key, y = self.jax.random.key(seed), self.jax.numpy.array(self.scaled(x))
        found, _ = self.model.sample_posterior(key, self.params, y, **options)
        return np.asarray(found.posterior["theta"]).reshape(-1, self.dim)[:n]

    def draw_many(self, x: np.ndarray, n: int, seed: int) -> np.ndarray:
        """It takes one observation at a time."""
        return np.stack([self.draw(row, n, seed + i) for i, row in enumerate(x)])

    def log_prob(self, theta: np.ndarray, x: np.ndarray) -> None:
        """It offers none."""
        return


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    run(Sbijax)
