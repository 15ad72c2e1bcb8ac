"""How a film is done in parts, as far as that does not change its frames."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from ...errors import InputError
from ...output.codecs import either

if TYPE_CHECKING:
    from .folder import JobFolder

ChunkCoding = Literal["lossless", "final"]
CHUNK_CODINGS: tuple[ChunkCoding, ...] = get_args(ChunkCoding)
CHUNK_FRAMES = 500
"""Frames that a chunk has at most, unless asked otherwise."""


@dataclass(frozen=True, kw_only=True)
class JobOptions:
    """How a film is done in parts.

    Attributes:
        folder: of the job, which stays when it is done; None: beside the output, and removed when it is done.
        keep: leave the folder beside the output too.
        chunk_frames: frames that a chunk has at most.
        chunk_coding: what they are kept as until all are there: `lossless`, to be encoded then, or `final`, in the
            codec of the output, to be joined as they are.
        plan: look at the film and write the plan and the shots, no more.
        workers: processes that make chunks at the same time; None: this one, or as many as a cluster has room for.
        ray: address of a Ray cluster that makes the chunks.
        ray_stream: send film and chunks through the cluster even where its machines see the same files.
    """

    folder: Path | None = None
    keep: bool = False
    chunk_frames: int = CHUNK_FRAMES
    chunk_coding: ChunkCoding = "lossless"
    plan: bool = False
    workers: int | None = None
    ray: str | None = None
    ray_stream: bool = False

    def __post_init__(self) -> None:
        if self.chunk_frames < 1:
            raise InputError(f"chunk must be 1 frame or more, got {self.chunk_frames}")
        if self.chunk_coding not in CHUNK_CODINGS:
            raise InputError(f"chunks must be {either(CHUNK_CODINGS)}, got {self.chunk_coding!r}")
        if self.workers is not None and self.workers < 1:
            raise InputError(f"workers must be 1 or more, got {self.workers}")

    @property
    def asked(self) -> bool:
        """Whether they ask for a job folder however short the film is."""
        return bool(self.folder or self.keep or self.plan or (self.workers or 1) > 1 or self.ray is not None)

    def folder_for(self, output: Path) -> JobFolder:
        """The folder of an output's job."""
        from .folder import JobFolder

        return JobFolder(self.folder) if self.folder else JobFolder.beside(output)
