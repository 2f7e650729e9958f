"""One-dimensional marginals of several posteriors of the same parameters, laid over each other."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from gibbous.errors import ShapeError
from gibbous.plots.density import density_1d
from gibbous.plots.style import TRUTH, checked_labels, legend, many_axes, series, styled

if TYPE_CHECKING:
    from collections.abc import Sequence


@styled
def marginals(
    draws: Mapping[str, Float[np.ndarray, "n d"]],
    labels: "Sequence[str]",
    *,
    reference: Float[np.ndarray, "k d"] | None = None,
    truth: Float[np.ndarray, " d"] | None = None,
    axes: Any = None,
) -> np.ndarray:
    """A panel for each of d scalars, a line for each posterior; densities are scaled to their peak.

    Args:
        draws: by name, as many of each as you like.
        labels: d of them.
        reference: draws of what they should be, shown filled.
        truth: marked by a line.
        axes: d axes to draw on.

    Raises:
        ShapeError: on draws or labels that are not of d scalars.
    """
    wrong = {k: v.shape for k, v in draws.items() if v.ndim != 2 or v.shape[1] != len(labels)}
    if wrong or not draws:
        raise ShapeError(f"expected draws [n, {len(labels)}] by name, got {wrong or draws}")
    names = checked_labels(labels, len(labels))
    panels = many_axes(axes, len(names), len(names), (3.1, 2.5))
    for i, (ax, label) in enumerate(zip(panels, names, strict=True)):
        if reference is not None:
            x, f = density_1d(reference[:, i])
            ax.fill_between(x, f, color=TRUTH, alpha=0.18, lw=0, label="exact")
        for j, (name, values) in enumerate(draws.items()):
            ax.plot(*density_1d(values[:, i]), label=name, lw=1.3, **series(j))
        if truth is not None:
            ax.axvline(truth[i], color=TRUTH, lw=0.9)
        ax.set(xlabel=label, yticks=[], ylim=(0, 1.08))
    legend(panels[0])
    return panels
