"""The wheel and the source distribution install and run, away from the checkout, on each Python that we promise."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import pytest

VERSIONS = ("3.12", "3.13")


def python_of(version: str) -> str | None:
    """A Python of this version that can make environments, or None."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    for candidate in (f"python{version}", *sorted(map(str, pyenv.glob(f"{version}.*/bin/python")))):
        if shutil.which(candidate):
            code = f"import ensurepip, sys, venv; sys.exit('%d.%d' % sys.version_info[:2] != '{version}')"
            if subprocess.run([candidate, "-c", code], capture_output=True).returncode == 0:
                return candidate
    return None


@pytest.fixture(scope="module")
def packages(root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The wheel and the source distribution of this checkout."""
    folder = tmp_path_factory.mktemp("packages")
    build = [sys.executable, "-m", "hatchling", "build", "--directory", str(folder)]
    subprocess.run(build, cwd=root, check=True, capture_output=True, timeout=300)
    (wheel,), (source,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return {"wheel": wheel, "sdist": source}


@pytest.fixture(scope="module", params=VERSIONS)
def environment(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of programs of a new environment; it goes away afterwards, as it has gigabytes."""
    python = python_of(request.param)
    if python is None:
        pytest.skip(f"no Python {request.param} with venv here")
    folder = tmp_path_factory.mktemp(f"python{request.param}-") / "environment"
    subprocess.run([python, "-m", "venv", str(folder)], check=True, capture_output=True, timeout=120)
    yield folder / ("Scripts" if os.name == "nt" else "bin")
    shutil.rmtree(folder)


@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_it_installs_and_remasters(environment: Path, packages: dict[str, Path], root: Path, tmp_path: Path, kind: str):
    def run(*command: object) -> str:
        clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
        done = subprocess.run(
            list(map(str, command)), cwd=tmp_path, env=clean, capture_output=True, text=True, timeout=1200
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    python = environment / "python"
    run(python, "-m", "pip", "install", "--quiet", "--force-reinstall", "--no-deps", packages[kind])
    run(python, "-m", "pip", "install", "--quiet", packages[kind])  # what it needs, where that is not there yet
    where = run(python, "-c", "import vs_remaster; print(vs_remaster.__file__)").strip()
    assert Path(where).is_relative_to(environment.parent)
    film = tmp_path / "film.mkv"
    shutil.copy(root / "tests/data/sample.mkv", film)
    run(environment / "vs-remaster", "run", film, "-o", "out.mkv", "--device", "cpu", "--no-color", "--end", "3")
    with av.open(str(tmp_path / "out.mkv")) as made:
        assert sum(1 for _ in made.decode(video=0)) == 3
