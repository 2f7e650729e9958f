"""load: a posterior from a file, its networks looked up by name among gibbous' own."""

from pathlib import Path

from gibbous.artefact import load_posterior
from gibbous.estimators import ESTIMATORS, Classifier
from gibbous.method import AbstractMethod
from gibbous.methods import CORRECTIONS, METHODS
from gibbous.nets import EMBEDDINGS
from gibbous.posteriors.posterior import Posterior
from gibbous.prior import Prior
from gibbous.samplers import SAMPLERS

_REGISTRY = METHODS | CORRECTIONS | EMBEDDINGS | ESTIMATORS | SAMPLERS | {"Classifier": Classifier}


def load(
    path: str | Path, *, prior: Prior | None = None, method: AbstractMethod | None = None
) -> Posterior:
    """Read a posterior that `posterior.save` wrote. Runs no code from the file.

    Args:
        path: the file.
        prior: needed where the prior holds callables or distributions that are not numpyro's.
        method: needed where the method holds a network of your own.

    Raises:
        ArtefactError: if the file is missing, cut short, changed, of a newer format, or needs a
            prior or a method that was not given.
    """
    return load_posterior(path, _REGISTRY, prior=prior, method=method)
