"""Files and folders that get their names when they are whole, and never take the place of somebody else's."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
import secrets
import shutil
import sys
import zlib
from collections.abc import Callable, Generator
from pathlib import Path
from types import TracebackType
from typing import Any

import av

from ..errors import InputError, RemasterError
from .locks import is_locked, lock, turn

log = logging.getLogger(__name__)

NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

LEFT_BY_SYSTEMS = frozenset({".ds_store", "thumbs.db", "ehthumbs.db", "desktop.ini"})
"""What systems put into folders that somebody looks at, in lower case; nobody misses it."""

_LONGEST = 255  # bytes of a name, on all file systems in use
_KIND = r"\.[0-9a-f]{8}\.(part|old)"
_SPARE_NAMES = 1000


@contextlib.contextmanager
def named_errors(path: Path) -> Generator[None]:
    """Turn what FFmpeg and the system say while writing into one line."""
    try:
        yield
    except (OSError, av.FFmpegError) as error:
        number = getattr(error, "errno", None)
        if number in NO_SPACE:
            raise InputError(f"no space left for {path}: free some or write elsewhere") from error
        if number in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise InputError(f"cannot write {path}: permission denied") from error
        raise RemasterError(f"cannot write {path}: {getattr(error, 'strerror', None) or error}") from error


class OutputTaken(InputError):
    """What was made is complete and has another name, for somebody else's file has got its own."""


class Atomic:
    """A context that completes its output when all went well and removes it otherwise."""

    def close(self) -> None:
        raise NotImplementedError

    def abort(self) -> None:
        raise NotImplementedError

    def __enter__(self) -> Any:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()


class Part:
    """An output in the making: a file or folder beside the name that it will have, under one that nobody else has.

    The system holds a lock on it until it is settled or discarded, however this process ends. So a second run with the
    same output finds that one is at work, and what a killed run has left is told from it and removed.

    Args:
        path: the output.
        folder: it is a folder.
        overwrite: what has that name at the end is replaced; otherwise it stays, whenever it came.
        strangers: for a folder that is to be replaced: the name of something in it that may not be removed, or None.

    Attributes:
        place: the path of the part: an empty file or folder at first.

    Raises:
        InputError: another run is writing this output; no space left, permission denied. RemasterError: the disk fails.
    """

    def __init__(
        self,
        path: Path,
        *,
        folder: bool = False,
        overwrite: bool = False,
        strangers: Callable[[Path], str | None] = lambda folder: None,
    ) -> None:
        self.path, self._overwrite, self._strangers = path, overwrite, strangers
        with named_errors(path), turn(path.parent):
            _clear(path)
            self.place = _other_name(path, "part")
            self._handle: int | None = _made(self.place, folder)
            self._folder = folder
            if self._handle is not None:
                with contextlib.suppress(OSError):  # where there are no locks
                    lock(self._handle)

    def settle(self) -> None:
        """Give the output its name, on the disk.

        Raises:
            InputError: something has got that name meanwhile: then the output is kept under another one, which the
                message says. Also no space left, permission denied. RemasterError: the disk fails.
        """
        with named_errors(self.path):
            _sync(self.place, self._handle)
            with turn(self.path.parent):
                if os.name == "nt":  # where a file that is open cannot be renamed
                    self._close()
                try:
                    if self._overwrite and self._folder and os.path.lexists(self.path):
                        self._replace_folder()
                    elif self._overwrite and not self._folder:
                        os.replace(self.place, self.path)
                    else:
                        give_name(self.place, self.path)
                except FileExistsError as error:
                    raise self._kept() from error
                finally:
                    self._close()
            _sync_folder(self.path.parent)

    def discard(self) -> None:
        """Remove it; nothing where it was settled."""
        self._close()
        _remove(self.place)

    def _close(self) -> None:
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def _replace_folder(self) -> None:
        """Put the folder in the place of one that is there, which comes back if that fails."""
        old = _other_name(self.path, "old")
        self.path.rename(old)
        try:
            stranger = self._strangers(old) if old.is_dir() else old.name
            if stranger is not None:
                raise FileExistsError(errno.EEXIST, "holds other files")
            give_name(self.place, self.path)
        except BaseException:
            old.rename(self.path)
            raise
        _remove(old)

    def _kept(self) -> OutputTaken:
        stem, suffix = (self.path.name, "") if self._folder else (self.path.stem, self.path.suffix)
        room = _LONGEST - len(os.fsencode(suffix)) - 5
        for number in range(1, _SPARE_NAMES):
            other = self.path.with_name(f"{_cut(stem, room)}.{number}{suffix}")
            with contextlib.suppress(FileExistsError):
                give_name(self.place, other)
                return OutputTaken(
                    f"output exists: {self.path} came while this run was at work, and was left as it is: what was made "
                    f"is complete and has the name {other.name}"
                )
        return OutputTaken(f"output exists: {self.path} came while this run was at work")


@contextlib.contextmanager
def reserved(path: Path, folder: bool = False) -> Generator[Callable[[], None]]:
    """Keep other runs away from an output that is not written yet.

    Yields:
        What ends that, for the writer that is about to take over.

    Raises:
        InputError: see `Part`.
    """
    part = Part(path, folder=folder)
    try:
        yield part.discard
    finally:
        part.discard()


