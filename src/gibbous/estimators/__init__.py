"""Conditional density estimators. A new one is a file here and a line in `ESTIMATORS`."""

from gibbous.estimators.base import AbstractDensity, AbstractEstimator
from gibbous.estimators.ensemble import Ensemble
from gibbous.estimators.flow import AutoregressiveSpline, CouplingSpline, RealNVP
from gibbous.estimators.mdn import MDN
from gibbous.estimators.mixture import AutoregressiveMixture
from gibbous.estimators.ratio import Classifier

ESTIMATORS: dict[str, type[AbstractEstimator]] = {
    "AutoregressiveMixture": AutoregressiveMixture,
    "AutoregressiveSpline": AutoregressiveSpline,
    "CouplingSpline": CouplingSpline,
    "RealNVP": RealNVP,
    "MDN": MDN,
    "Ensemble": Ensemble,
}

__all__ = [
    "ESTIMATORS",
    "MDN",
    "AbstractDensity",
    "AbstractEstimator",
    "AutoregressiveMixture",
    "AutoregressiveSpline",
    "Classifier",
    "CouplingSpline",
    "Ensemble",
    "RealNVP",
]
