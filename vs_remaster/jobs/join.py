"""From finished chunks to the output."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..encode import JoinedWriter
from ..errors import RemasterError
from ..output import Atomic
from ..planes import Frame
from ..shares import SharesFile
from .chunks import DamagedChunk, Record, forget, read_chunk
from .final import check_headers, read_packets, reorder_of
from .plan import Chunk, Work


@dataclass(frozen=True)
class Joiner:
    """Gives all chunks in order to a writer.

    Attributes:
        work: see `Work`.
        chunks: all there are.
        records: of each.
        step: called for every frame.

    Raises:
        RemasterError: a chunk is not there.
    """

    work: Work
    chunks: Sequence[Chunk]
    records: Mapping[Chunk, Record]
    step: Callable[[], None]

    def __post_init__(self) -> None:
        gone = [chunk for chunk in self.chunks if chunk not in self.records]
        if gone:
            raise RemasterError(f"chunk {gone[0].name} is gone: was it removed while the job ran?")

    def join(self, writer: Atomic, *shares: SharesFile) -> None:
        """Encode all frames, or take over the packets where they have been encoded.

        Args:
            writer: a `VideoWriter` or `PictureWriter`; a `JoinedWriter` where `work.coding` is given.
            shares: told which reference coloured what.

        Raises:
            RemasterError: a chunk is damaged, or does not fit; nothing can be written.
        """
        frames = list(self.work.survey.frames())
        if isinstance(writer, JoinedWriter):
            writer.begin(frames, reorder_of(self.records))
            check_headers(writer, self.records, self.work.folder)
        for chunk in self.chunks:
            self._tell(chunk, shares)
            try:
                self._put(chunk, frames, writer)
            except DamagedChunk:
                forget(self.work.folder, chunk)
                raise

    def _put(self, chunk: Chunk, frames: Sequence[Frame], writer: Any) -> None:
        record, first = self.records[chunk], chunk.first - self.work.survey.start
        if isinstance(writer, JoinedWriter):
            for data, place, keyframe in self._stepped(read_packets(self.work.folder, chunk, record)):
                writer.write_packet(data, first + place, keyframe)
            return
        for frame, planes in zip(frames[first:], self._stepped(read_chunk(self.work.folder, chunk, record))):
            writer.write(replace(frame, planes=planes))

    def _stepped[Kept](self, coming: Iterator[Kept]) -> Iterator[Kept]:
        for one in coming:
            yield one
            self.step()

    def _tell(self, chunk: Chunk, files: Sequence[SharesFile]) -> None:
        place = {name: index for index, name in enumerate(self.work.references)}
        for frame, given in enumerate(self.records[chunk].shares, chunk.first):
            names = chunk.segment(frame).references
            for file in files:
                file.write(frame, given and [(place[names[index]], share) for index, share in given])