def give_name(part: Path, path: Path) -> None:
    """Rename a file or folder, unless something has that name; an empty folder may give way to a folder.

    Raises:
        FileExistsError: something has it.
    """
    if part.is_dir():
        try:
            if os.name == "nt":
                with contextlib.suppress(OSError):
                    path.rmdir()  # removes it only where it is empty
            part.rename(path)
        except OSError as error:
            if error.errno in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from error
            raise
        return
    if os.name == "nt":
        part.rename(path)  # raises FileExistsError by itself
        return
    try:
        os.link(part, path)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EACCES):
            raise
        # a file system without links: the name is taken first, so that nobody else can
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        os.replace(part, path)
        return
    part.unlink()


def new_part(path: Path) -> Path:
    """An empty file beside a path, under a name that nobody can foretell, for what is not claimed as `Part` does.

    Raises:
        OSError: it cannot be made.
    """
    part = _other_name(path, "part")
    handle = _made(part, folder=False)
    assert handle is not None
    os.close(handle)
    return part


def write_whole(path: Path, data: bytes, *, overwrite: bool = True) -> None:
    """Write a file that has its name only when it is complete and on the disk.

    Args:
        path: of the file.
        data: all of it.
        overwrite: replace a file that has that name.

    Raises:
        InputError: the file exists, no space left, permission denied. RemasterError: the disk fails.
    """
    with named_errors(path):
        part = new_part(path)
        try:
            with part.open("r+b") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            if overwrite:
                os.replace(part, path)
            else:
                give_name(part, path)
            _sync_folder(path.parent)
        except FileExistsError as error:
            raise InputError(f"{path} exists and is never overwritten: give another name") from error
        finally:
            part.unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """Make a folder and those round it, unless they are there.

    Raises:
        InputError: a file has the name, no space left, permission denied. RemasterError: the disk fails.
    """
    with named_errors(folder):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise InputError(f"cannot make the folder {str(folder)!r}: {error.strerror}") from error


def settle(part: Path, path: Path) -> None:
    """Give a finished file its name, in the place of what has it, so that it survives a loss of power."""
    _sync(part, None)
    os.replace(part, path)
    _sync_folder(path.parent)


def check_replaceable(path: Path, overwrite: bool) -> None:
    """Refuse the name of an output file that could not be given in the end, before any work is done.

    Raises:
        InputError: the folder is missing, something has the name and may not be replaced, or it is a link.
    """
    if not path.parent.is_dir():
        raise InputError(f"output folder does not exist: {path.parent}")
    check_no_link(path)
    if path.is_dir():
        raise InputError(f"output is a folder: {path}")
    if path.exists() and not overwrite:
        raise InputError(f"output exists: {path}: give another name or --overwrite")


def check_no_link(path: Path) -> None:
    """Refuse a symbolic link as the name of an output: whoever made it would choose what is replaced.

    Raises:
        InputError: it is one.
    """
    if path.is_symlink():
        raise InputError(f"output is a symbolic link: {path}: give the name that it leads to, {os.readlink(path)}")


def _other_name(path: Path, kind: str) -> Path:
    """A name beside a path that cannot be foretold."""
    return path.with_name(f"{_prefix(path)}.{secrets.token_hex(4)}.{kind}")


def _prefix(path: Path) -> str:
    """How the names of an output's parts begin: like its own, as far as there is room."""
    room = _LONGEST - len(".") - len(".12345678.part")
    if len(os.fsencode(path.name)) <= room:
        return f".{path.name}"
    return f".{_cut(path.name, room - 9)}-{zlib.crc32(os.fsencode(path.name)):08x}"


def _cut(name: str, room: int) -> str:
    """The beginning of a name, of so many bytes at most."""
    while len(os.fsencode(name)) > room:
        name = name[:-1]
    return name


def _made(place: Path, folder: bool) -> int | None:
    """Make an empty file or folder that was not there, and open it; None where folders cannot be opened."""
    if not folder:
        flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        return os.open(place, flags, 0o666)
    place.mkdir()
    return None if os.name == "nt" else os.open(place, os.O_RDONLY)


def _clear(path: Path) -> None:
    """Remove what runs that were killed have left of an output; bring back what one was about to replace.

    Raises:
        InputError: a run is at work.
    """
    pattern = re.compile(re.escape(_prefix(path)) + _KIND)
    left = [path.parent / entry.name for entry in os.scandir(path.parent) if pattern.fullmatch(entry.name)]
    left = [place for place in left if _is_own(place)]
    if any(is_locked(place) for place in left):
        raise InputError(f"{path} is being written by another run: wait until that is done, or give another name")
    for place in left:
        if place.suffix == ".old" and not os.path.lexists(path):
            log.warning("%s was about to be replaced by a run that was killed: it is there again", path)
            place.rename(path)
        elif place.suffix == ".old" or is_locked(place) is False:
            _remove(place)


def _is_own(place: Path) -> bool:
    """Whether it belongs to this user, as what this program made does."""
    try:
        return not place.is_symlink() and (os.name == "nt" or place.lstat().st_uid == os.geteuid())
    except FileNotFoundError:
        return False


def _remove(place: Path) -> None:
    if place.is_dir():
        shutil.rmtree(place, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            place.unlink()


# The disk -------------------------------------------------------------------------------------------------------------


def _sync(place: Path, handle: int | None) -> None:
    """Bring a file, or all files of a folder, to the disk."""
    if place.is_dir():
        for folder, _, names in os.walk(place):
            for name in names:
                _sync(Path(folder, name), None)
            _sync_folder(Path(folder))
    elif handle is not None:
        os.fsync(handle)
    else:
        with place.open("rb+") as file:
            os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk."""
    if sys.platform == "win32":  # which has no handles for folders; it writes names at once
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems have no such thing
            raise
    finally:
        os.close(handle)
