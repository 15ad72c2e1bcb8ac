"""What is promised of the package as a whole: a silent import, and a wheel with nothing in it that is out of place."""

from __future__ import annotations

import json
import os
import pkgutil
import subprocess
import sys
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

import vs_remaster
from vs_remaster import weights

PROBE = """
import json, os, sys
import {first}
before = dict(os.environ), set(sys.modules)
import {module}
torch = sys.modules.get("torch")
print(json.dumps({{
    "environment": sorted(k for k in {{*before[0], *os.environ}} if before[0].get(k) != os.environ.get(k)),
    "cuda": bool(torch and torch.cuda.is_initialized()),
    "modules": sorted(set(sys.modules) - before[1]),
    "file": sys.modules["vs_remaster"].__file__,
}}))
"""


def import_in_a_new_process(module: str, folder: Path, first: str = "os", path: str | None = None) -> dict:
    """Import `module` after `first` in a fresh interpreter in an empty folder, and tell what that changed."""
    environment = {**os.environ, **({"PYTHONPATH": path} if path else {})}
    done = subprocess.run(
        [sys.executable, "-c", PROBE.format(module=module, first=first)],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert len(lines) == 1, f"importing {module} printed {lines[:-1]}"
    assert list(folder.iterdir()) == []
    return json.loads(lines[0])


def test_importing_the_package_does_nothing(tmp_path: Path) -> None:
    told = import_in_a_new_process("vs_remaster", tmp_path)
    assert told["environment"] == []
    heavy = {"torch", "numpy", "cv2", "av", "vapoursynth", "onnxruntime", "ray"}
    assert heavy.isdisjoint(told["modules"])


OF_VAPOURSYNTH = {
    f"vs_remaster.filters{part}"
    for part in ("", ".blocks", ".clips", ".definitions", ".preparing", ".scene_marks", ".sources")
}


def test_importing_every_module_changes_nothing(tmp_path: Path) -> None:
    found = {m.name for m in pkgutil.walk_packages(vs_remaster.__path__, "vs_remaster.") if "__main__" not in m.name}
    assert OF_VAPOURSYNTH | {"vs_remaster.color"} <= found
    modules = sorted(found - OF_VAPOURSYNTH)
    # Our dependencies may touch the environment when they load (OpenCV does): they come first.
    told = import_in_a_new_process(", ".join(modules), tmp_path, first="torch, cv2, av, safetensors.torch, tqdm")
    assert told["environment"] == []
    assert told["cuda"] is False
    assert {"vapoursynth", "onnxruntime", "ray"}.isdisjoint(told["modules"])


def test_public_names_are_there() -> None:
    assert set(vs_remaster.__all__) == {*vs_remaster._MODULE_OF, "__version__"}
    for name in vs_remaster.__all__:
        if vs_remaster._MODULE_OF.get(name) == "filters":
            pytest.importorskip("vapoursynth")
        assert getattr(vs_remaster, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = vs_remaster.no_such_name


def test_no_module_bears_the_name_of_something_public() -> None:
    """Importing such a module would replace the public name by the module."""
    modules = {m.name for m in pkgutil.iter_modules(vs_remaster.__path__)}
    assert modules.isdisjoint(vs_remaster.__all__)


@pytest.fixture(scope="module")
def wheel(root: Path, tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)],
        cwd=root, check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    (path,) = folder.glob("*.whl")
    return zipfile.ZipFile(path)


def test_the_wheel_holds_the_library_and_its_weights_only(wheel: zipfile.ZipFile, root: Path) -> None:
    names = set(wheel.namelist())
    information = f"vs_remaster-{vs_remaster.__version__}.dist-info"
    assert {name.split("/")[0] for name in names} == {"vs_remaster", information}
    for source in (root / "vs_remaster").rglob("*.*"):
        if source.suffix in (".py", ".html", ".css", ".js"):
            assert source.relative_to(root).as_posix() in names
    assert {"vs_remaster/py.typed", f"{information}/licenses/LICENSE"} <= names
    for listed in (root / "weights").glob("*.*"):
        inside = f"vs_remaster/_weights/{listed.name}"
        if listed.suffix in (".png", ".jpg"):  # the cards' pictures
            assert inside not in names
        else:
            assert wheel.read(inside) == listed.read_bytes()
    assert "vs_remaster/_weights/manifest.json" in names


def test_the_wheel_names_what_it_needs(wheel: zipfile.ZipFile, root: Path) -> None:
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (metadata,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    told = Parser().parsestr(wheel.read(metadata).decode())
    assert told["Requires-Python"] == ">=3.12"
    assert told["License-Expression"] == "MIT"
    needed = {line for line in told.get_all("Requires-Dist") if "extra ==" not in line}
    assert needed == set(settings["dependencies"])
    assert not any("<" in line for line in needed), "no upper limits: they keep people from installing it at all"
    assert set(told.get_all("Provides-Extra")) == {
        "vapoursynth", "onnx", "tensorrt", "rtn", "models", "cluster", "train", "dev", "docs", "all"
    }  # fmt: skip


def test_the_wheel_works_away_from_the_checkout(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    installed, empty = tmp_path / "installed", tmp_path / "empty"
    empty.mkdir()
    wheel.extractall(installed)
    told = import_in_a_new_process("vs_remaster.cli, vs_remaster.weights", empty, path=str(installed))
    assert Path(told["file"]).is_relative_to(installed)
    code = (
        "from vs_remaster import weights\n"
        "for name in weights.manifest(): print(weights.load_weights(weights.find(*name.split('-', 1))).before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=empty, env={**os.environ, "PYTHONPATH": str(installed)}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split()) == len(weights.manifest()) >= 2
