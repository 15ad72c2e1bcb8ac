"""The folder of a job: who may work in it, and files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..output import named_errors, write_whole

VERSION = 1
"""Of what lies in the folder; another one is not read."""

_PLAN, _SHOTS, _SHARES, _LOCK, _CHUNKS, _ALIGNED = (
    "job.json", "shots.toml", "shares.json", "lock", "chunks", "aligned"
)  # fmt: skip


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

    @classmethod
    def beside(cls, output: Path) -> JobFolder:
        """The folder of an output, where no other is asked for."""
        return cls(output.with_name(f"{output.name}.job"))

    def make(self) -> None:
        """Make it, unless it is there.

        Raises:
            InputError: the name belongs to something else, or nothing can be written there.
        """
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"{self.path} is no folder: give another --job")
        ours = self.plan.exists() or self.shots.exists() or not self.path.is_dir()
        there = [] if ours else [path.name for path in self.path.iterdir()]
        strange = [name for name in there if name not in (_LOCK, _CHUNKS, _ALIGNED) and not name.endswith(".part")]
        if strange:
            raise InputError(f"{self.path} holds other files ({min(strange)}): give --job the name of a new folder")
        with named_errors(self.path):
            self.chunks.mkdir(parents=True, exist_ok=True)

    def read_plan(self) -> dict[str, Any] | None:
        """What `write_plan` wrote; None before that.

        Raises:
            InputError: it is damaged, or of another version.
        """
        try:
            plan = json.loads(self.plan.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise InputError(f"{self.plan} cannot be read ({error}): remove {self.path} and begin anew") from error
        version = plan.get("version") if isinstance(plan, dict) else None
        if version != VERSION:
            raise InputError(
                f"{self.plan} is of version {version}, this program writes {VERSION}: finish the job with the program "
                f"that began it, or remove {self.path} and begin anew"
            )
        return plan

    def write_plan(self, plan: dict[str, Any]) -> None:
        """Write what is to be done; from then on this is a job that can be resumed."""
        write_whole(self.plan, json.dumps({"version": VERSION, **plan}, separators=(",", ":")).encode())

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep every other program out; the system lets go when this one ends, however it ends.

        Raises:
            InputError: another program is at work here.
        """
        with named_errors(self.path):
            file = (self.path / _LOCK).open("a+")
        with file:
            try:
                _lock(file)
            except OSError as error:
                who = self.worker() or "another program"
                raise InputError(f"{self.path} is in use by {who}: wait until that is done, or stop it") from error
            file.truncate(0)
            file.write(f"{os.getpid()} {socket.gethostname()}\n")
            file.flush()
            try:
                yield
            finally:
                with contextlib.suppress(OSError):
                    file.truncate(0)

    def worker(self) -> str | None:
        """Who is at work here, as far as the lock tells; None for nobody."""
        try:
            with (self.path / _LOCK).open("a+") as file:
                file.seek(0)
                number, _, host = file.read().strip().partition(" ")
                try:
                    _lock(file)
                except OSError:
                    return f"process {number} on {host}" if number else "another program"
        except OSError:
            return None
        return None

    def clear(self) -> None:
        """Remove what unfinished writing has left."""
        for part in (*self.path.glob(".*.part"), *self.chunks.glob(".*.part"), *self.chunks.glob(".*.part.*")):
            part.unlink(missing_ok=True)

    def remove(self, *, shots: bool) -> None:
        """Remove the job, and nothing that a person has put beside it.

        Args:
            shots: with the file that a person may have edited.
        """
        self.plan.unlink(missing_ok=True)  # first: without it the rest is no job
        self.shares.unlink(missing_ok=True)
        shutil.rmtree(self.chunks, ignore_errors=True)
        shutil.rmtree(self.aligned, ignore_errors=True)
        with contextlib.suppress(OSError):  # other files; or Windows, where the lock is in use
            if shots:
                self.shots.unlink(missing_ok=True)
            (self.path / _LOCK).unlink(missing_ok=True)
            self.path.rmdir()


def _lock(file: Any) -> None:
    """Take the lock or raise OSError at once."""
    if sys.platform == "win32":
        import msvcrt

        file.seek(1 << 20)  # a byte that nobody reads: Windows keeps others from reading what is locked
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
