"""check: a posterior and its simulator in; the evidence for or against it out.

For fresh pairs theta* ~ p(theta), x ~ p(x | theta*), one vectorised computation draws from every
posterior. From these follow the ranks of the truth and their ECDF band, coverage at k sigma, and
the mean log density of the truth

    (1/m) sum_i log q(theta*_i | x_i),

whose expectation no density exceeds that of the exact posterior: calibration says whether a
posterior is honest, this says how sharp it is. Where datasets differ in size, all of it is asked
for small and for large ones as well.
"""

from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np
from jaxtyping import Float, Int

from gibbous import plots
from gibbous._types import Seed, as_key
from gibbous.diagnostics import (
    Coverage,
    EcdfBand,
    SizeBin,
    coverage,
    ecdf_band,
    pit,
    ranks,
    size_bins,
)
from gibbous.errors import ConfigError, OutputExistsError
from gibbous.history import History
from gibbous.posteriors.posterior import Posterior
from gibbous.report import Section, Table, write_page
from gibbous.simulation.run import simulate
from gibbous.simulation.simulations import Simulations
from gibbous.simulation.simulator import Simulator
from gibbous.simulation.sources import observed_part

_SIGMAS = (1.0, 2.0, 3.0)


@dataclass(frozen=True)
class Report:
    """What `gb.check` found, over m fresh datasets.

    Attributes:
        labels: one for each of d scalars.
        ranks: of the truth among `n_draws` draws, [m, d].
        ecdf: their ECDF with its simultaneous band.
        coverage: central and normal intervals at k sigma.
        log_prob: log density of the truth in nats, [m]; None if the posterior has no density.
        prior_log_prob: the same under the prior, [m]; None if nuisances were marginalised.
        by_size: coverage and log density in up to four bins of the number of points; empty where
            all datasets have as many.
        history: of the fit.
    """

    labels: tuple[str, ...]
    n_draws: int
    ranks: Int[np.ndarray, "m d"]
    ecdf: EcdfBand
    coverage: Coverage
    log_prob: Float[np.ndarray, " m"] | None
    prior_log_prob: Float[np.ndarray, " m"] | None
    by_size: tuple[SizeBin, ...]
    history: History

    @property
    def calibrated(self) -> bool:
        """Every ECDF inside its band, and coverage within 3 standard errors at 1, 2, 3 sigma; in
        bins of size, of which there are more, within 4."""
        inside = self.ecdf.inside.all() and _furthest(self.coverage) <= 3
        return bool(inside and all(_furthest(b.coverage) <= 4 for b in self.by_size))

    def findings(self) -> list[str]:
        """The result in sentences."""
        m, level = self.coverage.m, f"{self.ecdf.level:.0%}"
        sentences = []
        for i, label in enumerate(self.labels):
            inside = "inside" if self.ecdf.inside[i] else "OUTSIDE"
            worst = max(_SIGMAS, key=lambda k: abs(self.coverage.z_scores(k)[i]))
            z = self.coverage.z_scores(worst)[i]
            verdict = "as it should be" if abs(z) <= 3 else "TOO FAR OFF"
            sentences.append(
                f"{label}: rank ECDF {inside} its {level} band; coverage at {worst:.0f} sigma is "
                f"{z:+.1f} standard errors from nominal, {verdict} ({m} datasets)."
            )
        for b in self.by_size:
            off = _furthest(b.coverage)
            told = f"{b.low} to {b.high} points: coverage at most {off:.1f} standard errors off"
            told += ", as it should be" if off <= 4 else ", TOO FAR"
            if b.log_prob is not None:
                told += "; log density {:.2f} ± {:.2f} nats".format(*mean_and_error(b.log_prob))
            sentences.append(f"{told} ({b.coverage.m} datasets).")
        if self.log_prob is None:
            return [*sentences, "This posterior has draws but no density: sharpness is not known."]
        mean, error = mean_and_error(self.log_prob)
        sharp = f"Mean log density of the truth: {mean:.2f} ± {error:.2f} nats"
        if self.prior_log_prob is not None:
            sharp += f"; the prior gives {mean_and_error(self.prior_log_prob)[0]:.2f}"
        return [*sentences, sharp + "."]

    def table(self) -> Table:
        """Coverage at 1, 2, 3 sigma for each scalar."""
        head = ["coverage", *(f"{k:.0f} sigma" for k in _SIGMAS)]
        nominal = ["nominal", *(f"{self.coverage.at(k)[0]:.4f}" for k in _SIGMAS)]
        error = ["standard error", *(f"{self.coverage.at(k)[3]:.4f}" for k in _SIGMAS)]
        rows = [
            [label, *(f"{self.coverage.at(k)[1][i]:.4f}" for k in _SIGMAS)]
            for i, label in enumerate(self.labels)
        ]
        return Table(head, [nominal, error, *rows])

    def sections(self) -> list[Section]:
        """Text and figures for a page."""
        c, labels = self.coverage, list(self.labels)
        figures = [
            ("How often the central interval of k sigma holds the truth, against how often it "
             "should; the bands are 1 and 3 standard errors.",
             plots.coverage(c, labels)),
            ("The same in the tails.", plots.coverage_tails(c, labels)),
            ("The textbook recipe, |truth - mean| / sd against the normal distribution. It departs "
             "from the diagonal where a posterior is not normal, calibrated or not.",
             plots.coverage(c, labels, kind="normal")),
            ("ECDF of the ranks minus the diagonal: a calibrated posterior stays inside the band.",
             plots.ecdf_difference(self.ecdf, labels)),
            ("Ranks of the truth among the draws: flat if calibrated, a bowl if too narrow, a hill "
             "if too wide.",
             plots.rank_histograms(self.ranks, self.n_draws, labels)),
        ]  # fmt: skip
        if self.by_size:
            caption = "Coverage at 1 sigma, for small datasets and for large ones."
            figures.append((caption, plots.coverage_by_size(self.by_size, labels)))
        return [
            Section(
                "Calibration and sharpness",
                "\n\n".join(self.findings()),
                [(caption, _figure(ax)) for caption, ax in figures],
                self.table(),
            ),
            Section(
                "Training",
                _training(self.history),
                [("Loss against step.", _figure(plots.loss_curve(self.history)))],
            ),
        ]

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write one self-contained HTML page.

        Raises:
            OutputExistsError: if the file is there already and `overwrite` is not set.
        """
        if Path(path).exists() and not overwrite:
            raise OutputExistsError(f"{path} exists; choose another name or pass overwrite=True")
        sections = self.sections()
        write_page(path, "Posterior check", sections)
        close_figures(sections)


def check(
    posterior: Posterior,
    simulator: Simulator,
    *,
    n: int = 2_000,
    draws: int = 1_000,
    seed: Seed,
    progress: bool = True,
) -> Report:
    """Test a posterior on fresh simulations.

    Args:
        posterior: from `gb.fit`.
        simulator: the one that it was fitted to.
        n: number of fresh datasets.
        draws: from each posterior.
        seed: an int or a JAX key.
        progress: show a bar.

    Raises:
        SimulationError: if every simulation fails.
        ConfigError: if there are fewer than 10 datasets or draws, or the posterior is of sequential
            rounds, and so of one observation.
    """
    if n < 10 or draws < 10:
        raise ConfigError(f"expected at least 10 datasets and 10 draws, got {n=}, {draws=}")
    if "round" in posterior.recipe:
        raise ConfigError(
            f"this posterior is of round {posterior.recipe['round']}, meant for one observation; "
            "gb.check_rounds(method, prior, simulator, ...) tests the rounds that it came from"
        )
    key = as_key(seed)
    sims = simulate(posterior.prior, simulator, n, seed=key, progress=progress).usable()
    sims = observed_part(jax.random.fold_in(key, 1), sims, posterior.missing)
    return check_on(posterior, sims, draws=draws, seed=key, progress=progress)


def check_on(
    posterior: Posterior, sims: Simulations, *, draws: int, seed: Seed, progress: bool = True
) -> Report:
    """Test a posterior on given simulations, which it must not have been trained on."""
    drawn = posterior.sample(sims.x, draws, seed=seed, progress=progress)
    evidence = None if drawn.diagnostics is None else drawn.diagnostics.log_evidence
    log_prob = None
    if posterior.approximation.tractable:
        log_prob = posterior.log_prob(truth_of(posterior, sims), sims.x, log_evidence=evidence)
    return report_of(posterior, sims, drawn.array, log_prob)


def truth_of(posterior: Posterior, sims: Simulations) -> dict[str, np.ndarray]:
    """The inferred parameters of simulations."""
    return {name: sims.theta[name] for name in posterior.names}


def report_of(
    posterior: Posterior,
    sims: Simulations,
    array: Float[np.ndarray, "m draws d"],
    log_prob: Float[np.ndarray, " m"] | None,
) -> Report:
    """What draws from the posterior of each of m datasets say, and the log densities of the truth;
    `posterior` tells names, prior and history."""
    values = truth_of(posterior, sims).values()
    truth = np.concatenate([v.reshape(len(sims), -1) for v in values], axis=1)
    rank = ranks(array, truth)
    u = pit(rank, array.shape[1])
    # In float64, for a far draw of a heavy tail has no square in float32.
    mean = array.mean(axis=1, dtype=np.float64)
    sd = array.std(axis=1, ddof=1, dtype=np.float64)
    everything = set(posterior.names) == set(posterior.prior.names)
    sizes = np.zeros(len(sims)) if sims.sizes is None else sims.sizes
    rows = size_bins(sizes) if np.ptp(sizes) else []
    return Report(
        labels=posterior.latent.labels,
        n_draws=array.shape[1],
        ranks=rank,
        ecdf=ecdf_band(u),
        coverage=coverage(u, mean, sd, truth),
        log_prob=log_prob,
        prior_log_prob=np.asarray(posterior.prior.log_prob(sims.theta)) if everything else None,
        by_size=tuple(
            SizeBin(
                low=int(sizes[b].min()),
                high=int(sizes[b].max()),
                coverage=coverage(u[b], mean[b], sd[b], truth[b]),
                log_prob=None if log_prob is None else log_prob[b],
            )
            for b in rows
        ),
        history=posterior.history,
    )


def mean_and_error(values: Float[np.ndarray, " m"]) -> tuple[float, float]:
    """Mean and its standard error."""
    return float(np.mean(values)), float(np.std(values, ddof=1) / np.sqrt(len(values)))


def _furthest(c: Coverage) -> float:
    """Standard errors that coverage is off at most, over scalars, at 1, 2 and 3 sigma."""
    return max(float(np.abs(c.z_scores(k)).max()) for k in _SIGMAS)


def close_figures(sections: list[Section]) -> None:
    """Close the figures of a page that was written, so that pyplot can forget them."""
    import matplotlib.pyplot as plt

    for section in sections:
        for _, figure in section.figures:
            plt.close(figure)


def _training(h: History) -> str:
    source = "fresh simulations" if h.n_train is None else f"{h.n_train:,} simulations"
    return (
        f"{h.steps[-1]:,} steps of {h.batch_size} on {source} in {h.seconds:.0f} s, of which "
        f"{h.compile_seconds:.0f} s compiling {h.compilations} programs; "
        f"{h.steps_per_second:,.0f} steps a second. Validation loss {h.best_val_loss:.3f} at step "
        f"{h.best_step:,}; stopped: {h.stopped}."
    )


def _figure(ax):
    return np.ravel(ax)[0].figure
