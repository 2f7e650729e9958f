"""What `gibbous sample` leaves behind: draws, a table, a corner plot, predictive data."""

from pathlib import Path

import numpy as np

from gibbous import plots
from gibbous._types import Seed, stream
from gibbous.errors import ShapeError
from gibbous.posteriors.draws import Draws
from gibbous.posteriors.posterior import Posterior
from gibbous.simulation.run import simulate_at
from gibbous.simulation.simulator import Simulator

_PREDICTIVE = 500  # simulated datasets to lay over the observed one


def write_results(
    folder: Path,
    posterior: Posterior,
    draws: Draws,
    x: np.ndarray,
    simulator: Simulator,
    *,
    seed: Seed,
) -> list[Path]:
    """Write draws.npz, summary.csv, corner.png and predictive.png: the last without nuisances, for
    vectors and for points in a plane."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / "draws.npz", folder / "summary.csv", folder / "corner.png"]
    np.savez(files[0], **dict(draws.values))  # type: ignore[arg-type]
    draws.summary().to_csv(files[1], index_label="parameter")
    save_figure(plots.corner(draws), files[2])
    # A nuisance has no posterior draws to simulate from.
    if set(posterior.names) == set(posterior.prior.names):
        try:
            axes = plots.predictive(x, predict(draws, simulator, seed=seed))
        except ShapeError:  # of other datasets there is no picture
            return files
        files.append(folder / "predictive.png")
        save_figure(axes, files[-1])
    return files


def predict(draws: Draws, simulator: Simulator, *, seed: Seed) -> np.ndarray:
    """Datasets simulated at posterior draws, [S, *event_shape]; failed ones are left out."""
    theta = {name: value[:_PREDICTIVE] for name, value in draws.values.items()}
    return simulate_at(theta, simulator, seed=stream(seed, "predict"), progress=False).usable().x


def save_figure(axes, path: Path) -> None:
    """Save the figure that holds these axes, and close it."""
    import matplotlib.pyplot as plt

    plt.close(keep_figure(axes, path))


def keep_figure(axes, path: Path):
    """Save the figure of these axes as a picture, for a page that still wants it; return it."""
    figure = np.ravel(axes)[0].figure
    figure.savefig(path, dpi=150)
    return figure
