"""What a job folder tells of the film that was made: its frames, shots, repaired damage, and what coloured what."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..film.shares import read_shares
from ..output.formats import OutputFormat
from ..references.reference import Reference, load_references
from ..video.info import VideoInfo
from ..video.planes import Frame
from .making.chunks import Record, is_there, read_chunk, recorded
from .planning.chunking import Chunk
from .planning.folder import JobFolder
from .status import chunks_of, opened

log = logging.getLogger(__name__)


def is_job(path: Path) -> bool:
    """Whether a path is a job folder."""
    return JobFolder(path).plan.is_file()


class MadeFilm:
    """A film as a job has made it.

    Args:
        path: the job folder.

    Attributes:
        path: the same.
        source: the film that it was made of.
        start, end: frames of that, the end not included.
        fps: see `VideoReader`.
        cuts: frames that start a shot.

    Raises:
        InputError: it is no job folder, or a file in it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._folder, plan, survey = opened(path)
        self.source = Path(plan["source"])
        self.start, self.end = survey.start, survey.end
        self.fps = Fraction(plan["job"]["fps"]) if "fps" in plan["job"] else None
        self.cuts = [shot.first for shot in survey.shots[1:]]
        samples = plan["job"]["samples"]
        self._samples: dict[str, Any] = {**samples, "subsampling": tuple(samples["subsampling"])}
        self._scale = (plan["job"]["restore"] or {}).get("scale", 1)
        self._size: list[int] | None = plan.get("size")  # older plans say nothing of it
        self._chunks = [(chunk, recorded(self._folder.chunks, chunk)) for chunk in chunks_of(plan)]
        self._shares: dict[int, list[tuple[str, float]]] = {}
        self._damage: dict[int, float] = {}
        for chunk, record in self._chunks:
            values = enumerate(record.damage if record else (), chunk.first)
            self._damage.update({frame: value for frame, value in values if value is not None})
        self._chunks = [(chunk, record and replace(record, shares=())) for chunk, record in self._chunks]
        self._references: list[dict[str, Any]] = []
        if self._folder.shares.exists():
            self._references, self._shares = read_shares(self._folder.shares)

    def references(self, lines: int) -> list[Reference]:
        """Those that it was coloured from, as far as their files are still there, where and as much as they acted.

        Args:
            lines: see `load_references`.

        Raises:
            InputError: a picture cannot be read.
        """
        found, gone = [], 0
        for told in self._references:
            path = Path(told["path"] or "")
            if not path.is_file():
                gone += 1
                continue
            scope = told["scope"] if told["scope"] == "film" else tuple(told["scope"])
            (one,) = load_references([path], lines=lines)
            origin = told.get("origin", "")
            found.append(
                replace(one, frame=told["frame"], time=None, weight=told["weight"], scope=scope, origin=origin)
            )
        if gone:
            log.warning(
                "%d of %d references are not there any more and are left out: name them with --references",
                gone, len(self._references),
            )  # fmt: skip
        return found

    def damage(self, frame: int) -> float | None:
        """Share of the pixels of a frame that were repaired, 0..1; None where that is not known."""
        return self._damage.get(frame)

    def shares(self, frame: int) -> list[tuple[str, float]] | None:
        """Names of references and how much of a frame's colour they gave; None where that is not known."""
        return self._shares.get(frame)

    def info(self, source: VideoInfo) -> VideoInfo:
        """What is known of the film made, from what is known of its source."""
        width, height = self._size or (self._scale * source.width, self._scale * source.height)
        size = {"width": width, "height": height}
        pix_fmt = OutputFormat(**self._samples, **size).pix_fmt
        path = self.path.with_suffix("") if self.path.suffix == ".job" else self.path
        return replace(source, **self._samples, **size, pix_fmt=pix_fmt, path=path, frames=self.end - self.start)

    def frames(self) -> Iterator[Frame]:
        """Every frame as it was made.

        Raises:
            InputError: chunks are not made yet, or were removed. DamagedChunk: see `read_chunk`.
        """
        for chunk, record in self._whole():
            for index, planes in enumerate(read_chunk(self._folder.chunks, chunk, record), chunk.first):
                yield Frame(index, None, planes)

    def check(self) -> None:
        """Make sure that every frame is there.

        Raises:
            InputError: see `frames`.
        """
        self._whole()

    def _whole(self) -> list[tuple[Chunk, Record]]:
        there = [(c, r) for c, r in self._chunks if r and not r.order and is_there(self._folder.chunks, c, r)]
        if len(there) < len(self._chunks):
            raise InputError(
                f"{self.path} holds {len(there)} of its {len(self._chunks)} chunks without loss: run its command "
                "again to finish the job, or name the film that was made of it too"
            )
        return there
