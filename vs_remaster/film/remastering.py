"""A whole film from file to file."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..color.samples import Lifted, Samples
from ..remaster.colorizer import Colorizer
from ..remaster.lost_frames import MOST
from ..remaster.pipeline import Picture, RemasterPipeline
from ..remaster.preparing import margins
from ..remaster.restorer import Restorer
from ..remaster.scenes import AFTER, BEFORE, thumbnail
from ..remaster.window import Window
from ..system.threads import overlap
from ..video.info import VideoInfo
from ..video.planes import Frame
from ..video.rawvideo import RawFormat
from .frames import cropped, from_picture, to_picture
from .mask_writer import MaskWriter
from .masks import Given
from .request import FilmRequest
from .writing import Done, ProgressCallback, open_output

log = logging.getLogger(__name__)

_WAITING_BYTES = 256 << 20  # what may wait between two stages


def remaster_film(
    source: FilmRequest | Path,
    output: Path | None = None,
    *,
    progress: ProgressCallback = lambda done, total: None,
    look: Callable[[Picture], None] = lambda picture: None,
    check: Callable[[], None] = lambda: None,
    **fields: Any,
) -> Done:
    """Restore and colour a film.

    Args:
        source: what is asked; or the film, then `output` and `fields` are those of a `FilmRequest`.
        output: see `source`.
        progress: see `ProgressCallback`.
        look: shown every picture when it is written; what it or `progress` raises ends the job.
        check: called in the caller's thread for every frame that is taken in, so before and after each block at least;
            what it raises ends the job.
        fields: see `source`.

    Raises:
        RemasterError: anything wrong with what was given, or no space left; nothing is left behind.
    """
    request = FilmRequest.of(source, output, fields).resolved()
    request.check_output()
    with request.open() as reader:
        info = reader.info
        request = request.settled(info)
        out = request.output_format(info)
        given = request.given()
        given.check(info.frames)
        request.check(info.frames)
        pipeline = request.pipeline(check)
        reader.context = context(pipeline.windows, request.start, request.end)
        masks = MaskWriter(request.masks, request.shown(info), request.scale, overwrite=request.write.overwrite)
        with open_output(request.output, reader, out, request.write) as writer, masks:
            written = 0

            def put(frame: Frame) -> None:
                nonlocal written
                writer.write(frame)
                written += 1
                progress(written, reader.expected)

            target = f"{request.write.codec} to {request.output}"
            log.info("%s", plan(pipeline, info, len(request.references), target))
            progress(0, reader.expected)

            def see(picture: Picture) -> None:
                masks(picture)
                look(picture)

            remaster_frames(
                reader,
                put,
                pipeline,
                info,
                out,
                given=given,
                wanted=(request.start, request.end),
                look=see,
                check=check,
            )
    return Done(written, reader.truncated)


def remaster_frames(
    frames: Iterable[Frame],
    write: Callable[[Frame], None],
    pipeline: RemasterPipeline,
    info: VideoInfo | RawFormat,
    out: Samples,
    *,
    given: Given = Given(),
    wanted: tuple[int, int | None] = (0, None),
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
        given: masks for them, as the frames are before they are prepared.
        wanted: first frame that is written and first that is not any more; None: to the end. Others are only seen by
            the networks, as far as they matter.
        look, check: see `remaster_film`.
        patience: see `overlap`.
    """
    colored = pipeline.colorizer is not None
    cut = margins(pipeline.preparer.options, info.height, info.width)
    luma_kept = pipeline.scale == 1 and (pipeline.restorer is None or pipeline.restorer.options.strength == 0)

    bus, seen = pipeline.transfer, pipeline.scenes == "auto"

    def pictures() -> Iterator[Picture]:
        return map(picture_of, frames)

    def picture_of(frame: Frame) -> Picture:
        if bus.idle:
            return given.lay_on(to_picture(frame, info, chroma=not colored))
        with bus.lifting():
            frame = replace(frame, planes=Lifted(frame.planes, bus))
            picture = given.lay_on(to_picture(frame, info, chroma=not colored))
            picture.repair, picture.protect = bus.there(picture.repair), bus.there(picture.protect)
            picture.thumbnail = thumbnail(picture.luma) if seen else None
            bus.lifted()
        return picture

    def checked(film: Iterator[Picture]) -> Iterator[Picture]:
        for picture in film:
            check()
            yield picture

    def transform(film: Iterator[Picture]) -> Iterable[Picture]:
        first, end = wanted
        made = pipeline.process(checked(film), first, end, lifted=True)
        return (picture for picture in made if picture.index >= first and (end is None or picture.index < end))

    def put(picture: Picture) -> None:
        kept = luma_kept and picture.levels is None and picture.repair is None and not picture.altered
        with bus.lowering(picture.made):
            frame = cropped(picture.payload, info, cut)
            frame = from_picture(picture, frame, info, out, colored=colored, luma_kept=kept)
        write(frame)
        with bus.lowering(picture.made):
            look(picture)

    overlap(pictures(), transform, put, _capacity(info, pipeline.scale), patience=patience)


def context(windows: Sequence[Window], start: int, end: int | None) -> tuple[int, int]:
    """Frames before `start` and after `end` that the frames between depend on, from a frame where all blocks begin."""
    first, last = start, end
    for window in reversed(windows):
        first, last = window.fed(first, last)
    grid = math.lcm(*(window.block for window in windows))
    first = max(0, first - BEFORE - MOST) // grid * grid
    return start - first, 0 if end is None or last is None else last + AFTER - end


def _capacity(info: VideoInfo | RawFormat, scale: int = 1) -> int:
    frame = info.width * info.height * scale**2 * 4 * 3
    return max(2, min(16, _WAITING_BYTES // 2 // frame))


def plan(pipeline: RemasterPipeline, info: VideoInfo | RawFormat, references: int, target: str) -> str:
    """One line: what will be done, where, at what size the networks see the picture, and what it becomes."""
    parts = []
    options = pipeline.preparer.options
    cut = 2 * margins(options, info.height, info.width)
    width, height = info.width - cut, info.height - cut
    if options.bad_frames:
        parts.append(f"make {len(options.bad_frames)} lost frame{'s' if len(options.bad_frames) > 1 else ''} anew")
    if options.steady:
        parts.append("take the weave out")
    if cut:
        parts.append(f"crop to {width}x{height}")

    def add(verb: str, worker: Restorer | Colorizer) -> None:
        lines, columns = worker.size(height, width)
        parts.append(f"{verb} with {worker.model} at {columns}x{lines}")

    if pipeline.restorer:
        add("restore", pipeline.restorer)
    if pipeline.scale > 1:
        width, height = pipeline.scale * width, pipeline.scale * height
        parts.append(f"enlarge to {width}x{height}")
    if pipeline.colorizer and references:
        add(f"colour from {references} reference{'s' if references > 1 else ''}", pipeline.colorizer)
    elif pipeline.colorizer:
        add("colour by a guess", pipeline.colorizer.guesser or pipeline.colorizer)
    engines = {f"{w.engine.device} {w.engine.precision}" for w in (pipeline.restorer, pipeline.colorizer) if w}
    film = f"{info.width}x{info.height} {info.pix_fmt}"
    return f"{film}: {', '.join(parts)} on {' and '.join(sorted(engines)) or 'cpu'}; {target}"
