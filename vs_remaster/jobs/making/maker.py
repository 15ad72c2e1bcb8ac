"""Making chunks: the one thing that a worker does, in this process or in another, here or on another machine."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Callable, Iterator
from types import TracebackType

import torch

from ...film.masks import Given
from ...film.remastering import remaster_frames
from ...film.shares import shares_of
from ...remaster.colorizer import Colorizer
from ...remaster.pipeline import Picture, RemasterPipeline
from ...remaster.restorer import Restorer
from ...video.planes import Frame
from ..planning.chunking import Chunk, Segment, Work
from .chunks import ChunkWriter, Record
from .cursor import Cursor
from .final import FinalChunkWriter

_PIPELINES = 4  # kept with their encoded references


class ChunkMaker:
    """Makes chunks of a film; to be entered first.

    Args:
        work: what to do.
        restorer: one that is loaded already; None: as `work` says.
        colorizer: one that is loaded already; None: as `work` says.

    Raises:
        RemasterError: the film or the networks cannot be used.
    """

    def __init__(self, work: Work, restorer: Restorer | None = None, colorizer: Colorizer | None = None) -> None:
        self._work = work
        self._restorer = restorer or (Restorer(work.restore) if work.restore else None)
        self._colorizer = colorizer or (Colorizer(work.colorize) if work.colorize else None)
        self._pipelines: OrderedDict[tuple, RemasterPipeline] = OrderedDict()
        self._given: dict[tuple[str | None, str | None], Given] = {}
        self._cursor = Cursor(work.source, work.survey, work.fps)
        self._threads = torch.get_num_threads()

    def __enter__(self) -> ChunkMaker:
        torch.set_num_threads(self._work.threads)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        torch.set_num_threads(self._threads)
        self._cursor.close()
        for masks in itertools.chain.from_iterable(self._given.values()):
            if masks:
                masks.close()

    def make(
        self,
        chunk: Chunk,
        *,
        progress: Callable[[int], None] = lambda frames: None,
        look: Callable[[Picture], None] = lambda picture: None,
        check: Callable[[], None] = lambda: None,
    ) -> Record:
        """Make a chunk.

        Args:
            chunk: see `Chunk`.
            progress: called with the number of frames made since it was called last.
            look: see `remaster_film`.
            check: see `remaster_film`.

        Returns:
            Its record, which has also been written.

        Raises:
            RemasterError: the film cannot be read, or nothing can be written; then nothing of the chunk is left.
        """
        with self._writer(chunk) as writer:

            def put(frame: Frame) -> None:
                writer.write(frame.planes)
                progress(1)

            def seen(picture: Picture) -> None:
                writer.shares.append(shares_of(picture))
                writer.damage.append(None if picture.mask is None else round(float(picture.mask.mean()), 6))
                writer.write_mask(picture.mask)
                look(picture)

            for segment in chunk.segments:
                self._make(segment, put, seen, check)
        assert writer.record is not None
        return writer.record

    def _writer(self, chunk: Chunk) -> ChunkWriter:
        place = self._work.folder, chunk, self._cursor.info, self._work.out
        return FinalChunkWriter(*place, self._work.coding) if self._work.coding else ChunkWriter(*place)

    def _make(
        self,
        segment: Segment,
        put: Callable[[Frame], None],
        look: Callable[[Picture], None],
        check: Callable[[], None],
    ) -> None:
        remaster_frames(
            self._frames(segment),
            put,
            self._pipeline(segment),
            self._cursor.info,
            self._work.out,
            given=self._masks(segment),
            wanted=(segment.first, segment.last),
            look=look,
            check=check,
        )

    def _frames(self, segment: Segment) -> Iterator[Frame]:
        windows = () if segment.restore is None and segment.colorize is None else None
        reach = self._work.reach(segment.first, segment.last, windows, segment.prepare)
        return self._cursor.frames(*reach)

    def _masks(self, segment: Segment) -> Given:
        names = segment.repair, segment.protect
        if names not in self._given:
            self._given[names] = Given.at(*(self._work.masks[name] if name else None for name in names))
        return self._given[names]

    def _pipeline(self, segment: Segment) -> RemasterPipeline:
        way = (segment.restore, segment.colorize, segment.references, segment.prepare)
        if way not in self._pipelines:
            self._pipelines[way] = RemasterPipeline(
                self._restorer.like(segment.restore) if self._restorer and segment.restore else None,
                self._colorizer.like(segment.colorize) if self._colorizer and segment.colorize else None,
                [self._work.references[name] for name in segment.references],
                self._work.survey.cuts,
                prepare=segment.prepare,
            )
            if len(self._pipelines) > _PIPELINES:
                self._pipelines.popitem(last=False)
        self._pipelines.move_to_end(way)
        return self._pipelines[way]
