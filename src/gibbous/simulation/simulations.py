"""Simulated pairs (theta_i, x_i), i = 1..N, in memory."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from gibbous import tensors
from gibbous.errors import OutputExistsError, ShapeError, SimulationError


@dataclass(frozen=True)
class Simulations:
    """Parameters and the datasets that they gave, row by row.

    Args:
        theta: one array [N, *shape] per parameter.
        x: the datasets, [N, *event_shape].
        first_error: what the first row that raised said, if any did.
        round: which round each row came from, [N]; those of round 0 were drawn from the prior, as
            all are if this is left out.

    Rows that hold NaN or inf are kept here, and left out of training: `valid` marks the others.

    Raises:
        ShapeError: if the numbers of rows disagree.
    """

    theta: Mapping[str, np.ndarray]
    x: np.ndarray
    first_error: str | None = field(default=None, repr=False)
    round: np.ndarray = field(default=None, repr=False)  # pyright: ignore[reportAssignmentType]

    def __post_init__(self):
        theta = {name: np.asarray(value, np.float32) for name, value in self.theta.items()}
        object.__setattr__(self, "theta", theta)
        object.__setattr__(self, "x", np.asarray(self.x, np.float32))
        first = np.zeros(self.x.shape[:1]) if self.round is None else self.round
        object.__setattr__(self, "round", np.asarray(first, np.int32))
        rows = {"x": self.x.shape[:1], "round": self.round.shape[:1]}
        rows |= {n: v.shape[:1] for n, v in theta.items()}
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
        """Shape of one dataset."""
        return self.x.shape[1:]

    @property
    def valid(self) -> np.ndarray:
        """Which rows are finite in all parameters and all of x: bool [N]."""
        parts = [self.x, *self.theta.values()]
        return np.all([np.isfinite(a.reshape(len(self), -1)).all(axis=1) for a in parts], axis=0)

    @property
    def n_failed(self) -> int:
        """How many rows are left out of training."""
        return int((~self.valid).sum())

    def rows(self, index: np.ndarray) -> "Simulations":
        """The rows chosen by an integer or boolean index."""
        theta = {n: v[index] for n, v in self.theta.items()}
        return Simulations(theta, self.x[index], round=self.round[index])

    def append(self, other: "Simulations") -> "Simulations":
        """These rows, then those of `other`.

        Raises:
            ShapeError: if parameters or shapes differ.
        """
        shapes = [
            {n: v.shape[1:] for n, v in {**s.theta, " x": s.x}.items()} for s in (self, other)
        ]
        if shapes[0] != shapes[1]:
            raise ShapeError(f"expected simulations of the shapes {shapes[0]}, got {shapes[1]}")
        return Simulations(
            {n: np.concatenate([v, other.theta[n]]) for n, v in self.theta.items()},
            np.concatenate([self.x, other.x]),
            self.first_error or other.first_error,
            np.concatenate([self.round, other.round]),
        )

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
        before = np.zeros(len(arrays["x"]))  # files of before there were rounds
        return cls(theta, arrays["x"], header["first_error"], arrays.get("round", before))
