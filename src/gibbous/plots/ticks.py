"""Few, short and honest tick labels for axes whose range may be very narrow.

An axis from 0.70182 to 0.70188 is labelled "a − 0.7018 (10⁻⁵)" with ticks 2, 4, 6: the offset and
the power of ten go into the axis label, where they cannot collide with a neighbouring panel.
"""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

if TYPE_CHECKING:
    import matplotlib.axis

_NARROW = 2e-3  # range over magnitude, below which an offset is taken off


def tidy_axis(
    axis: "matplotlib.axis.Axis", name: str, low: float, high: float, room: int = 24
) -> None:
    """Set two to four ticks on an axis that shows [low, high], and label it `name`.

    Args:
        axis: an x or y axis.
        name: its label.
        low, high: what it shows.
        room: letters that fit along it; a longer label is broken, and set smaller.
    """
    from matplotlib.ticker import FixedLocator, FuncFormatter

    offset, power = offset_and_power(low, high)
    # Ticks are chosen in the labels' own units, in which float rounding does not matter.
    ticks = _ticks((low - offset) / 10.0**power, (high - offset) / 10.0**power)
    axis.set_major_locator(FixedLocator(list(offset + ticks * 10.0**power)))

    def text(value: float, _: int | None = None) -> str:
        shown = round((value - offset) / 10.0**power, 6)
        return f"{shown + 0.0:.6g}".replace("-", "\N{MINUS SIGN}")

    axis.set_major_formatter(FuncFormatter(text))
    suffix = _suffix(offset, power)
    label = name + suffix if len(name + suffix) <= room else f"{name}\n{suffix.strip()}".strip()
    axis.set_label_text(label)
    if len(name) > room:
        size = float(axis.label.get_fontsize())
        axis.label.set_fontsize(max(size * room / len(name), 6.0))


def _ticks(low: float, high: float) -> Float[np.ndarray, " T"]:
    from matplotlib.ticker import MaxNLocator

    pad = 0.05 * (high - low)
    inner = np.zeros(0)
    for count in (3, 4, 5, 6):
        ticks = np.asarray(MaxNLocator(count, steps=[1, 2, 5, 10]).tick_values(low, high))
        inner = ticks[(ticks >= low + pad) & (ticks <= high - pad)]
        if len(inner) >= 2:
            break
    return inner


def offset_and_power(low: float, high: float) -> tuple[float, int]:
    """What to take off the values of an axis, and the power of ten to divide them by then."""
    span, size = high - low, max(abs(low), abs(high))
    digits = int(np.floor(np.log10(span)))
    offset = 0.0
    if span < _NARROW * size:
        unit = 10.0**digits
        offset = float(np.floor(low / unit) * unit)
        size = unit
    exponent = int(np.floor(np.log10(size)))
    return offset, exponent if exponent < -2 or exponent > 3 else 0


def _suffix(offset: float, power: int) -> str:
    text = ""
    if offset:
        sign = "\N{MINUS SIGN}" if offset > 0 else "+"
        text += f" {sign} {float(f'{abs(offset):.12g}'):.10g}"
    return text + (f"  ($10^{{{power}}}$)" if power else "")
