"""Any run of frames of a film that was surveyed, without decoding it from the start each time.

A seek promises nothing (see `video`). Here every frame that is delivered has the checksum that it had when the whole
film was decoded in order; where one has not, the film is decoded from its start once more.
"""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import numpy as np

from ...errors import InputError
from ...video.planes import Frame
from ...video.reader import VideoReader
from ..planning.survey import Survey, checksum

log = logging.getLogger(__name__)

_AIMS = 3  # key frames that a seek is tried with
_KEPT_BYTES = 256 << 20  # frames that are kept because the next run of frames may begin with them


class Cursor:
    """Delivers runs of frames; one that goes on where the last ended costs no seek.

    Args:
        path: the film.
        survey: what is known of it.
        fps: see `VideoReader`.

    Attributes:
        info: see `VideoInfo`.
        decoded: frames decoded so far, delivered or not.
    """

    def __init__(self, path: Path, survey: Survey, fps: Fraction | None = None) -> None:
        self._path, self._survey = path, survey
        self._reader: VideoReader = VideoReader(path, survey.start, fps=fps, notes=False)
        self.info = self._reader.info
        self.decoded = 0
        self._coming = self._reader.decode()
        self._next = 0
        self._seeks = True
        self._sought = False
        self._recent: deque[tuple[int, list[np.ndarray]]] = deque()

    def __enter__(self) -> Cursor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._reader.close()

    def frames(self, first: int, last: int) -> Iterator[Frame]:
        """Frames `first` to `last` (not included), all of them among those surveyed.

        Raises:
            InputError: a frame is not what it was when the film was surveyed.
        """
        kept = [(number, planes) for number, planes in self._recent if first <= number < last]
        at = first
        for number, planes in kept if kept and kept[0][0] == first else ():
            yield self._frame(number, planes)
            at = number + 1
        if at < last:
            self._go(at)
        while at < last:
            planes = self._read(at)
            self._keep(at, planes)
            yield self._frame(at, planes)
            at += 1

    def _frame(self, number: int, planes: list[np.ndarray]) -> Frame:
        survey, place = self._survey, number - self._survey.start
        if not 0 <= place < len(survey.times):
            return Frame(number, None, planes)
        return Frame(number, survey.times[place], planes, survey.durations[place] or None)

    def _keep(self, number: int, planes: list[np.ndarray]) -> None:
        self._recent.append((number, planes))
        most = max(1, _KEPT_BYTES // sum(plane.nbytes for plane in planes))
        while len(self._recent) > min(most, 64) or self._recent[0][0] + len(self._recent) - 1 != number:
            self._recent.popleft()

    def _go(self, number: int) -> None:
        """Make the decoder reach a frame soon: on from where it is, or from a key frame if that is nearer."""
        key = self._key(number)
        if self._next > number or (key is not None and key[0] > self._next):
            self._open(key)

    def _key(self, number: int) -> tuple[int, int] | None:
        """Number and time of the key frame to begin at for a frame; None: at the first frame of the film."""
        if self.info.is_folder:
            return number, 0
        place = bisect_right(self._survey.keys, number, key=lambda key: key[0]) - 1
        return self._survey.keys[place] if place >= 0 and self._seeks else None

    def _open(self, key: tuple[int, int] | None) -> None:
        self._reader.close()
        self._reader = VideoReader(self._path, notes=False)
        times = [time for number, time in self._survey.keys if key and number <= key[0]]
        self._coming = self._reader.decode(key, times[: -_AIMS - 1 : -1])
        self._next = 0 if key is None else key[0]
        self._sought = key is not None

    def _read(self, number: int) -> list[np.ndarray]:
        """The planes of a frame at or behind the next that is decoded."""
        wanted = self._survey.checks[number - self._survey.low]
        while True:
            planes = None
            for met, picture in self._coming:
                self.decoded += 1
                self._next = met + 1
                if met == number:
                    planes = self._reader.planes(picture)
                    break
            if planes is not None and checksum(planes) == wanted:
                return planes
            if self._sought and not self.info.is_folder:
                log.debug("%s: after a seek frame %d is another: decoding from the start", self._path, number)
                self._seeks = False
                self._open(None)
            elif planes is not None and self._survey.truncated:  # what stands in for damage may differ
                return planes
            else:
                raise InputError(
                    f"frame {number} of {self._path} is not what it was when the job was begun: the film was changed, "
                    "or another version of FFmpeg decodes it differently; begin anew"
                )
