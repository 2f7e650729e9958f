"""gibbous: simulation-based inference in JAX.

A simulator and a prior go in, a posterior that can be trusted comes out:

```python
prior = gb.Prior(mean=dist.Normal(0.0, 1.0))
sims = gb.simulate(prior, simulator, 10_000, seed=0)
posterior = gb.fit(gb.NPE(), prior, sims, seed=0)
draws = posterior.sample(x_observed, 4_000, seed=0)
report = gb.check(posterior, simulator, seed=1)
```
"""

from importlib.metadata import version as _version

from gibbous import diagnostics, plots, tasks
from gibbous.check import Report, check
from gibbous.check_rounds import check_rounds
from gibbous.compilation import keep_compilations
from gibbous.errors import GibbousError, GibbousWarning, TrainingInterrupted
from gibbous.estimators import (
    ESTIMATORS,
    MDN,
    AutoregressiveMixture,
    AutoregressiveSpline,
    Classifier,
    Consistency,
    CouplingSpline,
    FlowMatching,
    RealNVP,
)
from gibbous.fit import fit
from gibbous.fit_config import FitConfig
from gibbous.history import History
from gibbous.load import load
from gibbous.methods import CMPE, CORRECTIONS, FMPE, METHODS, NLE, NPE, NRE, Atomic, Truncated
from gibbous.missing import Missing, MissingAs, Subsets
from gibbous.nets import CNN, EMBEDDINGS, MLP, DeepSet, Identity, Indicators, SetTransformer
from gibbous.posteriors.draws import Draws
from gibbous.posteriors.posterior import Posterior
from gibbous.prior import Prior
from gibbous.rounds import Rounds, RoundsConfig, fit_rounds
from gibbous.samplers import NUTS, SAMPLERS, SMC, NestedSlice
from gibbous.simulation.run import simulate
from gibbous.simulation.simulations import Simulations
from gibbous.simulation.simulator import Simulator, simulator

__version__ = _version("gibbous")

__all__ = [
    "CMPE",
    "CNN",
    "CORRECTIONS",
    "EMBEDDINGS",
    "ESTIMATORS",
    "FMPE",
    "MDN",
    "METHODS",
    "MLP",
    "NLE",
    "NPE",
    "NRE",
    "NUTS",
    "SAMPLERS",
    "SMC",
    "Atomic",
    "AutoregressiveMixture",
    "AutoregressiveSpline",
    "Classifier",
    "Consistency",
    "CouplingSpline",
    "DeepSet",
    "Draws",
    "FitConfig",
    "FlowMatching",
    "GibbousError",
    "GibbousWarning",
    "History",
    "Identity",
    "Indicators",
    "Missing",
    "MissingAs",
    "NestedSlice",
    "Posterior",
    "Prior",
    "RealNVP",
    "Report",
    "Rounds",
    "RoundsConfig",
    "SetTransformer",
    "Simulations",
    "Simulator",
    "Subsets",
    "TrainingInterrupted",
    "Truncated",
    "check",
    "check_rounds",
    "diagnostics",
    "fit",
    "fit_rounds",
    "keep_compilations",
    "load",
    "plots",
    "simulate",
    "simulator",
    "tasks",
]
