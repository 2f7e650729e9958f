"""What only a learnt likelihood can do with the double moon: one fit, datasets of any size.

The likelihood of one point is learnt; the posterior of n points follows for every n. With the
fraction replaced by a Bernoulli parameter the same method tells which moon the points come from.
"""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from gibbous import plots
from gibbous.fit import fit
from gibbous.fit_config import FitConfig
from gibbous.methods import NLE
from gibbous.posteriors.posterior import Posterior
from gibbous.report import Section, Table
from gibbous.results import keep_figure
from gibbous.samplers import SMC
from gibbous.simulation.run import simulate, simulate_at
from gibbous.tasks import double_moon, one_moon

SIZES = (1, 10, 200, 5_000)
_FEW = 10
_THETA = {"fraction": [0.3], "log10_noise": [-1.7], "dilation": [1.4]}
_MOONS = 6  # datasets of each size of which the moon is asked
_MOON_SIZES = (1, 3, 10)
_DRAWS = 256

# Many points make round posteriors and slow likelihoods: few particles and moves. Few points leave
# wide, curved ones, which need more and can afford them.
LIKELIHOOD = NLE(iid=True, sampler=SMC(particles=512, moves=8))
_OF_FEW_POINTS = SMC(particles=1_024, moves=20)
LIKELIHOOD_CONFIG = {"batch_size": 512, "learning_rate": 4e-3, "b2": 0.99, "clip": 10.0}


def sizes_section(posterior: Posterior, folder: Path, seed: int) -> Section:
    """Posteriors from the first 1, 10, 200 and 5,000 points of one dataset, beside the exact."""
    theta = {name: np.array(value) for name, value in _THETA.items()}
    full = simulate_at(theta, double_moon(max(SIZES)).simulator, seed=seed, progress=False)
    truth = {name: v[0] for name, v in full.theta.items()}
    rows, figures = [], []
    for n in SIZES:
        x = full.x[0][:n]
        began = time.perf_counter()
        sampled = posterior.with_sampler(_OF_FEW_POINTS) if n <= _FEW else posterior
        draws = sampled.sample(x, _DRAWS, seed=seed)
        seconds = time.perf_counter() - began
        reference = _exact(x, seed)
        corner = plots.corner(draws, truth=truth, reference=reference, legend=("learnt", "exact"))
        figures.append((
            f"{n:,} points: the learnt posterior (filled: 68 and 95%) and the exact one (lines).",
            keep_figure(corner, folder / f"points-{n}.png"),
        ))  # fmt: skip
        assert draws.diagnostics is not None
        for name in draws.names:
            a, b = draws[name].astype(np.float64), reference[name]
            rows.append([
                f"{n:,}", name, f"{truth[name]:.4g}",
                f"{a.mean():.4g} ± {a.std():.2g}", f"{b.mean():.4g} ± {b.std():.2g}",
                f"{np.nanmax(draws.diagnostics.rhat):.3f}", f"{seconds:.1f}",
            ])  # fmt: skip
    head = ["points", "parameter", "truth", "learnt", "exact", "largest R-hat", "seconds"]
    return Section(
        "One fit, datasets of any size",
        "Log-likelihoods of independent points add, so what was learnt of one point serves 1 or "
        "5,000. The errors of a learnt likelihood add as well: with very many points they show.",
        figures,
        Table(head, rows),
    )


def moons_section(steps: int, seed: int) -> Section:
    """Which moon do the points come from? A Bernoulli parameter, enumerated exactly."""
    task = one_moon(1)
    config = FitConfig(**{**LIKELIHOOD_CONFIG, "steps": steps})
    method = replace(LIKELIHOOD, sampler=_OF_FEW_POINTS)
    posterior = fit(method, task.prior, task.simulator, config=config, seed=seed)
    rows = []
    for n in _MOON_SIZES:
        sims = simulate(task.prior, one_moon(n).simulator, _MOONS, seed=seed + n, progress=False)
        draws = posterior.sample(sims.x, _DRAWS, seed=seed)
        learnt = draws["upper"].mean(axis=1)
        exact = [task.exact(x).probability for x in sims.x]  # type: ignore[misc]
        for truth, x, p, q in zip(sims.theta["upper"], sims.x, learnt, exact, strict=True):
            first = ", ".join(f"({a:.2f}, {b:.2f})" for a, b in x[:1])
            rows.append([f"{n}", first, f"{truth:.0f}", f"{p:.3f}", f"{q:.3f}"])
    return Section(
        "Which moon do all the points come from?",
        "With a Bernoulli parameter in the place of the fraction: its posterior probability, "
        "the noise and the dilation being unknown and marginalised.",
        (),
        Table(["points", "the first", "upper moon", "learnt P(upper)", "exact P(upper)"], rows),
    )


def _exact(x: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    exact = double_moon().exact
    assert exact is not None
    return exact(x).sample(4 * _DRAWS, seed=seed)
