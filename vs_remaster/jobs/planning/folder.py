"""The folder of a job: who may work in it, and files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import time
import zlib
from collections.abc import Generator
from pathlib import Path
from typing import Any, TextIO

from ...errors import InputError, RemasterError
from ...system import locks
from ...system.files import make_folder, named_errors, write_whole
from ...system.texts import read_bytes
from .checksums import sealed, unsealed

VERSION = 1
"""Of what lies in the folder; another one is not read."""

_PLAN, _SHOTS, _SHARES, _LOCK, _CHUNKS, _ALIGNED, _OUTPUTS = (
    "job.json", "shots.toml", "shares.json", "lock", "chunks", "aligned", "outputs.json"
)  # fmt: skip

_LONGEST, _NAME = 255, 240  # bytes of a name; of it, where not all of it has room
_PATIENCE = 1.0  # seconds that a lock is waited for: those who look at it have it for some microseconds
_TICK = 0.01


class DamagedPlan(InputError):
    """The file that says what is to be done is not what was written."""


class JobFolder:
    """A job's folder.

    Args:
        path: where it is or will be.

    Attributes:
        plan: the file that says what is to be done.
        shots: the file that a person may edit.
        shares: the file that says which reference coloured what, once all is done, see `SharesFile`.
        chunks: the folder of finished chunks.
        aligned: the folder of references that were taken out of coloured copies of the film.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.plan, self.shots, self.chunks = path / _PLAN, path / _SHOTS, path / _CHUNKS
        self.shares = path / _SHARES
        self.aligned = path / _ALIGNED
        self._outputs = path / _OUTPUTS

    @classmethod
    def beside(cls, output: Path) -> JobFolder:
        """The folder of an output, where no other is asked for."""
        if not output.name:
            raise InputError(f"{str(output)!r} is no name for an output")
        name, known = output.name, os.fsencode(output.name)
        if len(known) > _LONGEST - len(".job"):
            name = f"{known[:_NAME].decode(errors='ignore')}-{zlib.crc32(known):08x}"
        return cls(output.with_name(f"{name}.job"))

    def make(self) -> None:
        """Make it, unless it is there.

        Raises:
            InputError: the name belongs to something else, or nothing can be written there.
        """
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"{self.path} is no folder: give another --job")
        ours = self.plan.exists() or self.shots.exists() or not self.path.is_dir()
        with named_errors(self.path):
            there = [] if ours else os.listdir(self.path)
        strange = [
            name for name in there if name not in (_LOCK, _CHUNKS, _ALIGNED, _OUTPUTS) and not name.endswith(".part")
        ]
        if strange:
            raise InputError(f"{self.path} holds other files ({min(strange)}): give --job the name of a new folder")
        make_folder(self.chunks)

    def read_plan(self) -> dict[str, Any] | None:
        """What `write_plan` wrote; None before that.

        Raises:
            DamagedPlan: it is not what was written. InputError: it cannot be read, or is of another version.
        """
        try:
            plan = unsealed(read_bytes(self.plan))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise InputError(f"cannot read {self.plan}: {error.strerror}") from error
        except ValueError as error:
            raise DamagedPlan(
                f"{self.plan} is damaged ({error}), is the disk sound? The command of the job makes it again"
            ) from error
        version = plan.get("version")
        if version != VERSION:
            raise InputError(
                f"{self.plan} is of version {version}, this program writes {VERSION}: finish the job with the program "
                f"that began it, or remove {self.path} and begin anew"
            )
        return plan

    def write_plan(self, plan: dict[str, Any]) -> None:
        """Write what is to be done; from then on this is a job that can be resumed."""
        write_whole(self.plan, sealed({"version": VERSION, **plan}))

    def note(self, *parts: Path) -> None:
        """Remember outputs in the making: a run may be killed between giving them their names and ending the job.

        Args:
            parts: files and folders, which keep their numbers on the disk when they are renamed.
        """
        made = [*self._made(), *([stat.st_dev, stat.st_ino] for stat in map(os.stat, parts))]
        self._note(outputs=made)

    def owns(self, output: Path) -> bool:
        """Whether an output is one of those that were noted."""
        try:
            stat = output.lstat()
        except OSError:
            return False
        return [stat.st_dev, stat.st_ino] in self._made()

    def forget_outputs(self) -> None:
        """The job is done and stays, and what was made of it is like any other file."""
        self._outputs.unlink(missing_ok=True)

    def end(self, *, shots: bool) -> None:
        """All is done: remove the job, see `remove`; who is killed while doing so leaves that to the next run."""
        self._note(outputs=self._made(), shots=shots)
        self.remove(shots=shots)

    def go_on_ending(self) -> bool:
        """Remove what is left of a job whose `end` was cut short; whether there is one."""
        shots = self._noted().get("shots")
        if not isinstance(shots, bool):
            return False
        with self.locked():
            self.remove(shots=shots)
        return True

    def _made(self) -> list[list[int]]:
        return list(self._noted().get("outputs", []))

    def _noted(self) -> dict[str, Any]:
        try:
            return unsealed(read_bytes(self._outputs))
        except (OSError, ValueError, InputError):
            return {}

    def _note(self, **told: Any) -> None:
        write_whole(self._outputs, sealed(told))

    @contextlib.contextmanager
    def at_work(self) -> Generator[None]:
        """Make it ready for a run, and keep every other program out. When that ends early and there is no plan, so
        nothing to go on with, the folder is removed.

        Raises:
            InputError: see `make` and `locked`.
        """
        self.make()
        with self.locked():
            self.make()  # the run that had the lock may have removed it
            self.clear()
            try:
                yield
            except BaseException:
                if not self.plan.exists():
                    self.remove(shots=False)
                raise

    @contextlib.contextmanager
    def locked(self) -> Generator[None]:
        """Keep every other program out; the system lets go when this one ends, however it ends.

        Raises:
            InputError: another program is at work here, or nothing can be locked.
        """
        file = self._lock()
        with file:
            file.truncate(0)
            file.write(f"{os.getpid()} {socket.gethostname()}\n")
            file.flush()
            try:
                yield
            finally:
                with contextlib.suppress(OSError):
                    file.truncate(0)

    def _lock(self) -> TextIO:
        """The lock file, which is ours: the one that has the name, for whoever held it may just have removed it."""
        patience = time.monotonic() + _PATIENCE
        while True:
            file = self._open_lock()
            try:
                taken = locks.lock(file.fileno())
                if taken and os.path.samestat(os.fstat(file.fileno()), os.stat(file.name)):
                    return file
            except FileNotFoundError:  # removed; when the folder is gone too, the next round says so
                taken = True
            except OSError as error:
                file.close()
                raise InputError(
                    f"{self.path} cannot be locked ({error.strerror}): give --job a folder on another disk"
                ) from error
            file.close()
            if not taken:
                if time.monotonic() > patience:  # not only a look, which is over at once
                    who = self.worker() or "another program"
                    raise InputError(f"{self.path} is in use by {who}: wait until that is done, or stop it")
                time.sleep(_TICK)

    def _open_lock(self) -> TextIO:
        lock = self.path / _LOCK
        if lock.is_symlink():
            raise InputError(f"{lock} is a symbolic link, which no job makes: remove it")
        try:
            with named_errors(self.path):
                return open(lock, "a+", opener=_no_link)
        except RemasterError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                raise InputError(f"{self.path} was removed meanwhile: has another run finished it?") from error
            raise

    def worker(self) -> str | None:
        """Who is at work here, as far as the lock tells; None for nobody. Nothing is changed, nobody is kept out."""
        lock = self.path / _LOCK
        try:
            number, _, host = lock.read_text().strip().partition(" ")
            if not locks.look(lock):
                return None
        except FileNotFoundError:
            return None
        except OSError as error:
            return f"perhaps another program ({lock} tells nothing: {error.strerror})"
        return f"process {number} on {host}" if number else "another program"

    def clear(self) -> None:
        """Remove what unfinished writing has left; for the run that has the lock."""
        for place in (self.path, self.chunks, self.aligned):
            for part in place.glob(".*.part*"):
                if part.is_dir() and not part.is_symlink():
                    shutil.rmtree(part, ignore_errors=True)
                else:
                    part.unlink(missing_ok=True)

    def remove(self, *, shots: bool) -> None:
        """Remove the job, and nothing that a person has put beside it; for the run that has the lock.

        Args:
            shots: with the file that a person may have edited.
        """
        self.plan.unlink(missing_ok=True)  # first: without it the rest is no job
        self.clear()
        self.shares.unlink(missing_ok=True)
        shutil.rmtree(self.chunks, ignore_errors=True)
        shutil.rmtree(self.aligned, ignore_errors=True)
        with contextlib.suppress(OSError):  # other files; or Windows, where the lock is in use
            if shots:
                self.shots.unlink(missing_ok=True)
            self.forget_outputs()
            (self.path / _LOCK).unlink(missing_ok=True)  # from here on the folder may be another run's
            self.path.rmdir()


def _no_link(path: str, flags: int) -> int:
    """Open a file that is no symbolic link."""
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)
