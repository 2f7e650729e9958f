"""JAX compilation: made short, counted, timed, and kept between runs."""

import functools
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import equinox as eqx
import jax

# On a processor each fusion passes a pipeline of its own, a third of the time to compile; what the
# emitters before it make runs as fast within a tenth (docs/recipe.md). JAX 0.11 lacks the option.
_QUICK = {"xla_cpu_use_fusion_emitters": False}
_F = TypeVar("_F", bound=Callable)

_EVENT = "/jax/core/compile/backend_compile_duration"
_STAGES = (
    "/jax/core/compile/jaxpr_trace_duration",
    "/jax/core/compile/jaxpr_to_mlir_module_duration",
    _EVENT,
)


@dataclass
class _Total:
    count: int = 0
    seconds: float = 0.0


_total = _Total()


def _listen(event: str, duration_secs: float, **_: str | int) -> None:
    if event in _STAGES:
        _total.seconds += duration_secs
        _total.count += event == _EVENT


jax.monitoring.register_event_duration_secs_listener(_listen)


def jit(function: _F, **options: Any) -> _F:
    """`eqx.filter_jit` for whole programs (options cannot be nested): soon compiled, in float32.

    A GPU would multiply matrices with ten bits of each number, too coarse for a posterior a
    thousand times narrower than its prior.

    Args:
        function: to be compiled.
        options: of the compiler, besides.
    """

    @functools.cache  # at the first call: importing this package starts no device
    def compiled() -> Callable:
        return eqx.filter_jit(  # pyright: ignore[reportCallIssue], as its stub lacks jax.jit's
            function, compiler_options=_known() | options
        )

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        with jax.default_matmul_precision("highest"):
            return compiled()(*args, **kwargs)

    return cast(_F, call)


@functools.cache
def _known() -> dict[str, Any]:
    """`_QUICK`, unless this version of XLA has no such option any more."""
    try:
        jax.jit(lambda: 0, compiler_options=_QUICK)()
    except jax.errors.JaxRuntimeError:
        return {}
    return _QUICK


class CompileClock:
    """Counts what JAX compiles, from its creation on.

    `count` is the number of compilations (one served from the persistent cache counts, and is
    quick); `seconds` is the time spent on tracing, lowering and compiling.
    """

    def __init__(self) -> None:
        self._start = _Total(_total.count, _total.seconds)

    @property
    def count(self) -> int:
        """Compilations since the clock was made."""
        return _total.count - self._start.count

    @property
    def seconds(self) -> float:
        """Seconds of tracing, lowering and compiling since the clock was made."""
        return _total.seconds - self._start.seconds


def keep_compilations() -> Path:
    """Keep compiled programs in the user's cache folder, so that a second run compiles little.

    The command line calls this, and so may the first line of a script or a notebook: a library
    should not choose such things for its host program. `JAX_COMPILATION_CACHE_DIR` is respected.
    Returns the folder.
    """
    chosen = os.environ.get("JAX_COMPILATION_CACHE_DIR")
    folder = Path(chosen) if chosen else _user_cache() / "gibbous" / "jax"
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)
    return folder


def _user_cache() -> Path:
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home()))
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
