"""Problems to try methods on: a prior, a simulator, and the exact posterior to compare with."""

from collections.abc import Callable

from gibbous.tasks.base import ExactPosterior, Task
from gibbous.tasks.bernoulli_glm import bernoulli_glm, bernoulli_glm_raw
from gibbous.tasks.double_moon import DoubleMoonPosterior, double_moon
from gibbous.tasks.gaussian_linear import GaussianLinearPosterior, gaussian_linear
from gibbous.tasks.gaussian_linear_uniform import (
    GaussianLinearUniformPosterior,
    gaussian_linear_uniform,
)
from gibbous.tasks.gaussian_mixture import GaussianMixturePosterior, gaussian_mixture
from gibbous.tasks.lotka_volterra import lotka_volterra
from gibbous.tasks.one_moon import OneMoonPosterior, one_moon
from gibbous.tasks.sir import sir
from gibbous.tasks.slcp import slcp, slcp_distractors
from gibbous.tasks.source_counts import source_counts
from gibbous.tasks.two_moons import TwoMoonsPosterior, two_moons

TASKS: dict[str, Callable[[], Task]] = {
    "bernoulli_glm": bernoulli_glm,
    "bernoulli_glm_raw": bernoulli_glm_raw,
    "double_moon": double_moon,
    "gaussian_linear": gaussian_linear,
    "gaussian_linear_uniform": gaussian_linear_uniform,
    "gaussian_mixture": gaussian_mixture,
    "lotka_volterra": lotka_volterra,
    "one_moon": one_moon,
    "sir": sir,
    "slcp": slcp,
    "slcp_distractors": slcp_distractors,
    "source_counts": source_counts,
    "two_moons": two_moons,
}

__all__ = [
    "TASKS",
    "DoubleMoonPosterior",
    "ExactPosterior",
    "GaussianLinearPosterior",
    "GaussianLinearUniformPosterior",
    "GaussianMixturePosterior",
    "OneMoonPosterior",
    "Task",
    "TwoMoonsPosterior",
    "bernoulli_glm",
    "bernoulli_glm_raw",
    "double_moon",
    "gaussian_linear",
    "gaussian_linear_uniform",
    "gaussian_mixture",
    "lotka_volterra",
    "one_moon",
    "sir",
    "slcp",
    "slcp_distractors",
    "source_counts",
    "two_moons",
]
