"""Draws from a posterior: named arrays, and the way into the ecosystem's tools."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from gibbous.errors import ParameterError, ShapeError
from gibbous.posteriors.convergence import Diagnostics

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr


@dataclass(frozen=True, repr=False)
class Draws:
    """Draws of named parameters, in the user's units.

    Args:
        values: per parameter an array [n, *shape], or [m, n, *shape] for a batch of m observations.
        n_batch: number of leading batch axes before the axis of draws (0 or 1).
        chains: that the draws come from, in turns; 1 if they are independent.
        diagnostics: of the chains; None for independent draws.
    """

    values: Mapping[str, np.ndarray]
    n_batch: int = 0
    chains: int = 1
    diagnostics: Diagnostics | None = None

    def __getitem__(self, name: str) -> np.ndarray:
        """The draws of one parameter.

        Raises:
            ParameterError: on an unknown name.
        """
        if name not in self.values:
            raise ParameterError(f"no parameter {name!r}; these draws hold {list(self.values)}")
        return self.values[name]

    def __len__(self) -> int:
        """Number of draws (for each observation)."""
        return next(iter(self.values.values())).shape[self.n_batch]

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name}: {list(v.shape)}" for name, v in self.values.items())
        return f"Draws({shapes})"

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters."""
        return tuple(self.values)

    @property
    def labels(self) -> tuple[str, ...]:
        """One label for each column of `array`."""
        axis = self.n_batch + 1
        return tuple(
            name + "".join(f"[{i}]" for i in index)
            for name, v in self.values.items()
            for index in np.ndindex(*v.shape[axis:])
        )

    @property
    def array(self) -> np.ndarray:
        """All parameters side by side: [n, dim], or [m, n, dim] for a batch."""
        axis = self.n_batch + 1
        parts = [v.reshape(*v.shape[:axis], -1) for v in self.values.values()]
        return np.concatenate(parts, axis=-1)

    def observation(self, i: int) -> "Draws":
        """The draws for observation `i` of a batch.

        Raises:
            ShapeError: if these draws are for a single observation.
        """
        if self.n_batch == 0:
            raise ShapeError("these draws are for one observation; there is no batch to index")
        values = {name: v[i] for name, v in self.values.items()}
        found = self.diagnostics
        return Draws(values, 0, self.chains, None if found is None else found.observation(i))

    def summary(self) -> "pd.DataFrame":
        """Mean, standard deviation and 2.5, 50, 97.5% quantiles of each scalar, as a table.

        R-hat and effective sample sizes stand beside them where the draws are of chains.

        Raises:
            ShapeError: for a batch of observations (use `.observation(i).summary()`).
        """
        import pandas as pd

        self._single("summary")
        a = self.array.astype(np.float64)
        low, median, high = np.quantile(a, [0.025, 0.5, 0.975], axis=0)
        columns = {"mean": a.mean(0), "sd": a.std(0, ddof=1)}
        columns |= {"q2.5": low, "median": median, "q97.5": high}
        if self.diagnostics is not None:
            names = ("rhat", "ess_bulk", "ess_tail")
            columns |= {name: getattr(self.diagnostics, name) for name in names}
        return pd.DataFrame(columns, index=list(self.labels))

    def to_arviz(self) -> "xr.DataTree":
        """An ArviZ DataTree with a group `posterior`.

        Raises:
            ShapeError: for a batch of observations (use `.observation(i).to_arviz()`).
        """
        import arviz_base

        self._single("to_arviz")
        length = len(self) // self.chains
        posterior: dict[str, Any] = {
            name: v[: self.chains * length]
            .reshape(length, self.chains, *v.shape[1:])
            .swapaxes(0, 1)
            for name, v in self.values.items()
        }
        return arviz_base.from_dict({"posterior": posterior})

    def _single(self, method: str) -> None:
        if self.n_batch:
            raise ShapeError(
                f"these draws are for a batch of observations: draws.observation(i).{method}()"
            )
