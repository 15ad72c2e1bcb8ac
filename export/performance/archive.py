"""Simulates the remastering of a whole archive: GPUs that make chunks, machines that look through films and finish
them, shared storage, and workers that die.

Every film goes through three stages: it is looked through (on a CPU), its chunks are made (on GPUs), and the film is
finished (on a CPU): encoded from lossless chunks, or joined. GPUs are one pool. A GPU stays with a film as long as that
has chunks left, then goes to the one that has most GPUs and not yet all that it may have. A worker that dies loses the
chunk it had in work. Reading and writing go on beside the computing; where all that is at work when a piece of work
begins wants more than the storage gives, that piece takes longer in proportion.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Literal

from vs_remaster.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Archive:
    """What is to be done, and with what. Speeds are in frames a second, sizes in bytes a frame, times in seconds.

    Attributes:
        films: how many.
        frames: of each film.
        chunk: frames of a chunk.
        halo: frames that are computed once more for each chunk, because it begins and ends within a shot.
        gpus: workers.
        speed: of a GPU, from decoded frames to remastered ones.
        keep_speed: at which a worker writes its chunk; it goes on beside the GPU, the slower one counts.
        per_film: GPUs that one film has at most.
        open_films: films that are at work at the same time, in any stage; 0: as many as keep the GPUs busy.
        survey_speed: at which one film is looked through.
        finish_speed: at which one film is encoded or joined from its chunks.
        source_bytes: of the film as it was.
        chunk_bytes: of the chunks.
        film_bytes: of the film as it will be.
        bandwidth: bytes a second of the shared storage, reading and writing together.
        start: of a worker that begins with a film: networks loaded, references encoded.
        mtbf: mean time between two deaths of a worker; 0: none dies.
        restart: until a worker that died is there again.
        together: workers that die together: all of a machine with `--workers`, each alone with `--ray`.
        seed: of the deaths.
    """

    films: int = 1000
    frames: int = 150_000
    chunk: int = 500
    halo: int = 32
    gpus: int = 64
    speed: float
    keep_speed: float = float("inf")
    per_film: int = 1
    open_films: int = 0
    survey_speed: float
    finish_speed: float
    source_bytes: float = 0.0
    chunk_bytes: float = 0.0
    film_bytes: float = 0.0
    bandwidth: float = float("inf")
    start: float = 20.0
    mtbf: float = 0.0
    restart: float = 30.0
    together: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("films", "frames", "chunk", "gpus", "per_film", "together"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be 1 or more, got {getattr(self, name)}")
        for name in ("speed", "keep_speed", "survey_speed", "finish_speed", "bandwidth"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} must be more than 0, got {getattr(self, name)}")
        others = "halo", "open_films", "source_bytes", "chunk_bytes", "film_bytes", "start", "mtbf", "restart", "seed"
        for name in others:
            if not getattr(self, name) >= 0:
                raise InputError(f"{name} must be 0 or more, got {getattr(self, name)}")

    @property
    def at_once(self) -> int:
        """Films at work at the same time."""
        computing = self.frames / min(self.speed, self.keep_speed) / self.per_film
        beside = self.frames / self.survey_speed + self.frames / self.finish_speed
        return self.open_films or math.ceil(1.25 * self.gpus / self.per_film * (1 + beside / computing)) + 1


@dataclass
class Outcome:
    """What became of it.

    Attributes:
        seconds: until the last film was finished.
        busy: GPU seconds in chunks that were finished.
        lost: GPU seconds in chunks that were lost, in starting and in waiting for a worker to be there again.
        deaths: moments at which workers died.
        desks: films that were looked through or finished at the same time, at most.
        repeated: chunks that were made more than once.
        peak: bytes of chunks and films in the making on the storage, at most.
        read: bytes from the storage.
        written: bytes to the storage.
    """

    seconds: float = 0.0
    busy: float = 0.0
    lost: float = 0.0
    deaths: int = 0
    desks: int = 0
    repeated: int = 0
    peak: float = 0.0
    read: float = 0.0
    written: float = 0.0


@dataclass
class _Film:
    chunks: deque[int]  # frames of each that nobody has in work
    left: int  # chunks that are not finished
    workers: int = 0
    kept: float = 0.0  # bytes


@dataclass
class _Gpu:
    film: _Film | None = None
    chunk: int = 0
    since: float = 0.0
    wants: float = 0.0  # bytes a second
    turn: int = 0  # counts pieces of work, so that an end which a death has prevented is known
    loaded: _Film | None = None


Kind = Literal["surveyed", "made", "ready", "finished", "death"]


@dataclass
class _Run:
    archive: Archive
    outcome: Outcome = field(default_factory=Outcome)
    now: float = 0.0
    disk: float = 0.0
    desks: int = 0  # films that are looked through or finished
    wanted: float = 0.0  # bytes a second, by all that is at work

    def __post_init__(self) -> None:
        self._events: list[tuple[float, int, Kind, int, Any]] = []
        self._count = itertools.count()
        self._gpus = [_Gpu() for _ in range(self.archive.gpus)]
        self._idle = list(range(self.archive.gpus))
        self._films: list[_Film] = []  # whose chunks are being made
        self._waiting = self._unfinished = self.archive.films
        self._chance = random.Random(self.archive.seed)

    def run(self) -> Outcome:
        archive = self.archive
        for _ in range(min(archive.at_once, self._waiting)):
            self._survey()
        if archive.mtbf:
            for first in range(0, archive.gpus, archive.together):
                self._plan_death(first)
        while self._unfinished:
            self.now, _, kind, turn, what = heapq.heappop(self._events)
            getattr(self, f"_{kind}")(what, turn)
        self.outcome.seconds = self.now
        return self.outcome

    def _plan(self, seconds: float, kind: Kind, what: Any, turn: int = 0) -> None:
        heapq.heappush(self._events, (self.now + seconds, next(self._count), kind, turn, what))

    def _seconds(self, computing: float, read: float, written: float) -> tuple[float, float]:
        """How long a piece of work takes that begins now, and the bytes a second that it wants until its end."""
        self.outcome.read += read
        self.outcome.written += written
        wants = (read + written) / computing
        self.wanted += wants
        return computing * max(1.0, self.wanted / self.archive.bandwidth), wants

    def _survey(self) -> None:
        archive = self.archive
        self._waiting -= 1
        self._sit_down()
        seconds, wants = self._seconds(archive.frames / archive.survey_speed, archive.frames * archive.source_bytes, 0)
        self._plan(seconds, "surveyed", wants)

    def _surveyed(self, wants: Any, turn: int) -> None:
        archive = self.archive
        self._stand_up(wants)
        whole, rest = divmod(archive.frames, archive.chunk)
        chunks = [archive.chunk] * whole + [rest] * bool(rest)
        self._films.append(_Film(deque(chunks), len(chunks)))
        self._assign()

    def _assign(self) -> None:
        """Give idle GPUs what is there to do."""
        while self._idle:
            ready = [film for film in self._films if film.chunks and film.workers < self.archive.per_film]
            if not ready:
                return
            film = max(ready, key=lambda film: film.workers)
            film.workers += 1
            self._begin(self._idle.pop(), film)

    def _begin(self, number: int, film: _Film) -> None:
        archive, gpu = self.archive, self._gpus[number]
        gpu.film, gpu.chunk, gpu.since = film, film.chunks.popleft(), self.now
        start = 0.0 if gpu.loaded is film else archive.start
        gpu.loaded = film
        computing = max((gpu.chunk + archive.halo) / archive.speed, gpu.chunk / archive.keep_speed)
        read = (gpu.chunk + archive.halo) * archive.source_bytes
        seconds, gpu.wants = self._seconds(computing, read, gpu.chunk * archive.chunk_bytes)
        self.outcome.lost += start
        gpu.since += start
        self._plan(start + seconds, "made", number, gpu.turn)

    def _made(self, number: int, turn: int) -> None:
        gpu = self._gpus[number]
        if turn != gpu.turn:
            return
        film = gpu.film
        assert film is not None
        self.outcome.busy += self.now - gpu.since
        self.wanted -= gpu.wants
        film.left -= 1
        size = gpu.chunk * self.archive.chunk_bytes
        film.kept += size
        self._store(size)
        gpu.turn += 1
        gpu.film = None
        if film.chunks:
            self._begin(number, film)
            return
        film.workers -= 1
        self._idle.append(number)
        if not film.left:
            self._films.remove(film)
            self._finish(film)
        self._assign()

    def _finish(self, film: _Film) -> None:
        archive = self.archive
        self._sit_down()
        size = archive.frames * archive.film_bytes
        self._store(size)
        # sound and all else is copied from the source, which is read once more for it
        read = film.kept + archive.frames * archive.source_bytes
        seconds, wants = self._seconds(archive.frames / archive.finish_speed, read, size)
        self._plan(seconds, "finished", (film, wants))

    def _finished(self, what: Any, turn: int) -> None:
        film, wants = what
        self._stand_up(wants)
        self._store(-film.kept - self.archive.frames * self.archive.film_bytes)
        self._unfinished -= 1
        if self._waiting:
            self._survey()

    def _sit_down(self) -> None:
        self.desks += 1
        self.outcome.desks = max(self.outcome.desks, self.desks)

    def _stand_up(self, wants: float) -> None:
        self.desks -= 1
        self.wanted -= wants

    def _store(self, size: float) -> None:
        self.disk += size
        self.outcome.peak = max(self.outcome.peak, self.disk)

    def _plan_death(self, first: int) -> None:
        count = min(self.archive.together, self.archive.gpus - first)
        self._plan(self._chance.expovariate(count / self.archive.mtbf), "death", first)

    def _death(self, first: int, turn: int) -> None:
        """One of a machine's workers dies, and the others with it."""
        before = self.outcome.lost
        for number in range(first, min(first + self.archive.together, self.archive.gpus)):
            gpu = self._gpus[number]
            if gpu.film is not None:
                gpu.film.chunks.appendleft(gpu.chunk)
                gpu.film.workers -= 1
                self.wanted -= gpu.wants
                self.outcome.repeated += 1
                self.outcome.lost += max(0.0, self.now - gpu.since)
            elif number in self._idle:
                self._idle.remove(number)
            else:  # it is on its way back already
                continue
            gpu.film = gpu.loaded = None
            gpu.turn += 1
            self.outcome.lost += self.archive.restart
            self._plan(self.archive.restart, "ready", number, gpu.turn)
        self.outcome.deaths += self.outcome.lost > before
        self._plan_death(first)
        self._assign()

    def _ready(self, number: int, turn: int) -> None:
        self._idle.append(number)
        self._assign()


def simulate(archive: Archive) -> Outcome:
    """Go through the work event by event; the same archive has the same outcome.

    Raises:
        InputError: see `Archive`.
    """
    return _Run(archive).run()
