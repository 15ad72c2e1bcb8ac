"""A film by way of a job folder: look at it, make its chunks, join them."""

from __future__ import annotations

import contextlib
import itertools
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from ..color.samples import plane_sizes
from ..errors import InputError, RemasterError, system_text
from ..film.remastering import to_color
from ..film.shares import SharesFile
from ..film.shots import settle_for_film
from ..film.writing import Done, OutputOptions, open_output
from ..output.codecs import codec_info
from ..output.encoding import Encoding
from ..output.formats import OutputFormat, check_output, output_format
from ..output.writer import JoinedWriter
from ..references.reference import Reference
from ..remaster.colorizer import Colorizer
from ..remaster.pipeline import Picture
from ..remaster.restorer import Restorer
from ..system.files import check_replaceable, reserved, write_whole
from ..system.texts import read_text
from ..video.planes import Frame
from ..video.reader import VideoReader
from .join import Joiner, MadeOtherwise
from .making.chunks import Record, damaged_chunk, finished, forget, packets_of
from .making.maker import ChunkMaker
from .making.tally import Tally, bytes_a_frame, disk_text
from .making.watch import Watch, nobody
from .planning.chunking import (
    Chunk,
    Coding,
    Colorize,
    Restore,
    Work,
    chunk_length,
    chunk_table,
    find_references,
    frame_bytes,
    options_of,
    plan_chunks,
    windows_of,
)
from .planning.folder import DamagedPlan, JobFolder
from .planning.identity import compare, computation, fingerprint
from .planning.options import Chunks, JobOptions
from .planning.shot_settings import parse_shots, shots_toml
from .planning.survey import Survey, survey_film

log = logging.getLogger(__name__)

__all__ = ["JobOptions", "is_begun", "needs_job", "remaster_job"]

_LOSSLESS = {"chunks": "lossless", "encode": None}  # of jobs that say nothing of it


def needs_job(
    source: Path,
    output: Path,
    write: OutputOptions,
    colored: bool,
    start: int,
    end: int | None,
    options: JobOptions,
    fps: Fraction | None = None,
) -> bool:
    """Whether a film is done by way of a job folder: it is long, a job was begun, or an option asks for it.

    Raises:
        InputError: see `check_output`.
    """
    if options.folder_for(output).owns(output):
        return True  # it was made by a run that was killed before it had ended the job
    check_output(output, write.codec, write.overwrite, source if source.exists() else None)
    if options.asked or JobFolder.beside(output).plan.exists():
        return True
    with VideoReader(source, start, end, fps=fps, notes=False) as reader:
        expected = reader.expected
        out = output_format(reader.info, write.codec, colored, write.bits)
        return expected is not None and expected > chunk_length(reader.info, out, options.chunk)


def is_begun(
    folder: Path,
    source: Path,
    *,
    restore: Restore,
    colorize: Colorize,
    references: Sequence[Reference] = (),
    scenes: Literal["auto", "none"] | Sequence[int] = "auto",
    write: OutputOptions = OutputOptions(),
    start: int = 0,
    end: int | None = None,
) -> bool:
    """Whether a folder holds a job that `remaster_job` would go on with; see there."""
    job_folder = JobFolder(folder)
    try:
        plan = job_folder.read_plan()
        colorize = to_color(restore, colorize, references)
        if plan is None or plan["source"] != str(source.absolute()):
            return False
        with VideoReader(source, start, end, notes=False) as reader:
            references = settle_for_film(references, scenes, source, reader.info.fps)
            out = output_format(reader.info, write.codec, colorize is not None, write.bits)
            job = _Job(job_folder, source, reader, out, restore, colorize, scenes, references)
            return plan["job"] == job.identity()
    except RemasterError:
        return False


