"""Peers: what each is made of, what it offers, and a virtual environment for each.

Environments lie in ~/.cache/gibbous-benchmarks, or where $GIBBOUS_BENCHMARKS says, and are made
when missing. gibbous itself runs on the interpreter that runs the benchmark.
"""

import os
import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from rich.console import Console


@dataclass(frozen=True)
class Peer:
    """requirements: installed in turns, each a list for one call of pip; methods: what it offers.

    {jax} stands for the version of JAX that gibbous runs on.
    """

    requirements: tuple[tuple[str, ...], ...]
    methods: tuple[str, ...]


PEERS = {
    # torch alone and first: otherwise its build for GPUs would come, with gigabytes of libraries.
    "sbi": Peer((("torch==2.13.0",), ("sbi==0.27.0",)), ("NPE", "NLE", "NRE", "FMPE")),
    "bayesflow": Peer(
        (("bayesflow==2.0.12", "keras==3.15.1", "jax=={jax}"),), ("NPE", "FMPE", "CMPE")
    ),
    "sbijax": Peer(  # newer ones of any of these have lost something that it imports
        (
            (
                "sbijax==0.3.4",
                "jax==0.4.30",
                "jaxlib==0.4.30",
                "dm-haiku==0.0.12",
                "matplotlib<3.11",
            ),
        ),
        ("NPE", "NLE", "NRE", "FMPE", "CMPE"),
    ),
}


def cache() -> Path:
    """The folder of all environments."""
    chosen = os.environ.get("GIBBOUS_BENCHMARKS")
    return Path(chosen) if chosen else Path.home() / ".cache" / "gibbous-benchmarks"


def interpreter(who: str) -> Path:
    """The interpreter that `who` runs on; makes the environment if there is none.

    Raises:
        SystemExit: if the packages do not install.
    """
    if who == "gibbous":
        return Path(sys.executable)
    folder = cache() / who
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    finished = folder / "finished"  # the requirements that were installed, in the order of the call
    wanted = [[r.format(jax=version("jax")) for r in group] for group in PEERS[who].requirements]
    if finished.exists() and finished.read_text() == str(wanted):
        return python
    console = Console(stderr=True)
    with console.status(f"making an environment for {who} in {folder}: some minutes"):
        shutil.rmtree(folder, ignore_errors=True)
        venv.create(folder, with_pip=True)
        for group in wanted:
            _call(who, [python, "-m", "pip", "install", "--quiet", *group])
        # The first import of anything fills caches; it should not be what is timed.
        _call(who, [python, "-c", f"import {who}"])
    finished.write_text(str(wanted))
    return python


def _call(who: str, command: list) -> None:
    env = {**os.environ, "KERAS_BACKEND": "jax"}
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise SystemExit(f"no environment for {who}: {lines[-1] if lines else command}")
