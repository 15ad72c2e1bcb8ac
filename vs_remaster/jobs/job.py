"""A film's job: what it is of, its plan, its chunks, and the film that is joined from them."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from ..errors import InputError
from ..film.mask_writer import MaskWriter
from ..film.request import FilmRequest
from ..film.shares import SharesFile
from ..film.shots import laid_over
from ..film.writing import open_output
from ..output.encoding import Encoding
from ..output.formats import OutputFormat
from ..remaster.colorizer import Colorizer
from ..remaster.lost_frames import check_lost, check_within
from ..remaster.options import PrepareOptions
from ..remaster.picture import Picture
from ..remaster.preparing import windows_of as preparing_windows
from ..remaster.restorer import Restorer
from ..system.files import write_whole
from ..system.texts import read_text
from ..video.reader import VideoReader
from .join import Joiner, MadeOtherwise
from .making.chunks import Record, damaged_chunk, finished, forget, packets_of, recorded
from .making.maker import ChunkMaker
from .making.tally import Tally, bytes_a_frame, disk_text
from .making.watch import Watch
from .planning.chunking import (
    Chunk,
    Coding,
    Work,
    chunk_length,
    chunk_table,
    find_references,
    options_of,
    plan_chunks,
    windows_of,
)
from .planning.folder import DamagedPlan, JobFolder
from .planning.identity import compare, computation, fingerprint, samples_of
from .planning.options import CHUNK_FRAMES, JobOptions
from .planning.shot_masks import find_masks, refuse_masks
from .planning.shot_settings import parse_shots, shots_toml
from .planning.survey import Survey, survey_film

log = logging.getLogger(__name__)

_LOSSLESS = {"chunks": "lossless", "encode": None}  # of jobs that say nothing of it


_WHOLLY = PrepareOptions(bad_frames=(0,), steady=1.0)


@dataclass(frozen=True)
class Hooks:
    """Who is told while a job is done; see `remaster_job`."""

    watch: Watch
    look: Callable[[Picture], None]
    check: Callable[[], None]


@dataclass(frozen=True, eq=False)
class JobRequest:
    """What a job is of, before its plan is known.

    Attributes:
        folder: of the job.
        request: what is asked of the film, with its references settled.
        reader: of the film.
        out: the frames of the output.
        encoding: of chunks that are kept in the output's codec; None: they are kept without loss.
    """

    folder: JobFolder
    request: FilmRequest
    reader: VideoReader
    out: OutputFormat
    encoding: Encoding | None = None

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What must not change while a job is under way."""
        request, scenes = self.request, self.request.scenes
        restore = computation("restorer", options_of(request.restore))
        if restore and request.auto_levels:
            restore["levels"] = "auto"
        return {
            "film": fingerprint(request.source),
            "start": self.reader.start,
            "end": self.reader.end,
            "scenes": scenes if isinstance(scenes, str) else sorted(set(scenes)),
            "samples": samples_of(self.out),
            "restore": restore,
            "colorize": computation("colorizer", options_of(request.colorize)),
            **({"chunks": "final", "encode": self.encoding.to_json()} if self.encoding else {}),
            **({"fps": str(request.fps)} if request.fps else {}),
            **_steadying(request.prepare),
        }

    def masks_writer(self) -> MaskWriter:
        """Where what was repaired is written; what a run that was killed has left of it is replaced."""
        path, request = self.request.masks, self.request
        ours = path is not None and self.folder.owns(path)
        return MaskWriter(
            path, request.shown(self.reader.info), request.scale, overwrite=request.write.overwrite or ours
        )

    def open(self, options: JobOptions, hooks: Hooks) -> Job:
        """Read the plan, or make it; then the settings of the shots.

        Raises:
            RemasterError: the job was begun otherwise, or its shots are not what they may be.
        """
        restore, colorize = options_of(self.request.restore), options_of(self.request.colorize)
        windows = windows_of(restore, colorize)
        plan = self._plan()
        if plan is None:
            plan = self._survey(windows, options, hooks)
        else:
            compare({**_LOSSLESS, **plan["job"]}, {**_LOSSLESS, **self.identity}, self.folder.path)
        survey = Survey.from_json(plan["survey"])
        wanted = options.chunk_frames
        if wanted != CHUNK_FRAMES:
            table = chunk_table(survey.shots, chunk_length(self.out, wanted), windows)
            if [list(part) for part in table] != [list(part) for part in plan["chunks"]]:
                log.warning(
                    "%s keeps the chunks that it was begun with: chunk %d is for a job in another folder",
                    self.folder.path, wanted,
                )  # fmt: skip
        proposed = shots_toml(survey.shots, self.request.source.name)
        if not self.folder.shots.exists():
            write_whole(self.folder.shots, proposed.encode())
        settings = parse_shots(_read_shots(self.folder), survey.shots, self.folder.shots)
        if self.request.auto_levels:
            settings = [replace(own, levels=own.levels or shot.levels) for own, shot in zip(settings, survey.shots)]
        if colorize is None and any(shot.references for shot in settings):
            number = next(n for n, shot in enumerate(settings, 1) if shot.references)
            raise InputError(
                f"{self.folder.shots}, shot {number} names references, but the film is not coloured: give --references"
            )
        if restore is None:
            refuse_masks(settings, self.folder.shots)
        frames = survey.end if self.request.end is None else self.reader.info.frames
        lost = {*self.request.prepare.bad_frames, *(number for shot in settings for number in shot.bad_frames)}
        check_within(lost, frames)
        check_lost(lost, survey.cuts, frames)
        masks = find_masks(settings, self.request.given(), self.folder.path, frames)
        lines = colorize.lines if colorize else 432
        found, given, own = find_references(settings, self.request.references, self.folder.path, lines)
        fps = self.reader.info.fps  # those of shots come from files
        found = {name: laid_over(one, self.request.source, fps) for name, one in found.items()}
        work = Work(
            self.request.source.absolute(),
            self.folder.chunks.absolute(),
            restore,
            colorize,
            found,
            windows,
            self.out,
            survey,
            plan["threads"],
            self._coding(survey),
            self.request.fps,
            {name: held.path.absolute() for name, held in masks.found.items()},
            replace(self.request.prepare, bad_frames=tuple(lost)),
        )
        keep = self.request.masks is not None
        chunks = plan_chunks(work, self.identity["film"], plan["chunks"], settings, given, own, masks, keep_masks=keep)
        return Job(self, options, hooks, survey, work, tuple(chunks), proposed)

    def _plan(self) -> dict[str, Any] | None:
        try:
            return self.folder.read_plan()
        except DamagedPlan as error:  # chunks know themselves what they are of
            log.warning("%s", error)
            return None

    def _survey(self, windows: Sequence[Any], options: JobOptions, hooks: Hooks) -> dict[str, Any]:
        source = self.request.source
        log.info("looking through %s for cuts", source)
        survey = survey_film(
            source,
            self.reader.start,
            self.reader.end,
            [*preparing_windows(_WHOLLY), *windows],  # a shot may be steadied where the film is not
            self.request.scenes,
            lost=self.request.prepare.bad_frames,
            fps=self.request.fps,
            levels=self.request.auto_levels,
            progress=lambda done, total: hooks.watch.report("survey", done, total),
            check=hooks.check,
        )
        table = chunk_table(survey.shots, chunk_length(self.out, options.chunk_frames), windows)
        plan = {
            "source": str(source.absolute()),
            "job": self.identity,
            "frame_bytes": self.out.frame_bytes,
            "size": [self.out.width, self.out.height],
            "threads": max(1, torch.get_num_threads() // (options.workers or 1)),
            "chunks": table,
            "survey": survey.to_json(),
        }
        self.folder.write_plan(plan)
        return plan

    def _coding(self, survey: Survey) -> Coding | None:
        if self.encoding is None:
            return None
        timing = self.encoding.timing(self.reader.info, survey.times[0], survey.times[0])
        return Coding(self.encoding, tuple(map(timing, survey.frames())), survey.start)


@dataclass(frozen=True, eq=False)
class Job:
    """A job whose plan is known.

    Attributes:
        of: what it is of.
        options: see `JobOptions`.
        hooks: see `Hooks`.
        survey: of the film.
        work: what is common to all chunks.
        chunks: all there are.
        proposed: the text of `shots.toml` that nobody has edited.
    """

    of: JobRequest
    options: JobOptions
    hooks: Hooks
    survey: Survey
    work: Work
    chunks: tuple[Chunk, ...]
    proposed: str

    @property
    def folder(self) -> JobFolder:
        """Of the job."""
        return self.of.folder

    @property
    def request(self) -> FilmRequest:
        """What is asked of the film."""
        return self.of.request

    def records(self) -> dict[Chunk, Record]:
        """What is finished."""
        found = ((chunk, finished(self.folder.chunks, chunk)) for chunk in self.chunks)
        return {chunk: record for chunk, record in found if record}

    @property
    def frames(self) -> int:
        """How many the output has."""
        return self.survey.end - self.survey.start

    def is_whole(self) -> bool:
        """Whether the output of this job is there with all its frames, and nothing has to be made anew since."""
        if len(self.records()) < len(self.chunks):
            return False
        return count_frames(self.request.output) == self.frames

    def make(self) -> None:
        """Make every chunk that is not there."""
        done = self.records()
        todo = [chunk for chunk in self.chunks if chunk not in done]
        if lost := self._lost(todo):
            log.warning("%s", lost)
        log.info("%s", self._summary(len(done), len(todo)))
        self._make(todo, done)

    def _lost(self, todo: Sequence[Chunk]) -> str:
        """What is said of chunks that were finished and are made again all the same; empty without any."""
        records = {chunk: recorded(self.folder.chunks, chunk) for chunk in todo}
        lost = {chunk: record for chunk, record in records.items() if record}
        others = sum(record.key != chunk.key for chunk, record in lost.items())
        counts = (
            (others, "made from other references, masks or settings of shots"),
            (len(lost) - others, "without all of their files"),
        )
        told = [f"{count} {how}" for count, how in counts if count]
        return f"finished chunks are made again: {', '.join(told)}" if told else ""

    def _make(self, todo: Sequence[Chunk], done: dict[Chunk, Record]) -> None:
        options, check = self.options, self.hooks.check
        frames = sum(chunk.frames for chunk in self.chunks)
        guess = bytes_a_frame(self.of.out.frame_bytes, options.chunk_coding, self.request.write.codec, done)
        tally = Tally(self.hooks.watch, frames, done, self.folder.path, guess)
        tally.tell()
        if not todo:
            return
        for chunk in todo:
            forget(self.folder.chunks, chunk)
        if options.ray is not None:
            from .making.cluster import make_on_ray

            make_on_ray(options.ray, options.workers, self.work, todo, tally, check, stream=options.ray_stream)
        elif (options.workers or 1) > 1:
            from .making.workers import make_in_processes

            make_in_processes(options.workers or 1, self.work, todo, tally, check)
        else:
            restore, colorize = self.request.restore, self.request.colorize
            restorer = restore if isinstance(restore, Restorer) else None
            colorizer = colorize if isinstance(colorize, Colorizer) else None
            with ChunkMaker(self.work, restorer=restorer, colorizer=colorizer) as maker:
                for chunk in todo:
                    record = maker.make(chunk, progress=tally.frames, look=self.hooks.look, check=check)
                    tally.finished(chunk, record)

    def _summary(self, done: int, todo: int) -> str:
        kept = f", {done} of them finished before" if done else ""
        ways = [way for way in (self.of.identity["restore"], self.of.identity["colorize"]) if way]
        engines = " and ".join(sorted({f"{way['device']} {way['precision']}" for way in ways})) or "cpu"
        frames = self.survey.end - self.survey.start
        return f"{frames} frames in {done + todo} chunks{kept}, on {engines}; job in {self.folder.path}"

    def disk(self) -> str:
        """See `disk_text`."""
        frames = self.survey.end - self.survey.start
        return disk_text(
            frames, self.of.out.frame_bytes, self.options.chunk_coding, self.request.write.codec, self.records()
        )

    def join(self, shares: Path | None) -> int:
        """Give all chunks in order to the encoder; frames written. Those that turn out to be damaged are made again,
        once each."""
        mended: set[Chunk] = set()

        def again(chunk: Chunk) -> Record:
            forget(self.folder.chunks, chunk)
            if chunk in mended:
                raise damaged_chunk(self.folder.chunks, chunk)
            mended.add(chunk)
            self._make([chunk], self.records())
            return self.records()[chunk]

        while True:
            try:
                return self._join(shares, again)
            except MadeOtherwise:
                log.info(
                    "frames of a chunk that was made again are others: beginning anew with %s", self.request.output
                )

    def _join(self, shares: Path | None, again: Callable[[Chunk], Record]) -> int:
        write = self.request.write
        survey, reader = self.survey, self.of.reader
        reader.cut, reader.end_pts, reader.count = survey.cut, survey.end_pts, survey.end - survey.start
        frames = itertools.count(1)

        def step() -> None:
            self.hooks.check()
            self.hooks.watch.report("encode", next(frames), reader.count)

        joiner = Joiner(self.work, self.chunks, self.records(), step, again)
        ours = shares is not None and self.folder.owns(shares)
        masks = self.of.masks_writer()
        references = list(self.work.references.values())
        with (
            open_output(self.request.output, reader, self.of.out, write, self.work.coding is not None) as writer,
            SharesFile(shares, references, overwrite=write.overwrite or ours) as told,
            SharesFile(self.folder.shares if references else None, references, overwrite=True) as kept,
            masks,
        ):
            self.folder.note(writer.part, *(one.part for one in (told, masks) if one.part))
            joiner.join(writer, masks, told, kept)
        return reader.count

    def finish(self) -> None:
        """Remove the folder; what a person wrote into it stays."""
        edited = _read_shots(self.folder) != self.proposed
        self.folder.end(shots=not edited)
        if edited:
            log.info("%s was edited and is kept; the rest of the job is removed", self.folder.shots)


def _steadying(prepare: PrepareOptions) -> dict[str, Any]:
    """What of it must not change while a job is under way; frames may be named lost at any time."""
    return {"steady": {"strength": prepare.steady, "edges": prepare.steady_edges}} if prepare.steady else {}


def _read_shots(folder: JobFolder) -> str:
    try:
        return read_text(folder.shots)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {folder.shots} ({error}): it must be text in UTF-8") from error


def count_frames(output: Path) -> int:
    """How many frames a finished output has."""
    return len(list(output.iterdir())) if output.is_dir() else sum(1 for _ in packets_of(output))
