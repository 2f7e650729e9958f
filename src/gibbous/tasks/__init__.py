"""Problems to try methods on: a prior, a simulator, and the exact posterior to compare with."""

from collections.abc import Callable

from gibbous.tasks.base import ExactPosterior, Task
from gibbous.tasks.double_moon import DoubleMoonPosterior, double_moon
from gibbous.tasks.gaussian_mixture import GaussianMixturePosterior, gaussian_mixture
from gibbous.tasks.linear_gaussian import LinearGaussianPosterior, linear_gaussian
from gibbous.tasks.one_moon import OneMoonPosterior, one_moon
from gibbous.tasks.slcp import slcp
from gibbous.tasks.two_moons import TwoMoonsPosterior, two_moons

TASKS: dict[str, Callable[[], Task]] = {
    "double_moon": double_moon,
    "gaussian_mixture": gaussian_mixture,
    "linear_gaussian": linear_gaussian,
    "one_moon": one_moon,
    "slcp": slcp,
    "two_moons": two_moons,
}

__all__ = [
    "TASKS",
    "DoubleMoonPosterior",
    "ExactPosterior",
    "GaussianMixturePosterior",
    "LinearGaussianPosterior",
    "OneMoonPosterior",
    "Task",
    "TwoMoonsPosterior",
    "double_moon",
    "gaussian_mixture",
    "linear_gaussian",
    "one_moon",
    "slcp",
    "two_moons",
]
