"""The methods, one page each. A new one is a file here and a line in `METHODS`."""

from gibbous.method import AbstractMethod
from gibbous.methods.npe import NPE

METHODS: dict[str, type[AbstractMethod]] = {"NPE": NPE}

__all__ = ["METHODS", "NPE"]
