"""Markers, what the tests share, and a list of everything that was skipped."""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

BESIDE = "PYTEST_XDIST_WORKER" in os.environ  # this is one of several processes (pytest-xdist) that run tests
if BESIDE:  # they share the processors, each with one thread; to be said before PyTorch and OpenCV are imported
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

import cv2  # noqa: E402
import torch  # noqa: E402

RELEASE = Path(__file__).parent / "release"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--release", action="store_true", help="run the long tests too")


def pytest_configure() -> None:
    if BESIDE:
        cv2.setNumThreads(1)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Processes for `-n auto`: each takes a processor and up to 2 GB. The long tests measure time and memory, and some
    need the whole machine: one after the other."""
    return 0 if config.getoption("--release") else min(4, os.cpu_count() or 1)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    reasons = {}
    if not config.getoption("--release"):
        reasons["release"] = "long: run with --release"
    if not torch.cuda.is_available():
        reasons["gpu"] = "needs a CUDA device, and there is none"
    if not os.environ.get("VS_REMASTER_DATA"):
        reasons["data"] = "needs VS_REMASTER_DATA=folder of training and validation data"
    for item in items:
        if RELEASE in item.path.parents:
            item.add_marker(pytest.mark.release)
        for marker, reason in reasons.items():
            if item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skip(reason=reason))


def pytest_collection_finish() -> None:
    """Take what was imported out of what `gc.collect` looks at: VapourSynth calls it at the end of every clip, and the
    tests of its filters took a third longer."""
    gc.collect()
    gc.freeze()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was skipped and why, whatever the verbosity: a green run must not hide what it did not try."""
    skipped = terminalreporter.stats.get("skipped", [])
    terminalreporter.section(f"skipped: {len(skipped) or 'nothing'}")
    for report in skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        terminalreporter.line(f"{report.nodeid}: {reason.removeprefix('Skipped: ')}")


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """A test that works with other numbers of threads leaves none behind: colour in float32 depends on them. Nor does
    one that encodes with SVT-AV1, which makes the thread of the superuser a real-time one: the machine would stand
    still for everybody else."""
    before = torch.get_num_threads()
    yield
    if torch.get_num_threads() != before:
        torch.set_num_threads(before)
    if hasattr(os, "sched_getscheduler") and os.sched_getscheduler(0) != os.SCHED_OTHER:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return Path(__file__).parents[1]


@pytest.fixture(scope="session")
def ffmpeg() -> str:
    """Path of an ffmpeg program: the system's, or the one that a development installation brings."""
    found = shutil.which("ffmpeg")
    if found:
        return found
    imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg", reason="needs ffmpeg or the package imageio-ffmpeg")
    return imageio_ffmpeg.get_ffmpeg_exe()


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of training and validation data; only for tests marked `data`."""
    return Path(os.environ["VS_REMASTER_DATA"])
