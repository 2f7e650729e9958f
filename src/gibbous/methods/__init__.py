"""The methods, one page each. A new one is a file here and a line in `METHODS`."""

from gibbous.method import AbstractMethod
from gibbous.methods.cmpe import CMPE
from gibbous.methods.fmpe import FMPE
from gibbous.methods.nle import NLE
from gibbous.methods.npe import NPE
from gibbous.methods.nre import NRE

METHODS: dict[str, type[AbstractMethod]] = {
    "NPE": NPE,
    "NLE": NLE,
    "NRE": NRE,
    "FMPE": FMPE,
    "CMPE": CMPE,
}

__all__ = ["CMPE", "FMPE", "METHODS", "NLE", "NPE", "NRE"]
