"""Sets of points of different sizes, in arrays of few shapes.

Sets x_i [n_i, d] are padded to one length, and a mask [n] says which points count: 1 or 0. Points
that count come first.
"""

from collections.abc import Sequence

import equinox as eqx
import numpy as np

from gibbous.errors import ShapeError

_MOST = 3  # groups: each costs a compilation of the embedding,
_WORTH = 0.2  # so that it has to save this share of the points


def bucket(n: int) -> int:
    """n rounded up to one of four sizes in each octave: few programs, at most a quarter wasted."""
    step = max(1, 2 ** (n.bit_length() - 3))
    return -(-n // step) * step


def pad(sets: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray | None]:
    """Datasets in one array, sets padded by NaN to the largest, and the sizes if they differ.

    Raises:
        ShapeError: if more than the number of points differs.
    """
    sets = [np.asarray(x, np.float32) for x in sets]
    shapes = sorted({x.shape for x in sets})
    if len(shapes) < 2:
        return np.array(sets, np.float32), None
    if {len(s) for s in shapes} != {2} or len({s[1] for s in shapes}) > 1:
        raise ShapeError(f"expected sets of points [n, d] that differ in n only, got {shapes[:5]}")
    sizes = np.array([len(x) for x in sets])
    x = np.full((len(sets), sizes.max(), shapes[0][1]), np.nan, np.float32)
    for row, points in zip(x, sets, strict=True):
        row[: len(points)] = points
    return x, sizes


class Groups(eqx.Module):
    """Rows of a batch that are padded alike: (the first row after them, points), in order.

    All rows of a batch have one shape, and sets that are padded to the largest would all cost as
    much as that one. So rows are in order of their sizes, and of each group only as many points are
    looked at as its last row may have: one program, and short sets are cheap.
    """

    ends: tuple[tuple[int, int], ...] = eqx.field(static=True, default=())

    @classmethod
    def of(cls, largest: np.ndarray) -> "Groups":
        """Groups for rows whose largest sizes are these, in ascending order."""
        ends = np.array([len(largest)])

        def points(ends: np.ndarray) -> int:
            return int(np.diff(ends, prepend=0) @ largest[ends - 1])

        while len(ends) < _MOST:
            cut = [np.sort(np.append(ends, c)) for c in range(1, len(largest))]
            best = min(cut, key=points, default=ends)
            if points(best) > (1 - _WORTH) * points(ends):
                break
            ends = best
        return cls(tuple((int(end), int(largest[end - 1])) for end in ends))
