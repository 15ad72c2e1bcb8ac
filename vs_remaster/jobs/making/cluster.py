"""A Ray cluster that makes chunks.

Ray is what schedules: it keeps an actor with the loaded networks for each worker, gives it a GPU, starts it again where
it died and repeats what it had in work. Film and chunks go by path where the machines see the same files, else through
Ray's object store.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...errors import RemasterError, UnsupportedError
from ...film.masks import Masks
from ...system.process import take_over
from ...video.folder import files_of as pictures_of
from ..planning.chunking import Chunk, Work
from .chunks import Record, files_of, take_chunk
from .maker import ChunkMaker
from .tally import Tally

log = logging.getLogger(__name__)

_PIECE = 64 << 20  # bytes of a film in one object
_RESTARTS = 10  # of an actor
_RETRIES = 3  # of a chunk
_TICK = 0.5  # seconds between two looks at what is done
_LONG = 10.0  # seconds after which it is said that no worker has come
_PATIENCE = 2.0  # seconds that workers have to clean up

_Made = tuple[Chunk, Record, list[bytes] | None]
_Sent = dict[str, list[tuple[str, list[Any]]]]  # names of files in a folder, and their pieces


def make_on_ray(
    address: str,
    count: int | None,
    work: Work,
    todo: Sequence[Chunk],
    tally: Tally,
    check: Callable[[], None],
    *,
    stream: bool = False,
) -> None:
    """Make chunks on a Ray cluster.

    Args:
        address: `auto`, `local` (a cluster of this machine alone, for as long as the job runs), `HOST:PORT` or
            `ray://HOST:PORT`.
        count: workers; None: as many as the cluster has room for, and never more. Those that come begin at once; the
            others join in when what they need is free.
        work: see `Work`.
        todo: the chunks.
        tally: told what is done, chunk by chunk.
        check: called now and then; what it raises ends the work.
        stream: send film and chunks through Ray even where paths are shared.

    Raises:
        UnsupportedError: Ray is not installed, or has no room for a worker. RemasterError: no cluster there, or an
            error of a worker.
    """
    try:
        import ray
    except ImportError as error:
        raise UnsupportedError("--ray needs Ray: pip install 'vs-remaster[cluster]'") from error
    with _connected(ray, address):
        needs = _needs(ray, work)
        room = _room(ray, needs)
        if count is not None and count > room:
            log.warning("the Ray cluster has room for %d of %d workers: no more are used", room, count)
        count = min(room if count is None else count, room, len(todo))
        kind = ray.remote(max_restarts=_RESTARTS, max_task_retries=_RETRIES, **needs)(_Worker)
        workers = [kind.remote() for _ in range(count)]
        try:
            for chunk, record, data in _made(ray, workers, work, todo, check, stream):
                if data is not None:
                    take_chunk(work.folder, chunk, record, data)
                tally.frames(chunk.frames)
                tally.finished(chunk, record)
        except ray.exceptions.RayTaskError as error:
            raise _told(error.cause) from error
        except ray.exceptions.RayError as error:
            raise RemasterError(f"Ray gave up on a worker: {_line(error)}") from error
        finally:
            _end(ray, workers)


def _made(
    ray: Any, workers: Sequence[Any], work: Work, todo: Sequence[Chunk], check: Callable[[], None], stream: bool
) -> Iterator[_Made]:
    """Chunks as they are made by those workers that have come, and what is made of each; nothing here waits for long
    without a `check`."""
    shared = ray.put(pickle.dumps(work))
    coming = {worker.sees_files.remote(shared): worker for worker in workers}
    running: dict[Any, Any] = {}
    sent: _Sent | None = None
    left = list(reversed(todo))
    films: dict[Any, Any] = {}
    waits = time.monotonic() + _LONG
    while left or running:
        ready, _ = ray.wait([*running, *coming], timeout=_TICK)
        check()
        if not films and time.monotonic() > waits:
            log.info("waiting for room on the Ray cluster: what a worker needs is taken")
            waits = math.inf
        for one in ready:
            answer = ray.get(one)
            if one in running:
                worker = running.pop(one)
                yield answer
            else:
                worker = coming.pop(one)
                if (stream or not answer) and sent is None:
                    log.info("film and chunks go through Ray")
                    sent = {
                        place: [(name, [ray.put(piece) for piece in pieces]) for name, pieces in files]
                        for place, files in _all_pieces(work)
                    }
                films[worker] = sent if stream or not answer else None
            if left:
                running[worker.make.remote(shared, films[worker], left.pop())] = worker


def _end(ray: Any, workers: Sequence[Any]) -> None:
    """Let workers clean up, as far as they are not in the middle of a chunk, and end them; see `_Scratch`."""
    with contextlib.suppress(Exception):  # of a cluster that is gone, or of workers that are
        ray.wait([worker.close.remote() for worker in workers], num_returns=len(workers), timeout=_PATIENCE)
        for worker in workers:
            ray.kill(worker)


class _Worker:
    """An actor that makes chunks; what it needs comes with every call, so that it can be started again anywhere."""

    def __init__(self) -> None:
        take_over()
        self._maker: ChunkMaker | None = None
        self._scratch: _Scratch | None = None
        self._work: Work

    def sees_files(self, work: bytes) -> bool:
        """Whether film and job folder are there under the same paths."""
        told: Work = pickle.loads(work)
        return told.source.exists() and told.folder.is_dir() and all(path.exists() for path in told.masks.values())

    def make(self, work: bytes, sent: _Sent | None, chunk: Chunk) -> _Made:
        """Make a chunk.

        Args:
            work: of `Work`, pickled.
            sent: film and masks, where these cannot be read by path; else None.
            chunk: see `Chunk`.

        Returns:
            What it was, its record, and its files where the folder is not shared.
        """
        if self._maker is None:
            self._work = pickle.loads(work)
            if sent is not None:
                self._scratch = self._scratch or _Scratch()
                self._work = _fetched(sent, self._work, self._scratch.path)
            self._maker = ChunkMaker(self._work).__enter__()
        record = self._maker.make(chunk)
        if self._scratch is None:
            return chunk, record, None
        paths = files_of(self._work.folder, chunk)
        data = [path.read_bytes() for path in paths]
        for path in paths:
            path.unlink()
        return chunk, record, data

    def close(self) -> None:
        """Remove what was fetched."""
        if self._maker is not None:
            self._maker.__exit__(None, None, None)
            self._maker = None
        if self._scratch is not None:
            self._scratch.close()
            self._scratch = None


class _Scratch:
    """A folder for a film that was fetched. It goes when this process ends, also when it is killed: a process beside it
    waits for that.

    Attributes:
        path: of the folder.
    """

    _CLEAN = "import shutil, sys; sys.stdin.read(); shutil.rmtree(sys.argv[1], ignore_errors=True)"

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="vs-remaster-film-"))
        self._cleaner = subprocess.Popen(
            [sys.executable, "-I", "-c", self._CLEAN, str(self.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # what ends this process and its kin does not end it
        )

    def close(self) -> None:
        """Remove it."""
        self._cleaner.communicate()


def _fetched(sent: _Sent, work: Work, place: Path) -> Work:
    """The same work on files that came in pieces."""
    source = _fetch(sent[""], place, work.source)
    masks = {}
    for name, path in work.masks.items():
        folder = place / f"masks{len(masks)}"
        _write(sent[name], folder)
        masks[name] = folder / path.name
    return replace(work, source=source, masks=masks, folder=place)


def _fetch(film: list[tuple[str, list[Any]]], place: Path, source: Path) -> Path:
    """Write a film that comes in pieces."""
    target = place / f"film{source.suffix}"
    _write(film, target)
    return target


def _write(files: list[tuple[str, list[Any]]], target: Path) -> None:
    import ray

    for name, pieces in files:
        path = target / name if name else target
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            for piece in pieces:
                file.write(ray.get(piece))


def _all_pieces(work: Work) -> Iterator[tuple[str, Iterator[tuple[str, Iterator[bytes]]]]]:
    """Everything that a worker needs which does not see the files: the film, which has no name, and masks."""
    yield "", _pieces(work.source)
    for name, path in work.masks.items():
        files = Masks(path, "masks").files
        yield name, ((file.relative_to(path.parent).as_posix(), _read(file)) for file in files)


def _pieces(source: Path) -> Iterator[tuple[str, Iterator[bytes]]]:
    """The files of a film, each with its bytes in pieces; the name of the only file of a video is empty."""
    if not source.is_dir():
        yield "", _read(source)
        return
    for path in pictures_of(source):
        yield path.name, _read(path)


def _read(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        yield from iter(lambda: file.read(_PIECE), b"")


@contextlib.contextmanager
def _connected(ray: Any, address: str) -> Generator[None]:
    """Join a cluster, unless this process belongs to one already.

    Raises:
        RemasterError: there is none.
    """
    if ray.is_initialized():
        yield
        return
    local = {"include_dashboard": False} if address == "local" else {}
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray would tell its makers of a cluster that it starts
    terminate = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **local)
    except (ConnectionError, ValueError, RuntimeError, OSError) as error:
        raise RemasterError(
            f"no Ray cluster at {address!r} ({_line(error)}): start one with ray start --head"
        ) from error
    try:
        if threading.current_thread() is threading.main_thread() and terminate is not None:
            signal.signal(signal.SIGTERM, terminate)  # Ray has put its own there, which knows nothing of our end
        yield
    finally:
        ray.shutdown()


def _needs(ray: Any, work: Work) -> dict[str, Any]:
    """What a worker takes of the cluster."""
    named = {options.device.partition(":")[0] for options in (work.restore, work.colorize) if options}
    if ray.cluster_resources().get("GPU") and named & {"auto", "cuda"}:
        return {"num_gpus": 1}
    return {"num_cpus": work.threads}


def _room(ray: Any, needs: dict[str, Any]) -> int:
    """Workers that the cluster has room for.

    Raises:
        UnsupportedError: none.
    """
    each, name = (needs["num_gpus"], "GPU") if "num_gpus" in needs else (needs["num_cpus"], "CPU")
    there = [node["Resources"].get(name, 0) for node in ray.nodes() if node["Alive"]]
    count = sum(int(free // each) for free in there)
    if not count:
        raise UnsupportedError(
            f"a worker needs {each} {name}, the machines of the Ray cluster have {max(there, default=0):g} at most"
        )
    return count


def _told(cause: BaseException) -> BaseException:
    """The error of a worker as if it had been met here."""
    return cause if isinstance(cause, RemasterError) else RemasterError(f"a worker failed: {_line(cause)}")


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
