"""Conditional density estimators. A new one is a file here and a line in `ESTIMATORS`."""

from gibbous.estimators.base import AbstractDensity, AbstractEstimator
from gibbous.estimators.consistency import Consistency
from gibbous.estimators.ensemble import Ensemble
from gibbous.estimators.flow import AutoregressiveSpline, CouplingSpline, RealNVP
from gibbous.estimators.mdn import MDN
from gibbous.estimators.mixture import AutoregressiveMixture
from gibbous.estimators.ratio import Classifier
from gibbous.estimators.velocity import FlowMatching

ESTIMATORS: dict[str, type[AbstractEstimator]] = {
    "AutoregressiveMixture": AutoregressiveMixture,
    "AutoregressiveSpline": AutoregressiveSpline,
    "CouplingSpline": CouplingSpline,
    "RealNVP": RealNVP,
    "MDN": MDN,
    "FlowMatching": FlowMatching,
    "Consistency": Consistency,
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
    "Consistency",
    "CouplingSpline",
    "Ensemble",
    "FlowMatching",
    "RealNVP",
]