def remaster_job(
    source: Path,
    output: Path,
    *,
    restore: Restore,
    colorize: Colorize,
    references: Sequence[Reference] = (),
    scenes: Literal["auto", "none"] | Sequence[int] = "auto",
    write: OutputOptions = OutputOptions(),
    start: int = 0,
    end: int | None = None,
    fps: Fraction | None = None,
    options: JobOptions = JobOptions(),
    watch: Watch = nobody,
    shares: Path | None = None,
    look: Callable[[Picture], None] = lambda picture: None,
    check: Callable[[], None] = lambda: None,
    finished: Callable[[Path], None] = lambda folder: None,
) -> Done:
    """Restore and colour a film in parts that are kept until all are done.

    The frames are those of `remaster_film`, whatever happens on the way: when the job ends early, calling this again
    with the same arguments goes on where it ended.

    Args:
        source, output, restore, colorize, references, scenes, write, start, end, fps: see `remaster_film`.
        options: see `JobOptions`.
        watch: told how far the job is, see `Watch`; what it raises ends the job.
        shares: file that says which reference coloured what, see `SharesFile`; None: none is written.
        look: see `remaster_film`; with workers nothing is shown.
        check: see `remaster_film`.
        finished: called with the job folder when the film is written, before the folder is removed.

    Returns:
        What became of it; 0 frames where only the plan was wanted.

    Raises:
        RemasterError: anything wrong with what was given, no space left, or a job that was begun otherwise.
    """
    colorize = to_color(restore, colorize, references)
    folder = options.folder_for(output)
    there = folder.owns(output)
    if there and folder.go_on_ending():
        log.info("%s is complete: the run that made it was stopped while it removed the job", output)
        return Done(_count(output), False)
    if not there:
        check_output(output, write.codec, write.overwrite, source if source.exists() else None)
    if shares is not None and not folder.owns(shares):
        check_replaceable(shares, write.overwrite)
    with VideoReader(source, start, end, fps=fps) as reader:
        references = settle_for_film(references, scenes, source, reader.info.fps)
        out = output_format(reader.info, write.codec, colorize is not None, write.bits)
        with folder.at_work():
            trial = folder.path / f"trial{output.suffix}" if there else output
            encoding = _try_output(trial, reader, out, write, options.chunks)
            job = _Job(folder, source, reader, out, restore, colorize, scenes, references, encoding, fps)
            job.open(options, watch, check)
            log.info("%s", job.disk(options.chunks, write.codec))
            if options.plan:
                log.info("%d chunks planned: edit %s, then run without --plan", len(job.chunks), folder.shots)
                return Done(0, job.survey.truncated)
            if there and job.is_whole(output):
                log.info("%s is complete: the run that made it was stopped before it had ended the job", output)
                frames = job.frames
            else:
                with _resumable(job), reserved(output) as give_way:
                    way = _Way(options, write.codec, watch, look, check)
                    job.make(way)
                    give_way()
                    frames = job.join(output, write, shares, way)
            finished(folder.path)
            if options.folder or options.keep:
                folder.forget_outputs()
            else:
                job.finish()
    return Done(frames, job.survey.truncated)


@dataclass(frozen=True)
class _Way:
    """What chunks are made with, and who is told; see `remaster_job`."""

    options: JobOptions
    codec: str
    watch: Watch
    look: Callable[[Picture], None]
    check: Callable[[], None]


