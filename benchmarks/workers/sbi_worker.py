"""sbi 0.27 with its default settings: NPE, NLE, NRE (NRE-B) and FMPE."""

import warnings

import numpy as np
from job import Contender, run

PROPOSALS = 100  # draws for each held-out row that tell how much of its posterior leaks


class Sbi(Contender):
    """`sbi.inference.NAME(prior)`."""

    packages = ("sbi", "torch")

    def __init__(self) -> None:
        import sbi.inference
        import torch

        self.torch, self.inference = torch, sbi.inference

    def prior(self, about: dict):
        """The prior as a torch distribution."""
        from sbi.utils import BoxUniform

        given = {k: self.torch.tensor(v) for k, v in about.items() if k != "kind"}
        if about["kind"] == "box":
            return BoxUniform(given["low"], given["high"])
        if about["kind"] == "normal":
            return self.torch.distributions.MultivariateNormal(given["mean"], given["cov"])
        each = self.torch.distributions.LogNormal(given["mu"], given["sigma"])
        return self.torch.distributions.Independent(each, 1)

    def train(self, job: dict, theta: np.ndarray, x: np.ndarray) -> None:
        """Fit, and make the posterior."""
        self.torch.manual_seed(job["seed"])
        self.kind = job["method"]
        trainer = getattr(self.inference, self.kind)(self.prior(job["prior"]))
        trainer.append_simulations(self.tensor(theta), self.tensor(x)).train()
        self.posterior = trainer.build_posterior()
        self.chains = getattr(self.posterior, "num_chains", 1)

    def tensor(self, values: np.ndarray):
        """In single precision."""
        return self.torch.as_tensor(values, dtype=self.torch.float32)

    def draw(self, x: np.ndarray, n: int, seed: int) -> np.ndarray:
        """Draws; those of chains come one chain after the other."""
        self.torch.manual_seed(seed)
        return self.posterior.sample((n,), x=self.tensor(x), show_progress_bars=False).numpy()

    def draw_many(self, x: np.ndarray, n: int, seed: int) -> np.ndarray:
        """All observations in one call."""
        self.torch.manual_seed(seed)
        x = self.tensor(x)
        draws = self.posterior.sample_batched((n,), x=x, show_progress_bars=False)
        return draws.numpy().swapaxes(0, 1)

    def log_prob(self, theta: np.ndarray, x: np.ndarray) -> np.ndarray | None:
        """Densities of NPE, less what leaks out of the prior, and of FMPE."""
        theta, x = self.tensor(theta), self.tensor(x)
        if self.kind == "FMPE":
            return self.flow_log_prob(theta, x)
        if self.kind != "NPE":
            return None
        from sbi.utils.sbiutils import within_support

        # sbi's own correction draws until every row has had enough, however much of it leaks.
        with self.torch.no_grad():
            value = self.posterior.log_prob_batched(theta, x, norm_posterior=False).reshape(-1)
            draws = self.posterior.posterior_estimator.sample((PROPOSALS,), condition=x)
            inside = within_support(self.posterior.prior, draws.reshape(-1, theta.shape[1]))
            share = inside.reshape(PROPOSALS, -1).float().mean(0).clamp(min=1 / PROPOSALS)
        return (value - share.log()).numpy()

    def flow_log_prob(self, theta, x) -> np.ndarray:
        """Its `log_prob` takes one observation; the ODE below it takes them all."""
        potential = self.posterior.potential_fn
        with self.torch.no_grad():
            flow = potential.neural_ode(x)
            return flow.log_prob(theta).reshape(-1).numpy()


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    run(Sbi)
