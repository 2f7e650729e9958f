"""Problem files: a Python file that defines `prior`, `simulator` and, if it likes, more.

prior       a gb.Prior
simulator   marked by @gb.simulator
observed    the measurement, an array (optional)
method      a method such as gb.NPE(embedding=gb.DeepSet()) (optional; default gb.NPE(), in rounds
            gb.NLE())
missing     what observations may lack, such as gb.Missing() (optional)
"""

import importlib.util
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path

import cloudpickle
import numpy as np

from gibbous.errors import GibbousError, ProblemError
from gibbous.method import AbstractMethod
from gibbous.missing import AbstractMissing, Subsets
from gibbous.prior import Prior
from gibbous.simulation.simulator import Simulator


@dataclass(frozen=True)
class Problem:
    """What a problem file defines."""

    path: Path
    prior: Prior
    simulator: Simulator
    observed: np.ndarray | None
    method: AbstractMethod | None
    missing: AbstractMissing | Subsets | None

    def observation(self, file: Path | None) -> np.ndarray:
        """The measurement: from a .npy or text file if one is given, else the problem's own.

        Raises:
            ProblemError: if there is none, or the file cannot be read.
        """
        if file is not None:
            try:
                return np.load(file) if file.suffix == ".npy" else np.loadtxt(file)
            except (OSError, ValueError) as error:
                raise ProblemError(f"cannot read the observation {file}: {error}") from None
        if self.observed is None:
            raise ProblemError(
                f"{self.path} defines no `observed`; define it there or pass --observed FILE "
                "(.npy, or text with numbers)"
            )
        return self.observed


def load_problem(path: Path) -> Problem:
    """Run a problem file and take what it defines.

    Raises:
        ProblemError: if it is missing, fails to run, or lacks a prior or a simulator.
    """
    if not path.is_file():
        raise ProblemError(f"no problem file {path}")
    path = path.resolve()  # as it stands in tracebacks
    spec = importlib.util.spec_from_file_location(f"problem_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ProblemError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    cloudpickle.register_pickle_by_value(module)  # worker processes cannot import it by name
    try:
        spec.loader.exec_module(module)
    except GibbousError:
        raise
    except Exception as error:
        line = next(
            (f.lineno for f in reversed(traceback.extract_tb(error.__traceback__))
             if f.filename == str(path)), "?",
        )  # fmt: skip
        raise ProblemError(f"{path}, line {line}: {type(error).__name__}: {error}") from error
    wanted = {"prior": Prior, "simulator": Simulator, "method": AbstractMethod}
    found = {name: getattr(module, name, None) for name in wanted}
    for name, kind in wanted.items():
        optional = name == "method" and found[name] is None
        if not (optional or isinstance(found[name], kind)):
            raise ProblemError(
                f"{path} must define `{name}`, a gb.{kind.__name__.replace('Abstract', '')}; "
                f"found {found[name]!r}"
            )
    observed = getattr(module, "observed", None)
    return Problem(
        path=path,
        observed=None if observed is None else np.asarray(observed, np.float32),
        missing=getattr(module, "missing", None),
        **found,  # type: ignore[arg-type]
    )
