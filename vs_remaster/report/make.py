"""A report: a folder with a page that shows a film before and after, with figures."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

from ..errors import InputError, RemasterError
from ..system.files import LEFT_BY_SYSTEMS, Part, check_no_link, named_errors
from .album import FOLDER, NAME

log = logging.getLogger(__name__)

PAGE, DATA = "index.html", "report.json"


def make_report(
    before: Path,
    after: Path | None,
    folder: Path,
    references: list[Path] | None = None,
    *,
    overwrite: bool = False,
    fps: Fraction | None = None,
    progress: Callable[[int, int | None], None] = lambda done, total: None,
) -> None:
    """Write a report; the folder appears when it is complete.

    Args:
        before: the source, a video or a folder of pictures; or a job folder, see `MadeFilm`.
        after: what was made of it; None: what the job folder holds.
        folder: to be made.
        references: what it was coloured from: pictures, folders of them, coloured copies of the film; None: those of
            the job.
        overwrite: replace a report that is there.
        fps: of the source, see `VideoReader`; a job knows it.
        progress: called with the frames done and how many there will be, None where that is not known.

    Raises:
        InputError: films that cannot be read, or differ in size or length; a job that is not finished; a folder that is
            there; no space left.
    """
    from ..film.shots import settle_for_film
    from ..jobs.planning.folder import JobFolder
    from ..jobs.result import MadeFilm, is_job
    from ..references.reference import Reference
    from ..remaster.options import ColorizeOptions
    from ..stills.copies import film_references
    from ..video.reader import VideoReader
    from .facts import collect
    from .page import make_page

    job = MadeFilm(before) if is_job(before) else None
    overwrite = overwrite or (job is not None and JobFolder(before).owns(folder))
    check_folder(folder, overwrite)
    if job and after is None:
        job.check()
    elif after is None:
        raise InputError(f"{before} is no job folder: give what was made of it, too")
    source, lines = (job.source if job else before), ColorizeOptions().lines
    given: list[Reference] = []
    if references:
        with VideoReader(source, fps=job.fps if job else fps, notes=False) as reader:
            rate = reader.info.fps
        keep = JobFolder(before).aligned if job else None
        given = settle_for_film(film_references(references, source, lines=lines, keep=keep), "auto", source, rate)
    elif job:
        given = job.references(lines)
    part = Part(folder, folder=True, overwrite=overwrite, strangers=_stranger)
    try:
        if job:
            with suppress(RemasterError):  # of a job on a disk that is only read: then it cannot be gone on with
                JobFolder(before).note(part.place)
        facts = collect(job or before, after, part.place, given, progress, fps)
        with named_errors(folder):
            (part.place / DATA).write_text(json.dumps(facts.as_dict(), indent=1) + "\n", encoding="utf-8")
            (part.place / PAGE).write_text(make_page(facts), encoding="utf-8", errors="replace")
        part.settle()
    finally:
        part.discard()


def check_folder(folder: Path, overwrite: bool) -> None:
    """Refuse a folder that could not be written in the end, before any work is done.

    Raises:
        InputError: see `make_report`.
    """
    if not folder.name:
        raise InputError(f"{folder} is no name for a report: give that of a new folder")
    if not folder.parent.is_dir():
        raise InputError(f"output folder does not exist: {folder.parent}")
    check_no_link(folder)
    if not folder.exists():
        return
    if not folder.is_dir():
        raise InputError(f"output is a file: {folder}: a report is a folder, give another name")
    if stranger := _stranger(folder):
        raise InputError(f"output folder {folder} holds other files ({stranger}): give a new name")
    if any(folder.iterdir()) and not overwrite:
        raise InputError(f"output exists: {folder}: give another name or --overwrite")


def _stranger(folder: Path) -> str | None:
    """The name of something in a folder that no report put there."""
    found = {path.name for path in folder.iterdir() if path.name.lower() not in LEFT_BY_SYSTEMS}
    if {PAGE, DATA} <= found:
        found -= {PAGE, DATA}
    if FOLDER in found and (folder / PAGE).is_file() and (folder / DATA).is_file():
        found.remove(FOLDER)
        found |= {f"{FOLDER}/{p.name}" for p in (folder / FOLDER).iterdir() if not NAME.fullmatch(p.name)}
    return min(found, default=None)
