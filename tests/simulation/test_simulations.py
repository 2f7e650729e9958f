"""Simulations in memory and on disk."""

import numpy as np
import pytest

from gibbous import Simulations
from gibbous.errors import ArtefactError, OutputExistsError, ShapeError, SimulationError


@pytest.fixture
def sims():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(6, 4, 2))
    x[1, 2, 0] = np.nan
    x[4, 0, 1] = -np.inf
    theta = {"b": rng.normal(size=(6, 3)), "a": np.arange(6.0)}
    theta["a"][5] = np.nan
    return Simulations(theta, x, first_error="row 1: it broke")


def test_shapes_and_types(sims):
    assert len(sims) == 6
    assert sims.event_shape == (4, 2)
    assert sims.x.dtype == np.float32
    assert {v.dtype for v in sims.theta.values()} == {np.dtype(np.float32)}
    assert "row 1" not in repr(sims)


def test_valid_rows(sims):
    assert sims.valid.tolist() == [True, False, True, True, False, False]
    assert sims.n_failed == 3
    usable = sims.usable()
    assert usable.theta["a"].tolist() == [0, 2, 3]
    np.testing.assert_array_equal(usable.x, sims.x[[0, 2, 3]])
    assert usable.usable() is usable


def test_no_valid_row(sims):
    none = Simulations({"a": np.zeros(3)}, np.full((3, 2), np.nan), "row 0: ValueError: stiff")
    with pytest.raises(
        SimulationError, match=r"all 3 simulations failed; .*row 0: ValueError: stiff"
    ):
        none.usable()
    with pytest.raises(SimulationError, match="NaN or inf"):
        none.rows(np.arange(2)).usable()


def test_rows_keep_pairs_together(sims):
    chosen = sims.rows(np.array([3, 0]))
    assert chosen.theta["a"].tolist() == [3, 0]
    np.testing.assert_array_equal(chosen.x, sims.x[[3, 0]])
    np.testing.assert_array_equal(chosen.theta["b"], sims.theta["b"][[3, 0]])
    assert len(sims.rows(sims.valid)) == 3


def test_save_and_load(sims, tmp_path):
    path = tmp_path / "sims.gibbous"
    sims.save(path)
    back = Simulations.load(path)
    assert list(back.theta) == ["b", "a"]
    for name in sims.theta:
        np.testing.assert_array_equal(back.theta[name], sims.theta[name])
    np.testing.assert_array_equal(back.x, sims.x)
    assert back.first_error == "row 1: it broke"
    with pytest.raises(OutputExistsError, match="exists; choose another name"):
        sims.save(path)
    data = path.read_bytes()
    path.write_bytes(data[:-10])
    with pytest.raises(ArtefactError, match="cut short"):
        Simulations.load(path)
    with pytest.raises(ArtefactError, match="no file"):
        Simulations.load(tmp_path / "other")


def test_shapes_that_do_not_fit():
    with pytest.raises(
        ShapeError, match=r"as many rows of x as of every parameter.*\(4,\).*\(5,\)"
    ):
        Simulations({"a": np.zeros(5)}, np.zeros((4, 2)))
    with pytest.raises(ShapeError, match="as many rows"):
        Simulations({"a": np.zeros(4), "b": np.zeros(5)}, np.zeros((4, 2)))
    with pytest.raises(ShapeError, match=r"x\[:, None\]"):
        Simulations({"a": np.zeros(4)}, np.zeros(4))
    with pytest.raises(ShapeError, match="as many rows"):
        Simulations({"a": np.array(1.0)}, np.array(2.0))


def test_rows_know_their_round(sims, tmp_path):
    assert sims.round.tolist() == [0] * 6
    late = Simulations(sims.rows(np.arange(2)).theta, sims.x[:2], round=np.array([1, 1]))
    both = sims.append(late)
    assert both.round.tolist() == [0] * 6 + [1, 1]
    np.testing.assert_array_equal(both.x[6:], sims.x[:2])
    np.testing.assert_array_equal(both.theta["b"][6:], sims.theta["b"][:2])
    assert both.first_error == "row 1: it broke"
    assert both.rows(np.array([7, 0])).round.tolist() == [1, 0]
    assert both.usable().round.tolist() == [0, 0, 0, 1]
    both.save(tmp_path / "both")
    assert Simulations.load(tmp_path / "both").round.tolist() == both.round.tolist()
    with pytest.raises(OutputExistsError):
        both.save(tmp_path / "both")
    both.save(tmp_path / "both", overwrite=True)
    with pytest.raises(ShapeError, match="expected simulations of the shapes"):
        sims.append(Simulations({"a": np.zeros(2)}, np.zeros((2, 4, 2))))
    with pytest.raises(ShapeError, match="round"):
        Simulations({"a": np.zeros(2)}, np.zeros((2, 3)), round=np.zeros(3))


# --- sets of different sizes ----------------------------------------------------------------------


@pytest.fixture
def ragged():
    rng = np.random.default_rng(1)
    sets = [rng.normal(size=(n, 2)).astype(np.float32) for n in (3, 0, 7, 5)]
    sets[3][1, 0] = np.nan
    return sets, Simulations({"a": np.arange(4.0)}, sets)


def same(found, sets):
    assert len(found) == len(sets)
    for x, y in zip(found.sets(), sets, strict=True):
        np.testing.assert_array_equal(x, y)


def test_sets_are_padded_in_memory_only(ragged, tmp_path):
    sets, sims = ragged
    assert sims.x.shape == (4, 7, 2)
    assert sims.sizes.tolist() == [3, 0, 7, 5]
    same(sims, sets)
    assert sims.valid.tolist() == [True, True, True, False]  # padding is no failure
    same(sims.usable().rows(np.array([2, 0])), [sets[2], sets[0]])
    sims.save(tmp_path / "sets")
    back = Simulations.load(tmp_path / "sets")
    assert back.sizes.tolist() == sims.sizes.tolist()
    same(back, sets)
    whole = Simulations({"a": np.zeros(1_000)}, [*(np.ones((1, 2)),) * 999, np.ones((1_000, 2))])
    whole.save(tmp_path / "long")
    # 1,999 points of 8 bytes and 1,000 rows of some 20; padded they would be 8 MB.
    assert (tmp_path / "long").stat().st_size < 60_000


def test_sets_can_be_appended(ragged):
    sets, sims = ragged
    more = Simulations({"a": np.ones(2)}, np.ones((2, 9, 2)))
    same(sims.append(more), [*sets, *more.x])
    same(more.append(sims), [*more.x, *sets])
    with pytest.raises(ShapeError, match="of the shapes"):
        sims.append(Simulations({"a": np.ones(2)}, np.ones((2, 9, 3))))
    with pytest.raises(ShapeError, match="sizes"):
        Simulations({"a": np.ones(2)}, np.ones((2, 9, 2)), sizes=np.ones(3, int))
