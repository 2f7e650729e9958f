"""The methods, one page each. A new one is a file here and a line in `METHODS`."""

from gibbous.method import AbstractMethod
from gibbous.methods.nle import NLE
from gibbous.methods.npe import NPE
from gibbous.methods.nre import NRE

METHODS: dict[str, type[AbstractMethod]] = {"NPE": NPE, "NLE": NLE, "NRE": NRE}

__all__ = ["METHODS", "NLE", "NPE", "NRE"]
