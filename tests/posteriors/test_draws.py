"""Draws: named columns, their numbers, and the way to ArviZ."""

import numpy as np
import pytest

from gibbous.errors import ParameterError, ShapeError
from gibbous.posteriors.draws import Draws

RNG = np.random.default_rng(0)
A, B = RNG.normal(size=500), RNG.gamma(2.0, size=(500, 2))


@pytest.fixture
def draws():
    return Draws({"b": B, "a": A})


@pytest.fixture
def batch():
    return Draws({"a": RNG.normal(size=(3, 50)), "b": RNG.normal(size=(3, 50, 2))}, n_batch=1)


def test_names_labels_and_array(draws):
    assert draws.names == ("b", "a")
    assert draws.labels == ("b[0]", "b[1]", "a")
    assert len(draws) == 500
    assert draws.array.shape == (500, 3)
    np.testing.assert_array_equal(draws.array, np.column_stack([B, A]))
    np.testing.assert_array_equal(draws["a"], A)
    assert repr(draws) == "Draws(b: [500, 2], a: [500])"


def test_a_batch(batch):
    assert len(batch) == 50
    assert batch.labels == ("a", "b[0]", "b[1]")
    assert batch.array.shape == (3, 50, 3)
    second = batch.observation(1)
    np.testing.assert_array_equal(second["b"], batch["b"][1])
    np.testing.assert_array_equal(second.array, batch.array[1])
    assert second.summary().shape == (3, 5)
    np.testing.assert_array_equal(batch.observation(-1)["a"], batch["a"][2])


def test_matrix_parameters():
    draws = Draws({"m": np.arange(24.0).reshape(6, 2, 2)})
    assert draws.labels == ("m[0][0]", "m[0][1]", "m[1][0]", "m[1][1]")
    np.testing.assert_array_equal(draws.array, np.arange(24.0).reshape(6, 4))


def test_summary_is_numpys(draws):
    table = draws.summary()
    assert list(table.index) == ["b[0]", "b[1]", "a"]
    assert list(table.columns) == ["mean", "sd", "q2.5", "median", "q97.5"]
    for label, column in zip(table.index, draws.array.T, strict=True):
        want = [column.mean(), column.std(ddof=1), *np.quantile(column, [0.025, 0.5, 0.975])]
        np.testing.assert_allclose(table.loc[label], want, rtol=1e-12)


def test_summary_of_float32_is_not_summed_in_float32():
    a = (1e4 + RNG.normal(size=100_000)).astype(np.float32)
    table = Draws({"a": a}).summary()
    # float32 sums would be off by more than the sd of 1; rounding to 1e-3 leaves the sd alone
    assert table.loc["a", "sd"] == pytest.approx(1, abs=0.01)


def test_arviz_round_trip(draws):
    tree = draws.to_arviz()
    posterior = tree["posterior"]
    assert set(posterior.data_vars) == {"a", "b"}
    assert posterior["a"].shape == (1, 500)
    np.testing.assert_array_equal(posterior["a"].values[0], A)
    np.testing.assert_array_equal(posterior["b"].values[0], B)
    assert posterior["b"].dims[:2] == ("chain", "draw")


def test_errors(draws, batch):
    with pytest.raises(ParameterError, match=r"no parameter 'c'; these draws hold \['b', 'a'\]"):
        draws["c"]
    with pytest.raises(ShapeError, match="one observation; there is no batch"):
        draws.observation(0)
    for method in ("summary", "to_arviz"):
        with pytest.raises(ShapeError, match=rf"draws\.observation\(i\)\.{method}\(\)"):
            getattr(batch, method)()
