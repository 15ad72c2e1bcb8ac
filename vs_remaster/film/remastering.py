"""A whole film from file to file."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Literal

from ..color.samples import Samples
from ..errors import InputError
from ..output.formats import check_output, output_format
from ..references.reference import Reference
from ..remaster.colorizer import Colorizer
from ..remaster.options import AUTOMATIC, ColorizeOptions, RestoreOptions
from ..remaster.pipeline import Picture, RemasterPipeline
from ..remaster.restorer import Restorer
from ..remaster.scenes import AFTER, BEFORE
from ..remaster.window import Window
from ..system.threads import overlap
from ..video.info import VideoInfo
from ..video.planes import Frame
from ..video.rawvideo import RawFormat
from ..video.reader import VideoReader
from ..weights import takes_references
from .frames import from_picture, to_picture
from .shots import settle_for_film
from .writing import Done, OutputOptions, Progress, open_output

log = logging.getLogger(__name__)

_WAITING_BYTES = 256 << 20  # what may wait between two stages


def remaster_film(
    source: Path,
    output: Path,
    *,
    restore: RestoreOptions | Restorer | None,
    colorize: ColorizeOptions | Colorizer | None,
    references: Sequence[Reference] = (),
    scenes: Literal["auto", "none"] | Sequence[int] = "auto",
    write: OutputOptions = OutputOptions(),
    start: int = 0,
    end: int | None = None,
    fps: Fraction | None = None,
    progress: Progress = lambda done, total: None,
    look: Callable[[Picture], None] = lambda picture: None,
    check: Callable[[], None] = lambda: None,
) -> Done:
    """Restore and colour a film.

    A part (`start`, `end`) has the very frames that the whole film would have there: the networks get its neighbours
    too.

    Args:
        source: a video or a folder of pictures.
        output: .mkv, .mp4, .mov, .mxf, or a folder for pictures; appears when it is complete.
        restore: see `RemasterPipeline`.
        colorize: see `RemasterPipeline`.
        references: to colour from; without any, the film is restored only, or coloured automatically.
        scenes: see `RemasterPipeline`.
        write: see `OutputOptions`.
        start: first frame.
        end: first frame not taken; None: to the end.
        fps: frames a second of a film that has no times of its own, see `VideoReader`.
        progress: see `Progress`.
        look: shown every picture when it is written; what it or `progress` raises ends the job.
        check: called in the caller's thread for every frame that is taken in, so before and after each block at least;
            what it raises ends the job.

    Raises:
        RemasterError: anything wrong with what was given, or no space left; nothing is left behind.
    """
    colorize = to_color(restore, colorize, references)
    check_output(output, write.codec, write.overwrite, source if source.exists() else None)
    with VideoReader(source, start, end, fps=fps) as reader:
        references = settle_for_film(references, scenes, source, reader.info.fps)
        pipeline = RemasterPipeline(restore, colorize, references, scenes)
        reader.context = context(windows_of(pipeline), start, end)
        info = reader.info
        out = output_format(info, write.codec, colorize is not None, write.bits)
        with open_output(output, reader, out, write) as writer:
            written = 0

            def put(frame: Frame) -> None:
                nonlocal written
                writer.write(frame)
                written += 1
                progress(written, reader.expected)

            log.info("%s", plan(pipeline, info, len(references), f"{write.codec} to {output}"))
            progress(0, reader.expected)
            remaster_frames(
                reader,
                put,
                pipeline,
                info,
                out,
                wanted=lambda index: index >= start and (end is None or index < end),
                look=look,
                check=check,
            )
    return Done(written, reader.truncated)


def to_color(
    restore: RestoreOptions | Restorer | None,
    colorize: ColorizeOptions | Colorizer | None,
    references: Sequence[Reference],
) -> ColorizeOptions | Colorizer | None:
    """`colorize` where there is something to colour from, or it is automatic; else a film is restored only.

    Raises:
        InputError: nothing is left to do.
    """
    uncolored = colorize is not None and not will_color(colorize, references)
    if restore is None and (colorize is None or uncolored):
        raise InputError("nothing to do: restoring is off, and colouring is off or has no references")
    if uncolored:
        log.info("no references: the film is restored only")
    elif colorize is not None and not references:
        log.info("no references: colours are guessed; a few coloured frames would do far better")
    return None if uncolored else colorize


def will_color(colorize: ColorizeOptions | Colorizer | None, references: Sequence[Reference]) -> bool:
    """Whether a film gets colours: from references, or without any by a guess."""
    if colorize is None or references:
        return colorize is not None
    if isinstance(colorize, Colorizer):
        return colorize.guesser is not None or not colorize.info.takes_references
    trained = Path(colorize.model).suffix == ".safetensors" and not takes_references(colorize.model)
    return colorize.automatic or colorize.model == AUTOMATIC or trained


def remaster_frames(
    frames: Iterable[Frame],
    write: Callable[[Frame], None],
    pipeline: RemasterPipeline,
    info: VideoInfo | RawFormat,
    out: Samples,
    *,
    wanted: Callable[[int], bool] = lambda index: True,
    look: Callable[[Picture], None] = lambda picture: None,
    check: Callable[[], None] = lambda: None,
    patience: float | None = None,
) -> None:
    """Send frames through the networks; reading, computing and writing go on at the same time.

    Args:
        frames: of the film, in order; iterated in a thread.
        write: takes each frame made, in order, in another thread.
        pipeline: what is done to them.
        info: what their planes mean.
        out: the samples wanted.
        wanted: whether the frame of a number is written; others are only seen by the networks.
        look, check: see `remaster_film`.
        patience: see `overlap`.
    """
    colored = pipeline.colorizer is not None
    luma_kept = pipeline.restorer is None or pipeline.restorer.options.strength == 0

    def pictures() -> Iterator[Picture]:
        return (to_picture(frame, info, chroma=not colored) for frame in frames)

    def checked(film: Iterator[Picture]) -> Iterator[Picture]:
        for picture in film:
            check()
            yield picture

    def transform(film: Iterator[Picture]) -> Iterable[Picture]:
        return (picture for picture in pipeline.process(checked(film)) if wanted(picture.index))

    def put(picture: Picture) -> None:
        write(from_picture(picture, picture.payload, info, out, colored=colored, luma_kept=luma_kept))
        look(picture)

    overlap(pictures(), transform, put, _capacity(info), patience=patience)


def windows_of(pipeline: RemasterPipeline) -> list[Window]:
    """The windows that frames go through, in order."""
    return [worker.window for worker in (pipeline.restorer, pipeline.colorizer) if worker]


def context(windows: Sequence[Window], start: int, end: int | None) -> tuple[int, int]:
    """Frames before `start` and after `end` that the frames between depend on, from a frame where all blocks begin."""
    first, last = start, end or 0
    for window in reversed(windows):
        first = first // window.block * window.block - window.before
        last = -(-last // window.block) * window.block + window.after
    grid = math.lcm(*(window.block for window in windows))
    first = max(0, first - BEFORE) // grid * grid
    return start - first, last + AFTER - end if end is not None else 0


def _capacity(info: VideoInfo | RawFormat) -> int:
    frame = info.width * info.height * 4 * 3
    return max(2, min(16, _WAITING_BYTES // 2 // frame))


def plan(pipeline: RemasterPipeline, info: VideoInfo | RawFormat, references: int, target: str) -> str:
    """One line: what will be done, where, at what size the networks see the picture, and what it becomes."""
    parts = []
    for verb, worker in (("restore", pipeline.restorer), ("colour", pipeline.colorizer)):
        if worker:
            source = ""
            if verb == "colour":
                source = f" from {references} reference{'s' if references > 1 else ''}" if references else " by a guess"
                worker = worker if references else worker.guesser or worker
            lines, columns = worker.size(info.height, info.width)
            parts.append(f"{verb}{source} with {worker.model} at {columns}x{lines}")
    engines = {f"{w.engine.device} {w.engine.precision}" for w in (pipeline.restorer, pipeline.colorizer) if w}
    film = f"{info.width}x{info.height} {info.pix_fmt}"
    return f"{film}: {', '.join(parts)} on {' and '.join(sorted(engines))}; {target}"
