"""A film by way of a job folder: look at it, make its chunks, join them."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import InputError, RemasterError, system_text
from ..film.request import FilmRequest
from ..film.writing import Done, open_output
from ..output.codecs import codec_info
from ..output.encoding import Encoding
from ..output.writer import JoinedWriter
from ..remaster.picture import Picture
from ..system.files import check_replaceable, reserved
from ..video.planes import Frame
from .job import Hooks, Job, JobRequest, count_frames
from .making.watch import Watch, nobody
from .planning.chunking import chunk_length
from .planning.folder import JobFolder
from .planning.options import ChunkCoding, JobOptions

log = logging.getLogger(__name__)

__all__ = ["JobOptions", "is_begun", "needs_job", "remaster_job"]


def needs_job(request: FilmRequest, options: JobOptions, *, colored: bool) -> bool:
    """Whether a film is done by way of a job folder: it is long, a job was begun, or an option asks for it.

    Args:
        request: what is asked; its references need not be loaded yet.
        options: see `JobOptions`.
        colored: the output gets colours.

    Raises:
        InputError: see `check_output`.
    """
    folder = options.folder_for(request.output)
    if folder.owns(request.output):
        return True  # it was made by a run that was killed before it had ended the job
    request.check_output(folder.owns)
    if options.asked or JobFolder.beside(request.output).plan.exists():
        return True
    with request.open(notes=False) as reader:
        expected = reader.expected
        out = request.output_format(reader.info, colored=colored)
        return expected is not None and expected > chunk_length(out, options.chunk_frames)


def is_begun(folder: Path, request: FilmRequest) -> bool:
    """Whether a folder holds a job that `remaster_job` would go on with, whatever the request's output is called."""
    job_folder = JobFolder(folder)
    try:
        plan = job_folder.read_plan()
        request = request.resolved()
        if plan is None or plan["source"] != str(request.source.absolute()):
            return False
        with request.open(notes=False) as reader:
            request = request.settled(reader.info)
            job = JobRequest(job_folder, request, reader, request.output_format(reader.info))
            return plan["job"] == job.identity
    except RemasterError:
        return False


def remaster_job(
    source: FilmRequest | Path,
    output: Path | None = None,
    *,
    options: JobOptions = JobOptions(),
    watch: Watch = nobody,
    shares: Path | None = None,
    look: Callable[[Picture], None] = lambda picture: None,
    check: Callable[[], None] = lambda: None,
    finished: Callable[[Path], None] = lambda folder: None,
    **fields: Any,
) -> Done:
    """Restore and colour a film in parts that are kept until all are done.

    The frames are those of `remaster_film`, whatever happens on the way: when the job ends early, calling this again
    with the same arguments goes on where it ended.

    Args:
        source: what is asked; or the film, then `output` and `fields` are those of a `FilmRequest`.
        output: see `source`.
        options: see `JobOptions`.
        watch: told how far the job is, see `Watch`; what it raises ends the job.
        shares: file that says which reference coloured what, see `SharesFile`; None: none is written.
        look: see `remaster_film`; with workers nothing is shown.
        check: see `remaster_film`.
        finished: called with the job folder when the film is written, before the folder is removed.
        fields: see `source`.

    Returns:
        What became of it; 0 frames where only the plan was wanted.

    Raises:
        RemasterError: anything wrong with what was given, no space left, or a job that was begun otherwise.
    """
    request = FilmRequest.of(source, output, fields).resolved()
    folder, output = options.folder_for(request.output), request.output
    there = folder.owns(output)
    if there and folder.go_on_ending():
        log.info("%s is complete: the run that made it was stopped while it removed the job", output)
        return Done(count_frames(output), False)
    if not there:
        request.check_output(folder.owns)
    given = request.given()
    if shares is not None and not folder.owns(shares):
        check_replaceable(shares, request.write.overwrite)
    with request.open() as reader, contextlib.ExitStack() as stack:
        given.check(reader.info.frames)
        request = request.settled(reader.info)
        wanted = JobRequest(folder, request, reader, request.output_format(reader.info))
        stack.enter_context(folder.at_work())
        trial = folder.path / f"trial{output.suffix}" if there else output
        wanted = replace(wanted, encoding=_try_output(wanted, trial, options.chunk_coding))
        job = wanted.open(options, Hooks(watch, look, check))
        log.info("%s", job.disk())
        if options.plan:
            log.info("%d chunks planned: edit %s, then run without --plan", len(job.chunks), folder.shots)
            return Done(0, job.survey.truncated)
        if there and job.is_whole():
            log.info("%s is complete: the run that made it was stopped before it had ended the job", output)
            frames = job.frames
        else:
            with _resumable(job), reserved(output) as give_way:
                job.make()
                give_way()
                frames = job.join(shares)
        finished(folder.path)
        if options.folder or options.keep:
            folder.forget_outputs()
        else:
            job.finish()
    return Done(frames, job.survey.truncated)


def _try_output(job: JobRequest, output: Path, chunks: ChunkCoding) -> Encoding | None:
    """Write one black frame and throw it away: what encoder and container refuse is to be known before hours of
    work.

    Returns:
        How chunks are encoded; None where they are kept without loss.
    """
    reader, out, write = job.reader, job.out, job.request.write
    final = chunks == "final"
    if final and codec_info(write.codec).is_folder:
        raise InputError(
            f"--chunks final is for a film in one file, and {write.codec} writes a folder of pictures: use "
            "--chunks lossless"
        )
    writer = open_output(output, reader, out, write, final)
    try:
        writer.write(Frame(reader.start, 0, out.black()))
        with job.masks_writer() as masks:
            masks.abort()
    finally:
        writer.abort()
    return writer.encoding if isinstance(writer, JoinedWriter) else None


@contextlib.contextmanager
def _resumable(job: Job) -> Generator[None]:
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
