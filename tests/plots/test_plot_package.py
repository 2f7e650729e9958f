"""What holds for the whole of gibbous.plots."""

import subprocess
import sys

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np

from gibbous import plots
from gibbous.plots import style


def test_importing_the_plots_does_not_import_matplotlib():
    code = "import sys, gibbous.plots; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_everything_exported_is_there():
    assert sorted(plots.__all__) == list(plots.__all__)
    assert all(callable(getattr(plots, name)) for name in plots.__all__)


def test_the_users_options_are_left_alone():
    before = dict(mpl.rcParams)
    plots.predictive(np.zeros(9), np.ones((3, 9)))
    assert dict(mpl.rcParams) == before


def test_given_axes_are_drawn_on():
    fig, ax = plt.subplots()
    assert plots.predictive(np.zeros(9), np.ones((3, 9)), ax) is ax
    assert plt.get_fignums() == [fig.number]


def test_series_beyond_the_palette_differ_in_their_dash():
    looks = {tuple(style.series(i).values()) for i in range(24)}
    assert len(looks) == 24


def test_numbers_are_short():
    assert style.number(0.31831) == "0.318"
    assert style.number(-3.0) == "\N{MINUS SIGN}3"
    assert style.number(np.array([0.1, 2])) == "(0.1, 2)"
