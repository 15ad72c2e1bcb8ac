"""The floor plan: a package imports only what lies below it, and no module imports itself by a detour."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

LIBRARY = (
    ("errors", "usage", "version"),
    ("system",),
    ("color",),
    ("references",),
    ("models",),
    ("video",),
    ("output",),
    ("engines",),
    ("weights",),
    ("remaster",),
    ("film",),
    ("filters", "stills", "pipe"),
    ("jobs",),
    ("report",),
    ("cli",),
)
"""Floors of `vs_remaster`, from the ground up; what stands on one floor does not know each other."""
HOSTS = {"export", "comfy_nodes"}  # they import the library, which imports neither


def modules(top: str) -> dict[str, Path]:
    """Files of a package by the name of their module; a package's face under its own name."""
    names = {}
    for file in sorted((ROOT / top).rglob("*.py")):
        parts = file.relative_to(ROOT).with_suffix("").parts
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return names


def imports(name: str, file: Path, known: dict[str, Path]) -> set[str]:
    """Modules among `known` that a module imports, anywhere in its text, also for types only."""
    found = set()
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*parts, *([node.module] if node.module else [])])
            whole = {f"{base}.{alias.name}" for alias in node.names}
            found |= {one if one in known else base for one in whole}
    return found & known.keys()


@pytest.fixture(scope="module")
def graph() -> dict[str, set[str]]:
    known = modules("vs_remaster") | modules("export") | modules("comfy_nodes")
    return {name: imports(name, file, known) - {name} for name, file in known.items()}


def floor(module: str) -> int:
    package = module.split(".")[1]
    if package == "__main__":  # stands on all of them
        return len(LIBRARY)
    return next(number for number, packages in enumerate(LIBRARY) if package in packages)


def test_every_package_has_its_floor():
    found = {path.stem for path in (ROOT / "vs_remaster").glob("[!_]*") if path.suffix in ("", ".py")}
    assert found == {package for packages in LIBRARY for package in packages}


def test_no_import_runs_upward(graph):
    wrong = []
    for module, imported in graph.items():
        for other in imported:
            if "vs_remaster" in (module, other):
                assert other != "vs_remaster" or not module.startswith("vs_remaster."), f"{module} imports the face"
                continue
            top, below = module.split(".")[0], other.split(".")[0]
            if top == below == "vs_remaster" and module.split(".")[1] != other.split(".")[1]:
                wrong += [f"{module} imports {other}"] if floor(other) >= floor(module) else []
            elif top != below:
                wrong += [f"{module} imports {other}"] if below in HOSTS else []
    assert not wrong


def test_no_import_comes_back(graph):
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))
