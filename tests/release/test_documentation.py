"""The documentation builds without a warning: no link inside it is broken, and every name in the reference exists."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


def test_the_documentation_builds(root: Path, tmp_path: Path) -> None:
    for package in ("sphinx", "myst_parser", "furo"):
        pytest.importorskip(package, reason="needs the extra docs: pip install -e '.[docs]'")
    command = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "--nitpicky", "--quiet"]
    done = subprocess.run(
        [*command, "-c", "docs", ".", str(tmp_path)], cwd=root, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "docs" / "index.html").is_file()