class _Job:
    """A film, its folder, and what is to be done.

    Attributes:
        folder: of the job.
        survey: of the film.
        chunks: all there are.
    """

    def __init__(
        self,
        folder: JobFolder,
        source: Path,
        reader: VideoReader,
        out: OutputFormat,
        restore: Restore,
        colorize: Colorize,
        scenes: Literal["auto", "none"] | Sequence[int],
        references: Sequence[Reference],
        encoding: Encoding | None = None,
        fps: Fraction | None = None,
    ) -> None:
        self.folder, self._source, self._reader, self._out = folder, source, reader, out
        self._restore, self._colorize, self._scenes, self._references = restore, colorize, scenes, references
        self._encoding, self._fps = encoding, fps
        self._computed: dict[str, Any]
        self.survey: Survey
        self.chunks: list[Chunk]
        self._work: Work

    def open(self, options: JobOptions, watch: Watch, check: Callable[[], None]) -> None:
        """Read the plan, or make it; then the settings of the shots."""
        restore, colorize = options_of(self._restore), options_of(self._colorize)
        windows = windows_of(restore, colorize)
        told = self._computed = self.identity()
        plan = self._plan()
        if plan is None:
            plan = self._survey(told, windows, options, watch, check)
        else:
            compare({**_LOSSLESS, **plan["job"]}, {**_LOSSLESS, **told}, self.folder.path)
        self.survey = Survey.from_json(plan["survey"])
        if not self.folder.shots.exists():
            self._write_shots()
        settings = parse_shots(self._shots_text(), self.survey.shots, self.folder.shots)
        if colorize is None and any(shot.references for shot in settings):
            number = next(n for n, shot in enumerate(settings, 1) if shot.references)
            raise InputError(
                f"{self.folder.shots}, shot {number} names references, but the film is not coloured: give --references"
            )
        lines = colorize.lines if colorize else 432
        found, given, own = find_references(settings, self._references, self.folder.path, lines)
        self._work = Work(
            self._source.absolute(),
            self.folder.chunks.absolute(),
            restore,
            colorize,
            found,
            windows,
            self._out,
            self.survey,
            plan["threads"],
            self._coding(),
            self._fps,
        )
        self.chunks = plan_chunks(self._work, told["film"], plan["chunks"], settings, given, own)

    def _plan(self) -> dict[str, Any] | None:
        try:
            return self.folder.read_plan()
        except DamagedPlan as error:  # chunks know themselves what they are of
            log.warning("%s", error)
            return None

    def identity(self) -> dict[str, Any]:
        """What must not change while a job is under way."""
        return {
            "film": fingerprint(self._source),
            "start": self._reader.start,
            "end": self._reader.end,
            "scenes": self._scenes if isinstance(self._scenes, str) else sorted(set(self._scenes)),
            "samples": {**asdict(self._out), "subsampling": list(self._out.subsampling)},
            "restore": computation("restorer", options_of(self._restore)),
            "colorize": computation("colorizer", options_of(self._colorize)),
            **({"chunks": "final", "encode": self._encoding.to_json()} if self._encoding else {}),
            **({"fps": str(self._fps)} if self._fps else {}),
        }

    def _coding(self) -> Coding | None:
        if self._encoding is None:
            return None
        survey = self.survey
        timing = self._encoding.timing(self._reader.info, survey.times[0], survey.times[0])
        return Coding(self._encoding, tuple(map(timing, survey.frames())), survey.start)

    def _survey(
        self, told: dict[str, Any], windows: Sequence[Any], options: JobOptions, watch: Watch, check: Callable[[], None]
    ) -> dict[str, Any]:
        info, source = self._reader.info, self._source
        log.info("looking through %s for cuts", source)
        survey = survey_film(
            source,
            self._reader.start,
            self._reader.end,
            windows,
            self._scenes,
            fps=self._fps,
            progress=lambda done, total: watch.told("survey", done, total),
            check=check,
        )
        table = chunk_table(survey.shots, chunk_length(info, self._out, options.chunk), windows)
        plan = {
            "source": str(source.absolute()),
            "job": told,
            "frame_bytes": frame_bytes(info, self._out),
            "threads": max(1, torch.get_num_threads() // (options.workers or 1)),
            "chunks": table,
            "survey": survey.to_json(),
        }
        self.folder.write_plan(plan)
        return plan

    def _write_shots(self) -> None:
        write_whole(self.folder.shots, self._proposed().encode())

    def _proposed(self) -> str:
        return shots_toml(self.survey.shots, self._source.name)

    def _shots_text(self) -> str:
        try:
            return read_text(self.folder.shots)
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"cannot read {self.folder.shots} ({error}): it must be text in UTF-8") from error

    def records(self) -> dict[Chunk, Record]:
        """What is finished."""
        found = ((chunk, finished(self.folder.chunks, chunk)) for chunk in self.chunks)
        return {chunk: record for chunk, record in found if record}

    @property
    def frames(self) -> int:
        """How many the output has."""
        return self.survey.end - self.survey.start

    def is_whole(self, output: Path) -> bool:
        """Whether an output of this job has all its frames, and nothing has to be made anew since."""
        if len(self.records()) < len(self.chunks):
            return False
        return _count(output) == self.frames

    def make(self, way: _Way) -> None:
        """Make every chunk that is not there."""
        done = self.records()
        todo = [chunk for chunk in self.chunks if chunk not in done]
        log.info("%s", self._summary(len(done), len(todo)))
        self._make(todo, done, way)

    def _make(self, todo: Sequence[Chunk], done: dict[Chunk, Record], way: _Way) -> None:
        options, check = way.options, way.check
        frames = sum(chunk.frames for chunk in self.chunks)
        guess = bytes_a_frame(frame_bytes(self._reader.info, self._out), options.chunks, way.codec, done)
        tally = Tally(way.watch, frames, done, self.folder.path, guess)
        tally.tell()
        if not todo:
            return
        for chunk in todo:
            forget(self.folder.chunks, chunk)
        if options.ray is not None:
            from .making.cluster import make_on_ray

            make_on_ray(options.ray, options.workers, self._work, todo, tally, check, stream=options.ray_stream)
        elif (options.workers or 1) > 1:
            from .making.workers import make_in_processes

            make_in_processes(options.workers, self._work, todo, tally, check)
        else:
            loaded = {
                "restorer": self._restore if isinstance(self._restore, Restorer) else None,
                "colorizer": self._colorize if isinstance(self._colorize, Colorizer) else None,
            }
            with ChunkMaker(self._work, **loaded) as maker:
                for chunk in todo:
                    record = maker.make(chunk, progress=tally.frames, look=way.look, check=check)
                    tally.finished(chunk, record)

    def _summary(self, done: int, todo: int) -> str:
        kept = f", {done} of them finished before" if done else ""
        ways = [way for way in (self._computed["restore"], self._computed["colorize"]) if way]
        engines = " and ".join(sorted({f"{way['device']} {way['precision']}" for way in ways}))
        frames = self.survey.end - self.survey.start
        return f"{frames} frames in {done + todo} chunks{kept}, on {engines}; job in {self.folder.path}"

    def disk(self, chunks: Chunks, codec: str) -> str:
        """See `disk_text`."""
        frames, samples = self.survey.end - self.survey.start, frame_bytes(self._reader.info, self._out)
        return disk_text(frames, samples, chunks, codec, self.records())

    def join(self, output: Path, write: OutputOptions, shares: Path | None, way: _Way) -> int:
        """Give all chunks in order to the encoder; frames written. Those that turn out to be damaged are made again,
        once each."""
        mended: set[Chunk] = set()

        def again(chunk: Chunk) -> Record:
            forget(self.folder.chunks, chunk)
            if chunk in mended:
                raise damaged_chunk(self.folder.chunks, chunk)
            mended.add(chunk)
            self._make([chunk], self.records(), way)
            return self.records()[chunk]

        while True:
            try:
                return self._join(output, write, shares, way, again)
            except MadeOtherwise:
                log.info("frames of a chunk that was made again are others: beginning anew with %s", output)

    def _join(
        self,
        output: Path,
        write: OutputOptions,
        shares: Path | None,
        way: _Way,
        again: Callable[[Chunk], Record],
    ) -> int:
        survey, reader = self.survey, self._reader
        reader.cut, reader.end_pts, reader.count = survey.cut, survey.end_pts, survey.end - survey.start
        frames = itertools.count(1)

        def step() -> None:
            way.check()
            way.watch.told("encode", next(frames), reader.count)

        joiner = Joiner(self._work, self.chunks, self.records(), step, again)
        ours = shares is not None and self.folder.owns(shares)
        references = list(self._work.references.values())
        with (
            open_output(output, reader, self._out, write, self._work.coding is not None) as writer,
            SharesFile(shares, references, overwrite=write.overwrite or ours) as told,
            SharesFile(self.folder.shares if references else None, references, overwrite=True) as kept,
        ):
            self.folder.note(writer.part, *([told.part] if told.part else []))
            joiner.join(writer, told, kept)
        return reader.count

    def finish(self) -> None:
        """Remove the folder; what a person wrote into it stays."""
        edited = self._shots_text() != self._proposed()
        self.folder.end(shots=not edited)
        if edited:
            log.info("%s was edited and is kept; the rest of the job is removed", self.folder.shots)


