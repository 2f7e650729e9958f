"""The loss curve shows the history that it was given."""

import numpy as np
import pytest

from gibbous.history import History
from gibbous.plots import loss_curve


def history(**changes):
    values = {
        "steps": (100, 200, 300, 400),
        "loss": (3.0, 1.0, 0.5, 0.25),
        "val_loss": (3.1, 1.2, 0.9, 1.1),
        "best_step": 300,
        "best_val_loss": 0.9,
        "seconds": 1.0,
        "compile_seconds": 0.5,
        "compilations": 2,
        "steps_per_second": 400.0,
        "stopped": "early",
        "n_train": 90,
        "n_validation": 10,
        "batch_size": 8,
    }
    return History(**(values | changes))


def test_both_losses_and_the_step_that_was_kept():
    h = history()
    ax = loss_curve(h)
    training, validation, _, best = ax.lines
    np.testing.assert_array_equal(training.get_xydata(), np.column_stack([h.steps, h.loss]))
    np.testing.assert_array_equal(validation.get_xydata(), np.column_stack([h.steps, h.val_loss]))
    np.testing.assert_array_equal(best.get_xydata(), [[300, 0.9]])
    assert ax.get_xlabel()
    assert ax.get_ylabel()


def test_a_wild_start_does_not_flatten_the_rest():
    steps = tuple(range(1, 101))
    loss = tuple(1e6 if s < 3 else 1 / s for s in steps)
    ax = loss_curve(history(steps=steps, loss=loss, val_loss=loss, best_step=100))
    assert ax.get_ylim()[1] < 1


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_is_no_obstacle(value):
    ax = loss_curve(history(loss=(3.0, value, 0.5, 0.25)))
    assert np.isfinite(ax.get_ylim()).all()


def test_a_single_entry():
    ax = loss_curve(history(steps=(5,), loss=(1.0,), val_loss=(1.0,), best_step=5))
    ax.figure.canvas.draw()
    assert np.isfinite([*ax.get_xlim(), *ax.get_ylim()]).all()
