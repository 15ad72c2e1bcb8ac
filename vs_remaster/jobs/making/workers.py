"""Several processes of this machine that make chunks at the same time."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from multiprocessing.connection import wait as wait_for
from multiprocessing.process import BaseProcess
from typing import Any

from ...errors import RemasterError
from ...system.process import take_over
from ..planning.chunking import Chunk, Work
from .chunks import Record, finished
from .maker import ChunkMaker
from .tally import Tally

log = logging.getLogger(__name__)

_ATTEMPTS = 3  # at finishing one more chunk before workers that die are taken for a reason to stop
_PATIENCE = 2.0  # seconds that workers have to end by themselves
_TICK = 0.5  # seconds between two looks at what the workers have done


class _Stopped(Exception):
    """The main process wants no more."""


def make_in_processes(count: int, work: Work, todo: Sequence[Chunk], tally: Tally, check: Callable[[], None]) -> None:
    """Make chunks in processes of their own; where there are several GPUs, each process has one.

    A worker that dies costs the chunks that were in work, which are made again.

    Args:
        count: processes.
        work: see `Work`.
        todo: the chunks.
        tally: told what is done.
        check: called now and then; what it raises ends the work.

    Raises:
        RemasterError: from a worker; or workers die again and again.
    """
    left = list(todo)
    failures = 0
    while left:
        before = len(left)
        try:
            _round(min(count, before), work, left, tally, check)
        except BrokenProcessPool as error:
            tally.settle()
            for chunk in tuple(left):  # finished, but not told of any more
                record = finished(work.folder, chunk)
                if record:
                    _take(chunk, record, left, tally)
            failures = 0 if len(left) < before else failures + 1
            if failures == _ATTEMPTS:
                raise RemasterError(
                    f"workers died {_ATTEMPTS} times without finishing a chunk: is memory short? use fewer --workers"
                ) from error
            log.warning("a worker died: what it had in work is made again")


def _take(chunk: Chunk, record: Record, left: list[Chunk], tally: Tally) -> None:
    left.remove(chunk)
    tally.finished(chunk, record)


def _round(count: int, work: Work, left: list[Chunk], tally: Tally, check: Callable[[], None]) -> None:
    """Make chunks until all are made or the pool breaks."""
    spawn = multiprocessing.get_context("spawn")  # networks and decoders have threads, which a fork does not copy
    # the last two without locks: a worker that is killed would take one with it
    seats, made, stop = spawn.Queue(), spawn.RawArray("q", count), spawn.RawValue("b", 0)
    for seat in range(count):
        seats.put(seat)
    # as bytes: tensors would otherwise be shared through files of this process, which may end first
    arguments = (pickle.dumps(work), seats, made, stop)
    others = set(multiprocessing.active_children())
    running: dict[Future[Record], Chunk] = {}
    coming = iter(tuple(left))
    counted = 0
    with ProcessPoolExecutor(count, spawn, _start, arguments) as pool:
        try:
            while left:
                # one chunk waits for each worker, so that none is idle and few are lost when the pool breaks
                while len(running) < 2 * count and (chunk := next(coming, None)) is not None:
                    with _undisturbed():
                        running[pool.submit(_make, chunk)] = chunk
                ready, _ = wait(running, _TICK, FIRST_COMPLETED)
                check()
                now = sum(made)
                tally.frames(now - counted)
                counted = now
                for future in ready:
                    chunk = running.pop(future)
                    _take(chunk, future.result(), left, tally)
        except BaseException:
            stop.value = 1
            pool.shutdown(wait=False, cancel_futures=True)
            _end(set(multiprocessing.active_children()) - others)
            raise


def _end(workers: Iterable[BaseProcess]) -> None:
    """Let workers end, or end them: one that is still loading its networks does not listen."""
    deadline = time.monotonic() + _PATIENCE
    for worker in workers:
        worker.join(max(0.0, deadline - time.monotonic()))
        if worker.is_alive():
            worker.terminate()


@contextlib.contextmanager
def _undisturbed() -> Generator[None]:
    """Start processes without being stopped in between: half started they would fail with a traceback. They do not
    take part in Ctrl-C, which goes to all of a terminal: the main process tells them what is to be done."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows: see `_start`
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_here: dict[str, Any] = {}  # of a worker: its maker, and what it shares with the main process


def _start(work: bytes, seats: Any, made: Any, stop: Any) -> None:
    """Make this process a worker."""
    take_over()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})  # it was started with it blocked
    threading.Thread(target=_end_with_parent, daemon=True).start()
    logging.getLogger("vs_remaster").addHandler(logging.NullHandler())
    _here.update(work=pickle.loads(work), seat=seats.get(), made=made, stop=stop)


def _end_with_parent() -> None:
    """A killed main process cannot stop its workers."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait_for([parent.sentinel])
    os._exit(1)


def on_device(work: Work, seat: int) -> Work:
    """The same work on the GPU of a worker, where there are several and none is named."""
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0

    def seated(options: Any) -> Any:
        named = options is None or options.device not in ("auto", "cuda")
        return options if named or not count else replace(options, device=f"cuda:{seat % count}")

    return replace(work, restore=seated(work.restore), colorize=seated(work.colorize))


def _make(chunk: Chunk) -> Record:
    def progress(frames: int) -> None:
        _here["made"][_here["seat"]] += frames

    def check() -> None:
        if _here["stop"].value:
            raise _Stopped

    if "maker" not in _here:  # not in `_start`, whose errors would only be told as the death of a worker
        _here["maker"] = ChunkMaker(on_device(_here["work"], _here["seat"])).__enter__()
    return _here["maker"].make(chunk, progress=progress, check=check)
