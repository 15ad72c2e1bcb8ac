"""How much of a job is done."""

from __future__ import annotations

import shutil
from pathlib import Path

from .chunks import Record
from .plan import Chunk
from .watch import Watch


class Tally:
    """Counts what is done and tells the watch.

    Args:
        watch: see `Watch`.
        total: frames of all chunks.
        done: what was finished before.
        folder: of the job.
        bytes_a_frame: what a frame is expected to take there, until some are finished.
    """

    def __init__(self, watch: Watch, total: int, done: dict[Chunk, Record], folder: Path, bytes_a_frame: float) -> None:
        self._watch, self._total, self._folder = watch, total, folder
        self._done = self._begun = sum(chunk.frames for chunk in done)
        self._kept = self._done  # frames in finished chunks
        self._bytes = sum(record.size for record in done.values())
        self._guess = bytes_a_frame

    def frames(self, count: int) -> None:
        """So many more frames are made."""
        if count:
            self._done += count
            self.tell()

    def settle(self) -> None:
        """What is not in finished chunks is lost."""
        self._done = self._kept
        self.tell()

    def finished(self, chunk: Chunk, record: Record) -> None:
        """A chunk is finished; its frames have been counted."""
        self._kept += chunk.frames
        self._bytes += record.size
        self._guess = self._bytes / self._kept
        self.tell()

    def tell(self) -> None:
        """Tell the watch."""
        needed = round((self._total - self._kept) * self._guess)
        self._watch.told("frames", self._done, self._total, needed, shutil.disk_usage(self._folder).free)
