"""Samplers of a density known up to a constant. A new one is a file here and a line in `SAMPLERS`.

`SMC` is the default: see docs/recipe.md for the measurements that made it so.
"""

from gibbous.samplers.base import AbstractSampler, Target, Trace, map_blocks, side_by_side
from gibbous.samplers.nested import NestedSlice
from gibbous.samplers.nuts import NUTS
from gibbous.samplers.smc import SMC

SAMPLERS: dict[str, type[AbstractSampler]] = {"SMC": SMC, "NUTS": NUTS, "NestedSlice": NestedSlice}

__all__ = [
    "NUTS",
    "SAMPLERS",
    "SMC",
    "AbstractSampler",
    "NestedSlice",
    "Target",
    "Trace",
    "map_blocks",
    "side_by_side",
]
