"""Locks on open files and folders. The system lets go of them when their holder ends, however it ends.

The package filelock cannot take their place: it looks at a lock by taking it, which makes the file and needs the right
to write it; and it locks whole files, where some network file systems then keep FFmpeg from writing what is locked.
"""

from __future__ import annotations

import contextlib
import errno
import os
import struct
import sys
import time
from collections.abc import Generator
from pathlib import Path

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_LOCKED_BYTE = 1 << 30 if sys.platform == "win32" else 1 << 62  # where nobody reads or writes: some systems and
# network file systems keep others from doing that with what is locked
_TAKEN = (errno.EAGAIN, errno.EACCES, errno.EDEADLK)  # what the systems say of a lock that somebody has
_WAIT, _STEP = 2.0, 0.01  # seconds: for a turn, and between two tries


def lock(handle: int) -> bool:
    """Take the lock on an open file or folder, at once or not at all; it ends when the handle is closed.

    Args:
        handle: of a file that was opened for writing, or of a folder.

    Returns:
        Whether it was taken; if not, another has it.

    Raises:
        OSError: nothing can be locked here.
    """
    try:
        if sys.platform == "win32":
            os.lseek(handle, _LOCKED_BYTE, os.SEEK_SET)
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        elif _by_byte(handle):
            fcntl.fcntl(handle, fcntl.F_OFD_SETLK, _byte())
        else:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in _TAKEN:
            raise
        return False
    return True


def look(place: Path) -> bool:
    """Whether somebody has the lock on a file or folder. It is not made, not changed and need not be writable.

    Files on Linux are only looked at. Elsewhere looking takes the lock for some microseconds, on Windows alone, else
    together with all who look.

    Raises:
        OSError: there is no such file or folder, or it tells nothing.
    """
    if sys.platform == "win32" and place.is_dir():
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP), str(place))
    handle = os.open(place, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    try:
        if sys.platform == "win32":
            return not lock(handle)
        if _by_byte(handle):
            return struct.unpack_from("h", fcntl.fcntl(handle, fcntl.F_OFD_GETLK, _byte()))[0] != fcntl.F_UNLCK
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in _TAKEN:
            raise
        return True
    finally:
        os.close(handle)
    return False


def is_locked(place: Path) -> bool | None:
    """The same, None where that cannot be known."""
    try:
        return look(place)
    except OSError:
        return None


@contextlib.contextmanager
def turn(folder: Path) -> Generator[None]:
    """Let one program at a time make files in a folder or look for them, where folders can be locked; nobody waits
    long."""
    if sys.platform == "win32":
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        until = time.monotonic() + _WAIT
        with contextlib.suppress(OSError):
            while not lock(handle) and time.monotonic() < until:
                time.sleep(_STEP)
        yield
    finally:
        os.close(handle)


def _by_byte(handle: int) -> bool:
    """Whether one byte is locked, and not the whole: that can be looked at without taking it."""
    if sys.platform != "linux" or os.path.isdir(handle):
        return False
    try:
        fcntl.fcntl(handle, fcntl.F_OFD_GETLK, _byte())
    except OSError as error:
        return error.errno != errno.EINVAL  # systems that are like Linux, but without locks of an open file
    return True


def _byte() -> bytes:
    """struct flock of Linux: to write one byte."""
    return struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, _LOCKED_BYTE, 1, 0)
