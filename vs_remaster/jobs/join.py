"""From finished chunks to the output."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import RemasterError
from ..film.mask_writer import MaskWriter
from ..film.shares import SharesFile
from ..output.writer import JoinedWriter
from ..system.files import Atomic
from ..video.planes import Frame
from .making.chunks import DamagedChunk, Record, read_chunk, read_masks
from .making.final import check_headers, read_packets, reorder_of
from .planning.chunking import Chunk, Work

log = logging.getLogger(__name__)


class MadeOtherwise(Exception):
    """A chunk that was made again is not what it was: what has been written of the output is of no use."""


@dataclass(frozen=True)
class Joiner:
    """Gives all chunks in order to a writer.

    Attributes:
        work: see `Work`.
        chunks: all there are.
        records: of each.
        step: called for every frame.
        again: makes a chunk that was damaged, but not twice; what it raises ends the work.

    Raises:
        RemasterError: a chunk is not there.
    """

    work: Work
    chunks: Sequence[Chunk]
    records: Mapping[Chunk, Record]
    step: Callable[[], None]
    again: Callable[[Chunk], Record]

    def __post_init__(self) -> None:
        gone = [chunk for chunk in self.chunks if chunk not in self.records]
        if gone:
            raise RemasterError(f"chunk {gone[0].name} is gone: was it removed while the job ran?")

    def join(self, writer: Atomic, masks: MaskWriter, *shares: SharesFile) -> None:
        """Encode all frames, or take over the packets where they have been encoded.

        Args:
            writer: a `VideoWriter` or `PictureWriter`; a `JoinedWriter` where `work.coding` is given.
            masks: gets what was repaired, where that is kept.
            shares: told which reference coloured what.

        Raises:
            RemasterError: a chunk is damaged and cannot be made again, or does not fit; nothing can be written.
            MadeOtherwise: see there; all is to be joined anew, and will have what was made.
        """
        frames = list(self.work.survey.frames())
        if isinstance(writer, JoinedWriter):
            writer.begin(frames, reorder_of(self.records))
            check_headers(writer, self.records, self.work.folder)
        for chunk in self.chunks:
            self._tell(chunk, shares)
            self._put(chunk, frames, writer)
            self._put_masks(chunk, frames, masks)

    def _put(self, chunk: Chunk, frames: Sequence[Frame], writer: Any) -> None:
        first = chunk.first - self.work.survey.start
        if isinstance(writer, JoinedWriter):
            for data, place, keyframe in self._whole(chunk, read_packets):
                writer.write_packet(data, first + place, keyframe)
                self.step()
            return
        for frame, planes in zip(frames[first:], self._whole(chunk, read_chunk)):
            writer.write(replace(frame, planes=planes))
            self.step()

    def _put_masks(self, chunk: Chunk, frames: Sequence[Frame], masks: MaskWriter) -> None:
        if not chunk.masks:
            return
        for frame, codes in zip(frames[chunk.first - self.work.survey.start :], self._whole(chunk, read_masks)):
            masks.write(frame.index, frame.pts, codes)

    def _whole[Kept](self, chunk: Chunk, read: Callable[[Path, Chunk, Record], Iterator[Kept]]) -> Iterator[Kept]:
        """All that a chunk holds. Where it is damaged, it is made again, and what was given before is left out."""
        record, given = self.records[chunk], 0
        while True:
            try:
                for one in itertools.islice(read(self.work.folder, chunk, record), given, None):
                    yield one
                    given += 1
                return
            except DamagedChunk as error:
                log.warning("%s", error)
            made = self.again(chunk)
            if replace(made, size=record.size, masks_size=record.masks_size) != record:
                raise MadeOtherwise
            record = made

    def _tell(self, chunk: Chunk, files: Sequence[SharesFile]) -> None:
        place = {name: index for index, name in enumerate(self.work.references)}
        for frame, given in enumerate(self.records[chunk].shares, chunk.first):
            names = chunk.segment(frame).references
            for file in files:
                file.write(frame, given and [(place[names[index]], share) for index, share in given])
