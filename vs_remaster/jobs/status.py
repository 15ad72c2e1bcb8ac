"""What is done of a job, and what is left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import InputError
from ..output.codecs import codec_info
from .planning.chunking import Chunk
from .planning.folder import JobFolder
from .planning.shot_settings import shots_toml
from .planning.survey import Survey


def opened(path: Path) -> tuple[JobFolder, dict[str, Any], Survey]:
    """A job folder and its plan.

    Raises:
        InputError: it is none, or it has no plan yet.
    """
    folder = JobFolder(path)
    plan = folder.read_plan()
    if plan is None:
        raise InputError(f"{path} holds no job: give the folder, such as film.mkv.job")
    return folder, plan, Survey.from_json(plan["survey"])


def chunks_of(plan: dict[str, Any]) -> list[Chunk]:
    """The chunks by their frames only: what else they depend on is known when the job runs."""
    encode = plan["job"].get("encode")
    suffix = codec_info(encode["codec"]).chunk_suffix if encode else Chunk.suffix
    return [Chunk(first, last, (), "", suffix) for first, last in plan["chunks"]]


def status_of(path: Path) -> dict[str, Any]:
    """What `status --json` says of a job folder.

    Raises:
        InputError: it is none, or it has no plan yet.
    """
    return facts_of(*opened(path))


def frames_kept(output: Path) -> int:
    """How many frames are kept of a film that is not finished: those of the finished chunks beside it."""
    try:
        return status_of(JobFolder.beside(output).path)["done"]
    except InputError:
        return 0


def remove_job(path: Path) -> bool:
    """Remove a job that nobody will finish; a `shots.toml` that was edited stays.

    Returns:
        Whether it was; not what is no job, or is at work.
    """
    try:
        folder, plan, survey = opened(path)
        with folder.locked():
            proposed = shots_toml(survey.shots, Path(plan["source"]).name)
            edited = folder.shots.exists() and folder.shots.read_text(encoding="utf-8") != proposed
            folder.remove(shots=not edited)
    except (InputError, OSError, UnicodeDecodeError):
        return False
    return True


def facts_of(folder: JobFolder, plan: dict[str, Any], survey: Survey) -> dict[str, Any]:
    from .making.chunks import file_of, masks_of, record_of
    from .making.tally import bytes_a_frame

    chunks = chunks_of(plan)
    there = [chunk for chunk in chunks if record_of(folder.chunks, chunk).exists()]
    files = [of(folder.chunks, chunk) for chunk in there for of in (file_of, masks_of)]
    used = sum(file.stat().st_size for file in files if file.exists())
    done, total = sum(chunk.frames for chunk in there), survey.end - survey.start
    encode = plan["job"].get("encode")
    guess = bytes_a_frame(plan["frame_bytes"], "final" if encode else "lossless", encode["codec"] if encode else "ffv1")
    each = used / done if done else guess
    kinds = [shot.looks.kind for shot in survey.shots]
    return {
        "film": plan["source"],
        "done": done,
        "total": total,
        "chunks_done": len(there),
        "chunks": len(chunks),
        "kept": "final" if encode else "lossless",
        "disk_used": used,
        "disk_needed": round((total - done) * each),
        "shots": {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)},
        "duplicates": sum(shot.looks.duplicates for shot in survey.shots),
        "worker": folder.worker(),
    }
