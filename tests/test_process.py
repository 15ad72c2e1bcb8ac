"""What the program settles for its own process, and no one else's."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from vs_remaster.system.process import processors

# Tensors of 64 MB one after the other: does each one's memory have to come from the system again?
FAULTS = """
import resource, sys
sys.argv = ["vs-remaster", "--version"]
if {ours}:
    from vs_remaster.system.process import take_over
    take_over()
import numpy as np
for _ in range(3):
    np.ones(1 << 23)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    np.ones(1 << 23)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(ours: bool, **more: str) -> int:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")} | more
    run = [sys.executable, "-c", FAULTS.format(ours=ours)]
    return int(subprocess.run(run, env=environment, capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif("glibc" not in os.confstr("CS_GNU_LIBC_VERSION") if sys.platform == "linux" else True,
                    reason="settings of the GNU C library")  # fmt: skip
def test_freed_memory_is_kept_unless_the_user_says_otherwise():
    assert faults(True) < 100
    assert faults(False) > 300
    assert faults(True, MALLOC_MMAP_THRESHOLD_=str(1 << 20)) > 300


@pytest.mark.parametrize(
    "text, count", [("200000 100000", 2), ("150000 100000", 2), ("5000 100000", 1), ("max 100000", None), ("", None)]
)
def test_processors_of_a_container(text, count, tmp_path):
    quota = tmp_path / "cpu.max"
    quota.write_text(text + "\n")
    assert processors(quota) == count
    assert processors(tmp_path / "missing") is None


def test_only_the_program_takes_over_its_process():
    code = "import os, vs_remaster.cli as cli; cli.main(['--version']); print(os.environ.get('OMP_NUM_THREADS'))"
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "None"
