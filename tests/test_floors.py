"""A file imports from lower floors or from its own folder; no cycles, no utils (DESIGN 4)."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import gibbous

ROOT = Path(gibbous.__file__).parent

# Keep in step with DESIGN, section 4. Where the two differ:
#   - scaling is on floor 0, since prior needs it; compilation, progress and history joined it.
#   - tensors (floor 1) is the store below artefact: simulations are saved with it as well.
#   - estimators stand half a floor above nets, from which they take activations.
#   - latent, half of what prior was: the map to R^d. recipe and distributions: how values are
#     written as JSON, which all that is saved needs.
#   - samplers, the room below posteriors/mcmc: they know a density in R^d and nothing else.
#   - tasks are above simulation, whose simulators they are.
#   - fit and load are files of their own, so that training and artefact stay apart, and so is
#     FitConfig (fit_config), so that training stays on a few pages;
#     problem, results: the command line in parts.
#   - folder: what rounds keep on disk, so that rounds stay on a page.
#   - check writes a page, so it is above report.
#   - __init__ exports everything; cli is a user of it.
FLOORS = {
    **dict.fromkeys(["_types", "errors", "scaling", "compilation", "progress", "history"], 0),
    **dict.fromkeys(["recipe", "distributions"], 0),
    "sets": 0,
    **dict.fromkeys(["tensors", "prior", "latent", "missing", "nets/", "samplers/"], 1),
    "estimators/": 1.5,
    **dict.fromkeys(["simulation/", "posteriors/"], 2),
    **dict.fromkeys(["checkpoint", "method", "schedule", "tasks/", "diagnostics/"], 3),
    **dict.fromkeys(["fit_config", "training", "methods/", "artefact"], 4),
    **dict.fromkeys(["fit", "folder", "load", "plots/", "problem"], 5),
    **dict.fromkeys(["report/", "rounds"], 6),
    **dict.fromkeys(["check", "check_rounds", "results"], 7),
    **dict.fromkeys(["demo", "demo_plan", "demo_compare", "demo_likelihood"], 8),
    "__init__": 9,
    "cli": 10,
    "__main__": 11,
}


def complaints(root: Path, floors: dict[str, float]) -> list[str]:
    """Everything that breaks the rule in the package at `root`."""
    found = []
    files = {_module(root, path): path for path in sorted(root.rglob("*.py"))}
    graph = {name: _imports(root.name, name, path, files) for name, path in files.items()}
    for name, imported in graph.items():
        if "util" in files[name].stem or "helper" in files[name].stem:
            found.append(f"{name}: a drawer for everything")
        room = _room(root, files[name])
        if room not in floors:
            found.append(f"{name}: {room} has no floor")
            continue
        for other in sorted(imported):
            there = _room(root, files[other])
            both_files = not room.endswith("/") and not there.endswith("/")
            level = floors.get(there, 0)
            beside = level == floors[room] and (both_files or there == room)
            if level >= floors[room] and not beside:
                found.append(f"{name} imports upward or sideways: {other}")
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        found.append(f"cycle: {' -> '.join(error.args[1])}")
    return found


def _module(root: Path, path: Path) -> str:
    parts = [root.name, *path.relative_to(root).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _room(root: Path, path: Path) -> str:
    first = path.relative_to(root).parts[0]
    return first.removesuffix(".py") if first.endswith(".py") else first + "/"


def _imports(package: str, name: str, path: Path, files: dict[str, Path]) -> set[str]:
    """The files of the package that a file imports, at any depth in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = name.split(".")
                keep = len(parts) - node.level + (path.name == "__init__.py")
                base = ".".join([*parts[:keep], *([base] if base else [])])
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                found.add(inner if inner in files else base)
    own = {n for n in found if n.split(".")[0] == package}
    unknown = own - set(files)
    assert not unknown, f"{name} imports {unknown}, which is no file of the package"
    return own - {name}


def test_the_package_keeps_to_its_floors():
    assert complaints(ROOT, FLOORS) == []


def test_every_floor_is_inhabited():
    rooms = {_room(ROOT, path) for path in ROOT.rglob("*.py")}
    assert rooms == set(FLOORS)


def _tree(tmp_path: Path, **files: str) -> Path:
    root = tmp_path / "fake"
    for name, text in files.items():
        path = root / (name.replace("__in__", "/") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_the_checker_complains(tmp_path):
    floors = {"low": 0, "also_low": 0, "room/": 1, "other/": 1, "high": 2}
    fine = _tree(
        tmp_path / "fine",
        low="import os",
        also_low="from fake.low import a",
        room__in__a="from fake.low import a\nfrom fake.room.b import c",
        room__in__b="import fake.also_low",
        high="from fake.room import a",
    )
    (fine / "room" / "__init__.py").touch()
    assert complaints(fine, floors) == []

    def one(text: str, where: str = "low", **more: str) -> str:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        found = complaints(_tree(folder, **{where: text}, **more), floors)
        assert len(found) == 1
        return found[0]

    # upward: plainly, inside of a function, relatively, and as a module
    assert "fake.low imports upward" in one("from fake.high import x", high="")
    assert "upward" in one("def f():\n    from fake.high import x", high="")
    assert "upward" in one("from .high import x", high="")
    assert "upward" in one("from ..high import x", "room__in__a", high="")
    assert "upward" in one("import fake.high", high="")
    # into another room on the same floor
    assert "sideways" in one("from fake.other.b import x", "room__in__a", other__in__b="")
    # a cycle between files whose floors are in order
    assert one("import fake.also_low", also_low="import fake.low").startswith("cycle: fake.")
    assert one(
        "import fake.room.b", "room__in__a", room__in__b="from fake.room import a"
    ).startswith("cycle: fake.")
    assert "no floor" in one("", "attic")
    assert "drawer" in one("", "room__in__utils")
