"""The posterior as the user holds it: named parameters, their units, any number of observations.

    z ~ q(z | x),   theta = T(S^-1(z)),   log p(theta | x) = log q(z | x) - log |det d theta/d z|.

The mathematics is written for one observation in `AbstractPosterior`; `batched.py` vectorises it.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from gibbous import tensors
from gibbous._types import Seed, Theta, stream
from gibbous.errors import (
    ArtefactError,
    ConfigError,
    GibbousWarning,
    OutputExistsError,
    SamplingWarning,
    ShapeError,
)
from gibbous.latent import Latent
from gibbous.missing import AbstractMissing, Subsets
from gibbous.posteriors import observations
from gibbous.posteriors.base import AbstractPosterior
from gibbous.posteriors.batched import evaluate, sample_chains, sample_direct
from gibbous.posteriors.blocks import Core
from gibbous.posteriors.direct import DirectPosterior
from gibbous.posteriors.draws import Draws
from gibbous.posteriors.mcmc import MCMCPosterior
from gibbous.posteriors.observations import Observations
from gibbous.posteriors.refined import Refined, refined
from gibbous.prior import Prior
from gibbous.recipe import describe
from gibbous.samplers import AbstractSampler
from gibbous.scaling import Standardizer


@dataclass(frozen=True, repr=False)
class Posterior:
    """What `gb.fit` returns.

    Args:
        approximation: q(z | x), or likelihood times prior; unbatched.
        latent: the map between theta and z.
        x_scaler: the standardiser of datasets.
        event_shape: shape of one dataset; None in it stands for any length.
        history: how the training went.
        sizes: least and most points of the sets that were trained on, where sets may differ.
        missing: what observations may lack.
        recipe: what `save` writes besides the arrays, as plain JSON values.
    """

    approximation: AbstractPosterior
    latent: Latent
    x_scaler: Standardizer
    event_shape: tuple[int | None, ...]
    history: Any
    sizes: tuple[int, int] | None = None
    missing: AbstractMissing | Subsets | None = None
    recipe: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Posterior of {list(self.names)} given x of shape {list(self.event_shape)}"

    @property
    def names(self) -> tuple[str, ...]:
        """The inferred parameters."""
        return self.latent.names

    @property
    def prior(self) -> Prior:
        """The prior of all parameters, nuisances included."""
        return self.latent.prior

    # --- draws and densities ----------------------------------------------------------------------

    def sample(self, x: Any, n: int = 1_000, *, seed: Seed, progress: bool = False) -> Draws:
        """Draw from the posterior.

        Args:
            x: one observation [*event_shape], or a batch of them [m, *event_shape]; sets of
                different sizes [n_i, d] as a list. NaN is a missing value.
            n: draws for each observation.
            seed: an int or a JAX key.
            progress: show a bar (for batches that take long).

        Returns:
            Draws with arrays [n, *shape], or [m, n, *shape] for a batch.

        Raises:
            ShapeError: if x has neither shape.
            ObservationError: if x holds NaN or inf, is an empty set, or has no likelihood.
            ConfigError: if n is not positive.

        Warns:
            SamplingWarning: if Markov chains have not converged; `draws.diagnostics` has the whole.
        """
        if n < 1:
            raise ConfigError(f"expected at least one draw, got {n=}")
        key = stream(seed, "sample")
        observed = self.observed(x)
        run = sample_direct if self.approximation.direct else sample_chains
        values, chains, found = run(self._core, key, observed, n, progress)
        theta = {name: v if observed.batched else v[0] for name, v in values.items()}
        if found is not None:
            complaint = found.complaint(self.latent.labels, n)
            if complaint:
                warnings.warn(complaint, SamplingWarning, stacklevel=2)
            found = found if observed.batched else found.observation(0)
        return Draws(theta, int(observed.batched), chains, found)

    def log_prob(
        self, theta: Theta | Any, x: Any, *, log_evidence: Any = None
    ) -> Float[np.ndarray, "*batch"]:
        """Log density in the user's parameters, in nats; -inf outside the prior's support.

        Where a likelihood or a ratio was learnt it is not normalised (log prior + log likelihood)
        unless `log_evidence` is given: that of `draws.diagnostics`, which SMC and nested sampling
        compute. For discrete parameters it is their probability times the density of the others.

        Args:
            theta: a dict of arrays [*batch, *shape] of the inferred parameters, or one array
                [*batch, dim] with columns in the order of `names`.
            x: one observation, or a batch as long as that of theta, paired row by row.
            log_evidence: to subtract; one number, or one for each of a batch of observations.

        Raises:
            ShapeError: on shapes that do not fit, or batches of different lengths.
            ParameterError: on an unknown or a missing name.
            ObservationError: if x holds NaN or inf, or is an empty set.
            ConfigError: on a `log_evidence` where all is normalised already, and for gb.CMPE.

        Warns:
            GibbousWarning: with its standard error, where it is an estimate: gb.FMPE above 30 dims.
        """
        if log_evidence is not None and self.approximation.direct:
            raise ConfigError("this posterior is normalised already: leave log_evidence out")
        value = self._evaluate(theta, x, "posterior")
        if isinstance(self.approximation, DirectPosterior) and self.approximation.estimated:
            error = self._evaluate(theta, x, "error")[np.isfinite(value)]
            warnings.warn(
                f"log_prob is an estimate in {self.latent.dim} dimensions, with a standard error "
                f"of {np.median(error) if error.size else 0:.2g} nats in the median",
                GibbousWarning,
                stacklevel=2,
            )
        return value if log_evidence is None else value - np.asarray(log_evidence)

    def log_likelihood(self, theta: Theta | Any, x: Any) -> Float[np.ndarray, "*batch"]:
        """Learnt log p(x | theta) in nats and the user's units of x; a sum over iid points.

        Arguments and errors are those of `log_prob`.

        Raises:
            ConfigError: if no likelihood was learnt (see `log_ratio` for NRE).
        """
        if not self._learnt(normalised=True):
            raise ConfigError("no likelihood was learnt: only gb.NLE gives one")
        return self._evaluate(theta, x, "likelihood")

    def log_ratio(self, theta: Theta | Any, x: Any) -> Float[np.ndarray, "*batch"]:
        """Learnt log p(x | theta) / p(x) in nats; a sum over iid points.

        Arguments and errors are those of `log_prob`.

        Raises:
            ConfigError: if no ratio was learnt (see `log_likelihood` for NLE).
        """
        if not self._learnt(normalised=False):
            raise ConfigError("no likelihood ratio was learnt: only gb.NRE gives one")
        return self._evaluate(theta, x, "likelihood")

    def refine(
        self,
        x: Any,
        log_likelihood: Any,
        *,
        n: int = 4_000,
        proposals: int | None = None,
        seed: Seed,
    ) -> Refined:
        """Weigh draws by a likelihood, known or learnt, and draw again by the weights.

        Args:
            x: one observation.
            log_likelihood: from parameters by name, [m, *shape] each, to log likelihoods [m] in
                nats; or a posterior of gb.NLE or gb.NRE with the same parameters.
            n: draws to return, chosen among so many `proposals` (None: 4 n).
            seed: an int or a JAX key.

        Raises:
            ConfigError: if this posterior has no density (gb.CMPE), or on numbers out of range.
            ShapeError: on a batch of observations, or likelihoods that are not one a draw.
            ObservationError: if no draw has a finite likelihood.

        Warns:
            SamplingWarning: if k-hat is above 0.7: weights cannot repair this posterior.
        """
        m = 4 * n if proposals is None else proposals
        if n < 1 or m < 100 or not self.approximation.tractable:
            raise ConfigError(f"expected a density, and 100 draws to weigh: got {n=}, {m=}, {self}")
        key_draws, key_choice = jax.random.split(stream(seed, "refine"))
        theta = dict((draws := self.sample(x, m, seed=key_draws)).values)
        if isinstance(log_likelihood, Posterior):
            value = log_likelihood._evaluate(theta, x, "likelihood")
        else:
            value = np.asarray(log_likelihood(theta), np.float64)
        if value.shape != (m,) or draws.n_batch:
            raise ShapeError(f"expected one x and {m} log likelihoods, got shape {value.shape}")
        log_w = value + self.latent.log_density(theta) - self.log_prob(theta, x)
        out = refined(key_choice, draws, log_w, n, self.approximation.direct)
        if out.complaint:
            warnings.warn(out.complaint, SamplingWarning, stacklevel=2)
        return out

    # --- the same network, otherwise used ---------------------------------------------------------

    def with_sampler(self, sampler: AbstractSampler) -> "Posterior":
        """The same posterior, drawn from by another sampler: gb.SMC, gb.NUTS or gb.NestedSlice.

        Raises:
            ConfigError: if this posterior needs no sampler.
        """
        approximation = replace(self._mcmc("a sampler"), sampler=sampler)
        recipe = {**self.recipe, "sampler": describe(sampler)}
        return replace(self, approximation=approximation, recipe=recipe)

    def with_steps(self, steps: int | None) -> "Posterior":
        """The same posterior, drawn from in another number of steps: of gb.FMPE and gb.CMPE.

        Args:
            steps: more are slower and nearer to what was learnt; None, for gb.FMPE only, lets them
                adapt to its tolerance.

        Raises:
            ConfigError: if this posterior is not drawn from in steps, or not in as many.
        """
        if not isinstance(self.approximation, DirectPosterior):
            raise ConfigError("steps are of gb.FMPE and gb.CMPE: choose a sampler by with_sampler")
        approximation = self.approximation.with_steps(steps)
        return replace(self, approximation=approximation, recipe={**self.recipe, "steps": steps})

    def with_prior(self, prior: Prior) -> "Posterior":
        """The posterior under another prior; nothing is simulated or trained again.

        Args:
            prior: of parameters with the same names and shapes, and inside of the region that the
                simulations came from: the network knows nothing of any other.

        Raises:
            ConfigError: if the posterior itself was learnt (NPE), and with it the prior.
            PriorError: if the new prior has other parameters, or reaches where nothing was
                simulated.

        Warns:
            GibbousWarning: if more than 1% of its draws lie outside of what was simulated.
        """
        approximation = self._mcmc("another prior")
        trained = approximation.trained or approximation.latent
        latent = trained.under(prior)
        approximation = replace(approximation, latent=latent, trained=trained)
        recipe = {**self.recipe, "new_prior": prior.describe()}
        return replace(self, approximation=approximation, latent=latent, recipe=recipe)

    def _mcmc(self, what: str) -> MCMCPosterior:
        if isinstance(self.approximation, MCMCPosterior):
            return self.approximation
        raise ConfigError(
            f"{what} is for posteriors made of a likelihood (gb.NLE) or a ratio (gb.NRE); this one "
            "was learnt as a whole, under its prior, and is drawn from directly"
        )

    def _learnt(self, normalised: bool) -> bool:
        a = self.approximation
        return isinstance(a, MCMCPosterior) and a.likelihood.normalised == normalised

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write to one file: arrays as safetensors, the rest as JSON; `gb.load` reads it.

        Raises:
            OutputExistsError: if the file is there already and `overwrite` is not set.
            ArtefactError: if `with_prior` gave it a prior that does not travel with a file.
        """
        if "new_prior" in self.recipe and self.prior.custom:
            raise ArtefactError(
                f"the new prior of {self.prior.custom} is not made of plain numpyro distributions, "
                "so it cannot be saved: save the posterior as it was fitted, and call with_prior "
                "on what gb.load returns"
            )
        if Path(path).exists() and not overwrite:
            raise OutputExistsError(f"{path} exists; choose another name or pass overwrite=True")
        arrays = tensors.flatten((self.approximation, self.latent, self.x_scaler))
        tensors.write(path, arrays, {"kind": "posterior", **self.recipe})

    def observed(self, x: Any) -> Observations:
        """Observations as the compiled blocks take them.

        Raises:
            ShapeError, ObservationError: as `sample` does.
        """
        entries = isinstance(self.missing, AbstractMissing)
        return observations.parse(x, self.event_shape, self.x_scaler, self.sizes, entries)

    def _evaluate(self, theta: Theta | Any, x: Any, what: str) -> np.ndarray:
        return evaluate(self._core, theta, self.observed(x), what)

    @property
    def _core(self) -> Core:
        return Core(self.approximation, self.latent, self.x_scaler)
