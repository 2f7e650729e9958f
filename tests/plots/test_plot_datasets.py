"""Small multiples of datasets, each under its own parameters."""

import numpy as np
import pytest

from gibbous.errors import ShapeError
from gibbous.plots import datasets

RNG = np.random.default_rng(0)


def test_sets_of_points_are_scattered():
    x = RNG.normal(size=(5, 30, 2))
    axes = datasets({"rate": np.arange(5.0), "w": np.ones((5, 2))}, x)
    assert axes.shape == (5,)
    for i, ax in enumerate(axes):
        np.testing.assert_array_equal(ax.collections[0].get_offsets(), x[i])
        assert ax.get_title() == f"rate = {i}, w = (1, 1)"
    assert len({ax.get_xlim() for ax in axes}) == 1  # shared


@pytest.mark.parametrize("shape", [(3, 12), (3, 12, 1)])
def test_vectors_are_lines(shape):
    x = RNG.normal(size=shape)
    axes = datasets({"a": np.zeros(3)}, x, share=False)
    for i, ax in enumerate(axes):
        np.testing.assert_array_equal(ax.lines[0].get_ydata(), x[i].ravel())
    assert len({ax.get_ylim() for ax in axes}) == 3


def test_long_titles_are_broken_between_parameters():
    theta = {f"a_long_name_{i}": np.zeros(1) for i in range(3)}
    (ax,) = datasets(theta, np.zeros((1, 4, 2)))
    lines = ax.get_title().split("\n")
    assert [line.rstrip(",") for line in lines] == [f"{name} = 0" for name in theta]


@pytest.mark.usefixtures("unchecked")
def test_wrong_shapes():
    with pytest.raises(ShapeError, match=r"\[m, n, 2\]"):
        datasets({"a": np.zeros(3)}, np.zeros((3, 10, 4)))
    with pytest.raises(ShapeError, match="'a' with 3 rows"):
        datasets({"a": np.zeros(2)}, np.zeros((3, 10)))
    with pytest.raises(ShapeError, match="axes"):
        datasets({"a": np.zeros(2)}, np.zeros((2, 10)), axes=[None])
