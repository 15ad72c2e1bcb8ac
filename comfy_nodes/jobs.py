"""A film from file to file, with its progress on a node; a long one by way of a job folder, as on the command line."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from types import TracebackType
from typing import Any

from . import host, models
from .images import gray_text
from .library import film_jobs, filming, video

_VERBS = {"survey": "looked at frame", "frames": "frame", "encode": "encoded frame"}


def output_begun(request: filming.FilmRequest) -> Path:
    """The output whose job was begun and not finished, by a node or the command line; else that of the request, a new
    file with a number before its suffix."""
    for folder in _unfinished(request.output):
        if film_jobs.is_begun(folder, request):
            return folder.with_suffix("")
    return request.output


def _unfinished(output: Path) -> list[Path]:
    """The job folders of films that have the name of an output but for its number, and are not there."""
    numbered = re.fullmatch(r"(.*_)[0-9]+(_\.[a-z0-9]+)", output.name)
    if numbered is None or not output.parent.is_dir():
        return []
    alike = re.compile(f"{re.escape(numbered[1])}[0-9]+{re.escape(numbered[2])}")
    folders = sorted(output.parent.glob("*.job"))
    return [one for one in folders if alike.fullmatch(one.with_suffix("").name) and not one.with_suffix("").exists()]


def remaster_video(request: filming.FilmRequest, node: str | None, *, remove: bool = False) -> str:
    """Restore and colour a film; an interrupt ends it within one block.

    Of a short film nothing is left then; of one longer than a chunk its job folder, with which the next run goes on.

    Args:
        request: what is asked; its workers are those of `models`.
        node: the node's id on the page, where progress, the current picture and what became of it are shown.
        remove: remove unfinished jobs under the same name that are not gone on with.

    Returns:
        One line that says what was done, and what the library warned of.
    """
    import comfy.model_management as management

    with video.VideoReader(request.source, request.start) as reader:
        size = reader.info.height, reader.info.width
    if workers := [worker for worker in (request.restore, request.colorize) if worker]:
        models.bring(workers, *size)
    progress = host.Progress(None, node, speak=True)
    others = [one for one in _unfinished(request.output) if one.with_suffix("") != request.output] if remove else []
    removed = sum(film_jobs.remove_job(folder) for folder in others)
    # a file that was only made for this run will be another the next time
    lasts = Path(host.scratch_folder()) not in request.source.parents
    colored = filming.will_color(request.colorize, request.references)
    long = lasts and film_jobs.needs_job(request, film_jobs.JobOptions(), colored=colored)
    try:
        with _Warnings() as warnings:
            look, check = progress.look, host.check_interrupt
            if long:
                done = film_jobs.remaster_job(request, watch=_Watch(progress), look=look, check=check)
            else:
                done = filming.remaster_film(request, progress=progress.done, look=look, check=check)
    except management.InterruptProcessingException:
        of = f" of {progress.total}" if progress.total else ""
        kept = film_jobs.frames_kept(request.output)
        then = f"{kept} of them are kept: run again to go on." if kept else "None is kept: the next run begins anew."
        host.say(f"Stopped after {progress.frames}{of} frames. {then}", node)
        raise
    gray = gray_text(request.references)
    verbs = [verb for verb, wanted in (("restored", request.restore), ("coloured", colored and not gray)) if wanted]
    lines = [f"{done.frames} frames {' and '.join(verbs) or 'written'}: {request.output}", *warnings.lines]
    if gray:
        lines.append(gray)
    if request.colorize and not request.references:
        lines.append(f"no references: {'colours were guessed' if colored else 'the film was not coloured'}")
    if removed:
        lines.append(f"{removed} unfinished job{'s' if removed > 1 else ''} removed")
    text = "; ".join(lines)
    host.say(text, node)
    return text


class _Watch:
    """Shows on a node how far a job is: the frames that are made."""

    def __init__(self, progress: host.Progress) -> None:
        self._progress = progress

    def report(
        self, stage: str, done: int, total: int | None, disk_needed: int | None = None, disk_free: int | None = None
    ) -> None:
        """See `Watch` of the library."""
        if stage == "frames":
            self._progress.done(done, total)
        else:
            self._progress.speak(_VERBS.get(stage, stage), done, total)


class _Warnings(logging.Handler):
    """Collects what the library warns of while it is entered."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []
        self._logger = logging.getLogger(filming.__name__.rpartition(".")[0])

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())

    def __enter__(self) -> _Warnings:
        self._logger.addHandler(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Any:
        self._logger.removeHandler(self)
