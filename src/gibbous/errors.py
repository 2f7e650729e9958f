"""Every error and warning that gibbous raises on purpose.

    GibbousError
    ├── SeedError          (TypeError)        a seed that is neither an int nor a JAX key
    ├── PriorError         (ValueError)       a prior that cannot be built, sampled or normalised
    ├── ShapeError         (ValueError)       an array of the wrong shape
    ├── ParameterError     (ValueError)       a parameter name that the prior does not have
    ├── ConfigError        (ValueError)       an option outside its range
    ├── ObservationError   (ValueError)       an observation that cannot be conditioned on
    ├── SimulationError    (RuntimeError)     a simulator that never gives a usable dataset
    ├── TrainingError      (RuntimeError)     a fit that went to NaN or cannot resume
    ├── ArtefactError      (ValueError)       a file that cannot be trusted or understood
    ├── OutputExistsError  (FileExistsError)  a result that would overwrite another
    └── ProblemError       (ValueError)       a problem file that lacks what a command needs

    KeyboardInterrupt
    └── TrainingInterrupted                   Ctrl-C during a fit, after the state was saved

    GibbousWarning (UserWarning)
    ├── SimulationWarning                     some rows failed and are left out
    ├── ObservationWarning                    an observation unlike anything simulated
    └── SamplingWarning                       Markov chains that have not converged

Each message says what was expected, what arrived, and how to mend it.
"""


class GibbousError(Exception):
    """The root of all errors raised on purpose."""


class SeedError(GibbousError, TypeError):
    """A seed that is neither an int nor a JAX key."""


class PriorError(GibbousError, ValueError):
    """A prior that cannot be built, sampled or normalised."""


class ShapeError(GibbousError, ValueError):
    """An array of the wrong shape."""


class ParameterError(GibbousError, ValueError):
    """A parameter name that the prior does not have."""


class ConfigError(GibbousError, ValueError):
    """An option outside its range."""


class ObservationError(GibbousError, ValueError):
    """An observation that cannot be conditioned on."""


class SimulationError(GibbousError, RuntimeError):
    """A simulator that never gives a usable dataset."""


class TrainingError(GibbousError, RuntimeError):
    """A fit that went to NaN or cannot resume."""


class ArtefactError(GibbousError, ValueError):
    """A file that cannot be trusted or understood."""


class OutputExistsError(GibbousError, FileExistsError):
    """A result that would overwrite another."""


class ProblemError(GibbousError, ValueError):
    """A problem file that lacks what a command needs."""


class TrainingInterrupted(KeyboardInterrupt):
    """Ctrl-C during a fit, after the state was saved; the message says how to go on."""


class GibbousWarning(UserWarning):
    """The root of all warnings."""


class SimulationWarning(GibbousWarning):
    """Some simulated rows failed and are left out of training."""


class ObservationWarning(GibbousWarning):
    """An observation that is unlike anything simulated."""


class SamplingWarning(GibbousWarning):
    """Markov chains that have not converged, or not reached the posterior."""
