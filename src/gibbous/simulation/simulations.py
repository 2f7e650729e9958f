"""Simulated pairs (theta_i, x_i), i = 1..N, in memory.

Sets of points x_i [n_i, d] may be of different sizes. In memory they are padded by NaN to the
largest, and `sizes` says how many points count; files hold the points end to end.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gibbous import tensors
from gibbous.errors import OutputExistsError, ShapeError, SimulationError
from gibbous.sets import pad


@dataclass(frozen=True)
class Simulations:
    """Parameters and the datasets that they gave, row by row.

    Args:
        theta: one array [N, *shape] per parameter.
        x: the datasets, [N, *event_shape]; or a list of sets [n_i, d] of different sizes.
        first_error: what the first row that raised said, if any did.
        round: which round each row came from, [N]; those of round 0 were drawn from the prior, as
            all are if this is left out.
        sizes: how many points of each set count, [N], those after them being padding; None where
            all do.

    Rows that hold NaN or inf are kept here, and left out of training: `valid` marks the others.

    Raises:
        ShapeError: if the numbers of rows disagree, or sets have points of different dimensions.
    """

    theta: Mapping[str, np.ndarray]
    x: Any  # np.ndarray from here on
    first_error: str | None = field(default=None, repr=False)
    round: np.ndarray = field(default=None, repr=False)  # pyright: ignore[reportAssignmentType]
    sizes: np.ndarray | None = field(default=None, repr=False)

    def __post_init__(self):
        if not hasattr(self.x, "shape"):
            for name, value in zip(("x", "sizes"), pad(self.x), strict=True):
                object.__setattr__(self, name, value)
        theta = {name: np.asarray(value, np.float32) for name, value in self.theta.items()}
        object.__setattr__(self, "theta", theta)
        object.__setattr__(self, "x", np.asarray(self.x, np.float32))
        first = np.zeros(self.x.shape[:1]) if self.round is None else self.round
        object.__setattr__(self, "round", np.asarray(first, np.int32))
        rows = {"x": self.x.shape[:1], "round": self.round.shape[:1]}
        rows |= {n: v.shape[:1] for n, v in theta.items()}
        if self.sizes is not None:
            rows["sizes"] = self.sizes.shape
        if len(set(rows.values())) != 1 or self.x.ndim == 0:
            raise ShapeError(f"expected as many rows of x as of every parameter, got {rows}")
        if self.x.ndim == 1:
            raise ShapeError(
                f"expected x of shape [N, *event_shape], got {self.x.shape}; one number a dataset "
                "is x[:, None]"
            )

    def __len__(self) -> int:
        return len(self.x)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one dataset; of sets of different sizes, that of the largest."""
        return self.x.shape[1:]

    @property
    def mask(self) -> np.ndarray | None:
        """Which points count, bool [N, n]; None where all do."""
        if self.sizes is None:
            return None
        return np.arange(self.x.shape[1]) < self.sizes[:, None]

    @property
    def valid(self) -> np.ndarray:
        """Which rows are finite in all parameters and all of x that counts: bool [N]."""
        x = self.x if self.mask is None else np.where(self.mask[..., None], self.x, 0.0)
        parts = [x, *self.theta.values()]
        return np.all([np.isfinite(a.reshape(len(self), -1)).all(axis=1) for a in parts], axis=0)

    @property
    def n_failed(self) -> int:
        """How many rows are left out of training."""
        return int((~self.valid).sum())

    def rows(self, index: np.ndarray) -> "Simulations":
        """The rows chosen by an integer or boolean index."""
        theta = {n: v[index] for n, v in self.theta.items()}
        sizes = None if self.sizes is None else self.sizes[index]
        return Simulations(theta, self.x[index], round=self.round[index], sizes=sizes)

    def append(self, other: "Simulations") -> "Simulations":
        """These rows, then those of `other`.

        Raises:
            ShapeError: if parameters or shapes differ.
        """
        ragged = self.sizes is not None or other.sizes is not None
        shapes = [
            {n: v.shape[1 + (ragged and n == "x") :] for n, v in {**s.theta, "x": s.x}.items()}
            for s in (self, other)
        ]
        if shapes[0] != shapes[1]:
            raise ShapeError(f"expected simulations of the shapes {shapes[0]}, got {shapes[1]}")
        return Simulations(
            {n: np.concatenate([v, other.theta[n]]) for n, v in self.theta.items()},
            [*self.sets(), *other.sets()] if ragged else np.concatenate([self.x, other.x]),
            self.first_error or other.first_error,
            np.concatenate([self.round, other.round]),
        )

    def sets(self) -> list[np.ndarray]:
        """The datasets one by one, without padding."""
        sizes = [None] * len(self) if self.sizes is None else self.sizes
        return [x[:n] for x, n in zip(self.x, sizes, strict=True)]

    def usable(self) -> "Simulations":
        """The valid rows.

        Raises:
            SimulationError: if there are none.
        """
        if not self.valid.any():
            raise SimulationError(
                f"all {len(self)} simulations failed"
                + (f"; the first said: {self.first_error}" if self.first_error else " (NaN or inf)")
            )
        return self if self.valid.all() else self.rows(self.valid)

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write to one file (safetensors).

        Raises:
            OutputExistsError: if the file is there already and `overwrite` is not set.
        """
        if Path(path).exists() and not overwrite:
            raise OutputExistsError(f"{path} exists; choose another name or pass overwrite=True")
        arrays = {f"theta.{n}": np.asarray(v) for n, v in self.theta.items()}
        arrays |= {"x": self.x, "round": self.round}
        if self.mask is not None and self.sizes is not None:
            arrays |= {"x": self.x[self.mask], "sizes": self.sizes}
        header = {
            "kind": "simulations",
            "names": list(self.theta),
            "first_error": self.first_error,
        }
        tensors.write(path, arrays, header)

    @classmethod
    def load(cls, path: str | Path) -> "Simulations":
        """Read what `save` wrote.

        Raises:
            ArtefactError: if the file is missing, damaged or of another kind.
        """
        arrays, header = tensors.read(path, "simulations")
        theta = {name: arrays[f"theta.{name}"] for name in header["names"]}
        x, sizes = arrays["x"], arrays.get("sizes")
        if sizes is not None:
            x = np.split(x, np.cumsum(sizes)[:-1])
        before = np.zeros(len(x))  # files of before there were rounds
        return cls(theta, x, header["first_error"], arrays.get("round", before))
