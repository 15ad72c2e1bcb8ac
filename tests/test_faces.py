"""What packages hand on: the names they list are there, and are the ones that a type checker sees."""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path

import pytest

PACKAGES = ("color", "references", "video", "output", "remaster", "film", "stills", "jobs")


@pytest.mark.parametrize("package", PACKAGES)
def test_a_face_hands_on_what_it_lists(package):
    module = import_module(f"vs_remaster.{package}")
    tree = ast.parse(Path(str(module.__file__)).read_text())
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    base = {1: module.__name__, 2: "vs_remaster"}
    homes = {alias.name: f"{base[node.level]}.{node.module}" for node in block.body for alias in node.names}
    assert set(module.__all__) == set(homes) == set(dir(module))
    for name, home in homes.items():
        assert getattr(module, name) is getattr(import_module(home), name), name


def test_modules_are_there_too():
    import vs_remaster.stills

    assert vs_remaster.stills.coverage.LINES > 0
    with pytest.raises(AttributeError, match=r"module 'vs_remaster.stills' has no attribute 'nothing'"):
        _ = vs_remaster.stills.nothing
