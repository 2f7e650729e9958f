"""The source counts of a gamma-ray sky, from one map of photon counts.

The task `source_counts` (see its module for formulae and papers): 64 x 64 pixels of Poisson counts
from an isotropic background and thousands of point sources whose fluxes have a broken power law.
The embedding is `gb.CNN` without convolutions: histograms of the map and of its starlet bands. Two
layers of them found nothing more (mean log density of the truth over 2,528 skies 2.68 +- .03, and
2.70 +- .03 without) and doubled the time of a step. `python -m benchmarks skies` measures.

    gibbous simulate examples/source_counts.py -n 20000

`observed` is the sky of `TRUTH`, drawn with a fixed seed.
"""

import jax
import jax.numpy as jnp

import gibbous as gb

_task = gb.tasks.source_counts()
prior, simulator = _task.prior, _task.simulator

method = gb.NPE(embedding=gb.CNN(layers=0, periodic=True))

TRUTH = {
    "log10_norm": -6.7,
    "n1": 2.9,
    "n2": 1.6,
    "log10_break": -9.4,
    "log10_background": -6.4,
}

observed = jax.jit(simulator.function)(
    jax.random.key(2026), {name: jnp.float32(value) for name, value in TRUTH.items()}
)
