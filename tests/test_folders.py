"""Where a user's own files are kept: nothing that was put there is lost by an update."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import platformdirs
import pytest

from vs_remaster.system.folders import user_folder

SYSTEMS = {"linux": ("unix", "Unix"), "win32": ("windows", "Windows"), "darwin": ("macos", "MacOS")}
VARIABLES = ("XDG_DATA_HOME", "XDG_CACHE_HOME", "LOCALAPPDATA", "WIN_PD_OVERRIDE_LOCAL_APPDATA")


@pytest.fixture
def on(monkeypatch, tmp_path):
    """Act as a system does, for a user whose home is `tmp_path`."""

    def act_as(system: str, **variables: Path | str) -> None:
        module, name = SYSTEMS[system]
        found = importlib.import_module(f"platformdirs.{module}")
        monkeypatch.setattr("sys.platform", system)
        monkeypatch.setattr(platformdirs, "PlatformDirs", getattr(found, name))
        if system == "win32":  # where the shell is asked, which says what the variable says
            monkeypatch.setattr(found, "_RESOLVE_WIN_FOLDER", found.get_win_folder_from_env_vars)
        for unset in VARIABLES:
            monkeypatch.delenv(unset, raising=False)
        monkeypatch.setenv("HOME", str(tmp_path))
        for variable, value in variables.items():
            monkeypatch.setenv(variable, str(value))

    return act_as


@pytest.mark.parametrize(
    ("system", "data", "cache"),
    [
        ("linux", ".local/share/vs-remaster", ".cache/vs-remaster"),
        ("darwin", "Library/Application Support/vs-remaster", "Library/Caches/vs-remaster"),
        ("win32", "AppData/Local/vs-remaster", "AppData/Local/vs-remaster"),
    ],
)
def test_the_folders_of_each_system(on, tmp_path, system, data, cache):
    on(system, LOCALAPPDATA=tmp_path / "AppData" / "Local")
    assert user_folder("data") == tmp_path / data
    assert user_folder("cache") == tmp_path / cache
    assert not any(tmp_path.iterdir()), "they need not exist, and asking makes none"


def test_linux_keeps_them_where_the_variables_say(on, tmp_path):
    on("linux", XDG_DATA_HOME=tmp_path / "d", XDG_CACHE_HOME=tmp_path / "c")
    assert user_folder("data") == tmp_path / "d" / "vs-remaster"
    assert user_folder("cache") == tmp_path / "c" / "vs-remaster"


def test_a_mac_keeps_its_folders_though_the_variables_of_linux_are_set(on, tmp_path):
    on("darwin", XDG_DATA_HOME=tmp_path / "d", XDG_CACHE_HOME=tmp_path / "c")
    assert user_folder("data") == tmp_path / "Library" / "Application Support" / "vs-remaster"
    assert user_folder("cache") == tmp_path / "Library" / "Caches" / "vs-remaster"


def test_libraries_for_rare_commands_are_not_loaded_by_the_others():
    code = "import sys; import vs_remaster.cli.entry as e; e.make_parser(); print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "vs_remaster.cli.entry" in ran.stdout.split()
    assert {"platformdirs", "tomlkit"}.isdisjoint(ran.stdout.split())