def _count(output: Path) -> int:
    """How many frames a finished output has."""
    return len(list(output.iterdir())) if output.is_dir() else sum(1 for _ in packets_of(output))


def _try_output(
    output: Path, reader: VideoReader, out: OutputFormat, write: OutputOptions, chunks: Chunks
) -> Encoding | None:
    """Write one black frame and throw it away: what encoder and container refuse is to be known before hours of
    work.

    Returns:
        How chunks are encoded; None where they are kept without loss.
    """
    final = chunks == "final"
    if final and codec_info(write.codec).is_folder:
        raise InputError(
            f"--chunks final is for a film in one file, and {write.codec} writes a folder of pictures: use "
            "--chunks lossless"
        )
    sizes = plane_sizes(out.kind, reader.info.width, reader.info.height, out.subsampling)
    writer = open_output(output, reader, out, write, final)
    try:
        writer.write(Frame(reader.start, 0, [np.zeros(size, out.dtype) for size in sizes]))
    finally:
        writer.abort()
    return writer.encoding if isinstance(writer, JoinedWriter) else None


@contextlib.contextmanager
def _resumable(job: _Job) -> Iterator[None]:
    """Add to what ends a job early how to go on."""

    def kept() -> str:
        return (
            f"{len(job.records())} of {len(job.chunks)} chunks are kept in {job.folder.path}: "
            "run the same command again to go on"
        )

    try:
        yield
    except RemasterError as error:
        raise type(error)(f"{error}; {kept()}") from error
    except OSError as error:
        raise RemasterError(f"{system_text(error)}; {kept()}") from error
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt(f"stopped; {kept()}") from error
    except SystemExit:
        log.warning("stopped; %s", kept())
        raise
