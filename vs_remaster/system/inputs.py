"""What may be opened: regular files and folders, for all that is read here is looked at more than once; and how a file
is known again."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

from ..errors import InputError

_KINDS = ((stat.S_ISFIFO, "pipe"), (stat.S_ISSOCK, "socket"), (stat.S_ISCHR, "device"), (stat.S_ISBLK, "device"))


def check_input(path: Path, *, film: bool = False) -> None:
    """Refuse what is neither a file nor a folder before it is opened: reading a pipe may never end.

    Args:
        path: as it was given.
        film: it is a film, which can come through a pipe in another way.

    Raises:
        InputError: nothing is there, it cannot be looked at, or it is a pipe, a socket or a device.
    """
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(f"no such file or folder: {path}") from error
    except PermissionError as error:
        raise InputError(f"cannot read {path}: permission denied") from error
    except (OSError, ValueError) as error:  # names that are too long, or hold a zero
        raise InputError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
    kind = next((name for test, name in _KINDS if test(mode)), None)
    if kind:
        other = ", or use vs-remaster pipe, which reads uncompressed film from stdin" if film else ""
        raise InputError(f"{path} is a {kind}, which cannot be read twice: save it as a file first{other}")


def sha256(path: Path) -> str:
    """sha256 of a file, as hexadecimal digits.

    Raises:
        InputError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"cannot read {str(path)!r}: {error.strerror}") from error
