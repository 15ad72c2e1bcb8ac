"""A film from file to file, with its progress on a node."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from . import host, models
from .films import Film
from .library import job, references, remaster, video


def remaster_video(
    film: Film,
    output: Path,
    node: str | None,
    *,
    restorer: remaster.Restorer | None,
    colorizer: remaster.Colorizer | None,
    given: Sequence[references.Reference],
    scenes: str,
    write: job.OutputOptions,
) -> str:
    """Restore and colour a film; an interrupt ends it within one block and leaves nothing behind.

    The workers are those of `models`.

    Args:
        film: see `films.film_of`.
        output: the file to make.
        node: the node's id on the page, where progress, the current picture and what became of it are shown.
        restorer: None: the luma stays as it is.
        colorizer: None: the colours stay as they are.
        given: references to colour from.
        scenes: `auto` or `none`.
        write: how to write.

    Returns:
        One line that says what was done, and what the library warned of.
    """
    import comfy.model_management as management

    with video.VideoReader(film.path) as reader:
        size = reader.info.height, reader.info.width
    if workers := [worker for worker in (restorer, colorizer) if worker]:
        models.bring(workers, *size)
    progress = host.Progress(None, node)
    try:
        with _Warnings() as warnings:
            done = job.remaster_film(
                film.path,
                output,
                restore=restorer,
                colorize=colorizer,
                references=given,
                scenes=scenes,
                write=write,
                start=film.start,
                end=film.end,
                progress=progress.done,
                look=progress.look,
                check=host.check_interrupt,
            )
    except management.InterruptProcessingException:
        of = f" of {progress.total}" if progress.total else ""
        host.say(f"Stopped after {progress.frames}{of} frames. No file was left; the next run begins anew.", node)
        raise
    verbs = [verb for verb, wanted in (("restored", restorer), ("coloured", colorizer and given)) if wanted]
    lines = [f"{done.frames} frames {' and '.join(verbs)}: {output}", *warnings.lines]
    if colorizer and not given:
        lines.append("no references: the film was not coloured")
    text = "; ".join(lines)
    host.say(text, node)
    return text


class _Warnings(logging.Handler):
    """Collects what the library warns of while it is entered."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []
        self._logger = logging.getLogger(job.__name__.rpartition(".")[0])

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())

    def __enter__(self) -> _Warnings:
        self._logger.addHandler(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Any:
        self._logger.removeHandler(self)
