"""The methods, one page each. A new one is a file here and a line in `METHODS`.

`CORRECTIONS` wrap methods so that sequential rounds stay right: see `rounds.py`.
"""

from gibbous.method import AbstractMethod
from gibbous.methods.atomic import Atomic
from gibbous.methods.cmpe import CMPE
from gibbous.methods.fmpe import FMPE
from gibbous.methods.nle import NLE
from gibbous.methods.npe import NPE
from gibbous.methods.nre import NRE
from gibbous.methods.truncated import Truncated

METHODS: dict[str, type[AbstractMethod]] = {
    "NPE": NPE,
    "NLE": NLE,
    "NRE": NRE,
    "FMPE": FMPE,
    "CMPE": CMPE,
}

CORRECTIONS: dict[str, type[AbstractMethod]] = {"Truncated": Truncated, "Atomic": Atomic}

__all__ = ["CMPE", "CORRECTIONS", "FMPE", "METHODS", "NLE", "NPE", "NRE", "Atomic", "Truncated"]
