"""The public surface: names, docstrings, errors, versions, and what the README promises."""

import importlib
import inspect
import re
import subprocess
import sys
import tomllib
from importlib.resources import files
from pathlib import Path

import pytest
import typer

import gibbous as gb
from gibbous import cli, errors

REPOSITORY = Path(__file__).parents[1]

# DESIGN, section 2; the other methods join as they are built.
PROMISED = {
    "Prior", "simulator", "simulate", "Simulations", "Simulator", "fit", "NPE", "NLE", "NRE",
    "DeepSet", "Posterior", "Draws", "FitConfig", "check", "load", "METHODS", "SMC", "NUTS",
    "NestedSlice", "SAMPLERS", "fit_rounds", "Rounds", "RoundsConfig", "Truncated", "Atomic",
    "CORRECTIONS",
}  # fmt: skip


def test_exports():
    assert set(gb.__all__) >= PROMISED
    assert [n for n in gb.__all__ if not hasattr(gb, n)] == []
    assert len(set(gb.__all__)) == len(gb.__all__)
    visible = {n for n in vars(gb) if not n.startswith("_")}
    # what importing leaves behind besides: the modules themselves
    assert [n for n in visible - set(gb.__all__) if not inspect.ismodule(getattr(gb, n))] == []


def test_a_function_is_not_hidden_by_its_module():
    # gibbous/check.py, gibbous/fit.py and gibbous/load.py share their names with the verbs
    for module in ("check", "fit", "load"):
        importlib.import_module(f"gibbous.{module}")
        assert inspect.isfunction(getattr(gb, module))


def test_methods_are_named_after_their_class():
    assert all(
        name == cls.__name__.lower() or name == cls.__name__ for name, cls in gb.METHODS.items()
    )
    assert {gb.NPE, gb.NLE, gb.NRE} <= set(gb.METHODS.values())
    assert {"SMC": gb.SMC, "NUTS": gb.NUTS, "NestedSlice": gb.NestedSlice} == gb.SAMPLERS


def _undocumented(name: str, thing: object) -> list[str]:
    if inspect.ismodule(thing):
        inner = [(f"{name}.{n}", getattr(thing, n)) for n in thing.__all__]
        return [bad for n, t in inner for bad in _undocumented(n, t)]
    doc = getattr(thing, "__doc__", None) or ""
    # a dataclass without a docstring gets its own signature as one
    made_up = doc.startswith(f"{getattr(thing, '__name__', '')}(")
    found = [name] if (callable(thing) and (len(doc.split()) < 2 or made_up)) else []
    if inspect.isclass(thing) and thing.__module__.startswith("gibbous"):
        for cls in thing.__mro__:
            if not cls.__module__.startswith("gibbous"):
                continue
            for n, member in vars(cls).items():
                plain = (
                    member.__func__ if isinstance(member, classmethod | staticmethod) else member
                )
                told = inspect.isfunction(plain) or isinstance(plain, property)
                if told and not n.startswith("_") and not (plain.__doc__ or "").strip():
                    found.append(f"{name}.{n}")
    return found


def test_everything_public_has_a_docstring():
    bad = [b for n in gb.__all__ for b in _undocumented(n, getattr(gb, n))]
    assert bad == []


def test_the_docstring_test_sees_what_is_missing():
    class Bare:
        def method(self): ...

    Bare.__module__ = "gibbous.fake"
    assert _undocumented("Bare", Bare) == ["Bare", "Bare.method"]


@pytest.fixture(scope="module")
def modules_after_import():
    code = "import sys, gibbous; print(*sorted({m.split('.')[0] for m in sys.modules}))"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_import_is_light(modules_after_import):
    assert "jax" in modules_after_import
    assert modules_after_import.isdisjoint({"matplotlib", "torch", "pandas", "arviz_base"})


def test_the_package_is_typed():
    assert files("gibbous").joinpath("py.typed").is_file()


def test_errors_are_the_tree_that_is_drawn():
    drawn: dict[str, set[str]] = {}
    root = ""
    for line in errors.__doc__.splitlines():
        match = re.match(r"    ([├└]── )?([A-Z]\w+)\s*(?:\((\w+)\))?", line)
        if not match:
            continue
        branch, name, mixin = match.groups()
        root = root if branch else name
        drawn[name] = ({root} if branch else set()) | ({mixin} if mixin else set())
    ours = {n: c for n, c in vars(errors).items() if inspect.isclass(c)}
    assert len(ours) > 10
    assert {n for n in drawn if n != "KeyboardInterrupt"} == set(ours)
    for name, cls in ours.items():
        bases = {b.__name__ for b in cls.__bases__} - {"Exception"}
        assert bases == drawn[name], name
        assert issubclass(cls, errors.GibbousError | errors.GibbousWarning | KeyboardInterrupt)


def test_one_version():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    citation = (REPOSITORY / "CITATION.cff").read_text()
    assert gb.__version__ == project["version"]
    assert re.search(r"^version: (\S+)$", citation, re.M)[1] == project["version"]


def _named_commands(markdown: str) -> tuple[set[str], set[str]]:
    """Targets of `make` and commands of `gibbous` in the code blocks of a page."""
    blocks = re.findall(r"^```[^\n]*\n(.*?)^```", markdown, re.M | re.S)
    lines = [re.sub(r"\s#.*", "", line) for block in blocks for line in block.splitlines()]
    make, own = set(), set()
    for line in lines:
        make |= set(re.findall(r"(?:^|[;&]|\$)\s*make\s+([\w-]+)", line))
        own |= set(re.findall(r"(?:^|[;&]|\$|/)\s*gibbous\s+([\w-]+)", line))
    return make, own


def test_the_readme_names_commands_that_exist():
    make, own = _named_commands((REPOSITORY / "README.md").read_text())
    makefile = (REPOSITORY / "Makefile").read_text()
    targets = set(re.findall(r"^([\w-]+):(?!=)", makefile, re.M))
    commands = set(typer.main.get_command(cli.app).commands)
    assert make <= targets, f"no such target: {make - targets}"
    assert {c for c in own if not c.startswith("-")} <= commands, (
        f"no such command: {own - commands}"
    )
    assert "demo" in make | own, "the README must say how to run the main job"


def test_the_readme_test_finds_commands():
    page = "Run `make nothing`.\n```bash\nmake demo\n$ gibbous fit p.py  # gibbous x\n```\n"
    page += "```\ncd a && make test-fast; .venv/bin/gibbous check p.py\n```\n"
    page += "```python\nimport gibbous as gb\n```"
    assert _named_commands(page) == ({"demo", "test-fast"}, {"fit", "check"})
