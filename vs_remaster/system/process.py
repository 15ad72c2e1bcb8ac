"""Settings of a process that is all ours. Programs call `take_over` first thing; the library never does."""

from __future__ import annotations

import ctypes
import math
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # from glibc's malloc.h
_CPU_MAX = Path("/sys/fs/cgroup/cpu.max")


def take_over() -> None:
    """Let this process keep the memory that it frees, use as many threads as it may have processors, and go on when
    nobody takes what it says.

    To be called before PyTorch is imported. What the user's environment says (`OMP_NUM_THREADS`, `MALLOC_*`) stands.
    """
    _keep_memory()
    _spare_streams()
    limit = processors()
    if limit is not None and limit < (os.cpu_count() or 1):
        os.environ.setdefault("OMP_NUM_THREADS", str(limit))


class Spoken:
    """A text stream, stdout or stderr, that can be done without: what nobody takes is dropped, and so is all that
    comes after it. A full disk or a program that has stopped reading is no reason to lose a film.

    Args:
        stream: the real one; None where it was closed when the program began, `closed` is true then.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self.closed = stream is None
        self._stream: TextIO = open(os.devnull, "w") if stream is None else stream
        with suppress(AttributeError, OSError, ValueError):  # names of files may hold bytes that are no text
            self._stream.reconfigure(errors="backslashreplace")  # ty: ignore[missing-attribute] not every TextIO has it

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write, or drop."""
        with self._dropping():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Hand on what was written, or drop it."""
        with self._dropping():
            self._stream.flush()

    @contextmanager
    def _dropping(self) -> Generator[None]:
        try:
            yield
        except (OSError, ValueError):  # ValueError: it was closed meanwhile
            with suppress(OSError, ValueError):  # what waits in buffers goes there too, when the process ends
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, self._stream.fileno())
                os.close(null)
                self._stream.flush()


def _spare_streams() -> None:
    """Put `Spoken` in the place of stdout and stderr, and something in the place of streams that are closed: the next
    file that is opened would get their number, and what a codec says on stderr would go into a film."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest number that is free
    sys.stdout, sys.stderr = (
        stream if isinstance(stream, Spoken) else Spoken(stream) for stream in (sys.stdout, sys.stderr)
    )


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
