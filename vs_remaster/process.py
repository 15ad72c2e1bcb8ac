"""Settings of a process that is all ours. Programs call `take_over` first thing; the library never does."""

from __future__ import annotations

import ctypes
import math
import os
import sys
from contextlib import suppress
from pathlib import Path

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # from glibc's malloc.h
_CPU_MAX = Path("/sys/fs/cgroup/cpu.max")


def take_over() -> None:
    """Let this process keep the memory that it frees, and use as many threads as it may have processors.

    To be called before PyTorch is imported. What the user's environment says (`OMP_NUM_THREADS`, `MALLOC_*`) stands.
    """
    _keep_memory()
    limit = processors()
    if limit is not None and limit < (os.cpu_count() or 1):
        os.environ.setdefault("OMP_NUM_THREADS", str(limit))


def _keep_memory() -> None:
    """Tell glibc to hold on to large blocks: by default it returns each tensor of a frame to the system and has the
    next one's pages cleared anew, which takes a quarter of the time of a film. One arena for all threads: each chunk
    has threads of its own, and what one arena holds on to is lost to those that got another."""
    set_by_user = any(name.startswith("MALLOC_") for name in os.environ) or "GLIBC_TUNABLES" in os.environ
    if not sys.platform.startswith("linux") or set_by_user:
        return
    with suppress(OSError, AttributeError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, ctypes.c_int(1 << 30))
        mallopt(_M_ARENA_MAX, 1)
        mallopt(_M_TRIM_THRESHOLD, ctypes.c_int((1 << 31) - 1))


def processors(quota: Path = _CPU_MAX) -> int | None:
    """How many processors a container (control group, version 2) may use, rounded up; None: as many as there are.

    Args:
        quota: the group's file; it says `max` or the microseconds of work allowed in each period, and the period.
    """
    try:
        work, period = quota.read_text().split()
        return max(1, math.ceil(int(work) / int(period)))
    except (OSError, ValueError, ZeroDivisionError):
        return None
