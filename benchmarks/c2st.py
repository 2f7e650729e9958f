"""Classifier two-sample test, the sbibm recipe (Lueckmann et al. 2021, arXiv 2101.04653).

Both samples are standardised by the reference; a perceptron with two hidden layers of 10 d units
tells them apart in 5-fold cross-validation; the score is its mean accuracy: 0.5 means that it
cannot. Samples are [n, d], of equal length.
"""

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import KFold, cross_val_score
from sklearn.neural_network import MLPClassifier


def c2st(reference: np.ndarray, sample: np.ndarray, seed: int = 1) -> float:
    """Accuracy of the classifier between two samples [n, d]."""
    mean, sd = reference.mean(axis=0), reference.std(axis=0)
    x = np.concatenate([(reference - mean) / sd, (sample - mean) / sd])
    y = np.concatenate([np.zeros(len(reference)), np.ones(len(sample))])
    units = 10 * x.shape[1]
    classifier = MLPClassifier((units, units), max_iter=10_000, solver="adam", random_state=seed)
    folds = KFold(n_splits=5, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        scores = cross_val_score(classifier, x, y, cv=folds, scoring="accuracy")
    return float(np.mean(scores))
