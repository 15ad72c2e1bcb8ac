"""How long each stage takes on the way of a film from file to file."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import Any
from unittest.mock import patch

import torch

from vs_remaster.engines.transfer import Transfer
from vs_remaster.film import remastering
from vs_remaster.output.writer import VideoWriter
from vs_remaster.remaster.colorizer import Colorizer
from vs_remaster.remaster.restorer import Restorer
from vs_remaster.remaster.scenes import CutDetector
from vs_remaster.video.planes import Frame
from vs_remaster.video.reader import VideoReader

STAGES = ("decode", "convert", "up", "scenes", "restore", "colour", "down", "encode")
"""In the order of the film. Convert: between planes and floats, both ways; up and down: over the bus, with a GPU."""
_WORK: tuple[tuple[Any, str, str], ...] = (
    (remastering, "to_picture", "convert"),
    (remastering, "from_picture", "convert"),
    (Transfer, "up", "up"),
    (Transfer, "there", "up"),
    (CutDetector, "push", "scenes"),
    (Restorer, "clean", "restore"),
    (Restorer, "fill", "restore"),
    (Restorer, "sharpen", "restore"),
    (Restorer, "finish", "restore"),
    (Colorizer, "process", "colour"),
    (Transfer, "down", "down"),
    (VideoWriter, "write", "encode"),
)


class Stages:
    """Takes the time of work in any number of threads: what one stage asks another for counts for the other.

    Args:
        device: where a GPU is waited for at the end of each piece of work, so that its time is that of what asked.

    Attributes:
        seconds: by stage.
    """

    def __init__(self, device: str = "cpu") -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._device = device
        self._lock = threading.Lock()
        self._mine = threading.local()  # for each piece of work under way, the seconds of what it asked others for

    @contextmanager
    def of(self, stage: str) -> Generator[None]:
        """Time of what is done here."""
        if not hasattr(self._mine, "others"):
            self._mine.others = []
        others: list[float] = self._mine.others
        others.append(0.0)
        started = time.perf_counter()
        try:
            yield
            if self._device.startswith("cuda"):
                torch.cuda.current_stream(self._device).synchronize()
        finally:
            took = time.perf_counter() - started
            with self._lock:
                self.seconds[stage] += took - others.pop()
            if others:
                others[-1] += took

    @contextmanager
    def watching(self) -> Generator[None]:
        """All films that are remastered meanwhile are watched."""
        frames = VideoReader.__iter__

        def read(reader: VideoReader) -> Iterator[Frame]:
            film = frames(reader)
            while True:
                with self.of("decode"):
                    frame = next(film, None)
                if frame is None:
                    return
                yield frame

        with ExitStack() as patches:
            patches.enter_context(patch.object(VideoReader, "__iter__", read))
            for owner, name, stage in _WORK:
                patches.enter_context(patch.object(owner, name, self._timed(stage, getattr(owner, name))))
            yield

    def _timed(self, stage: str, work: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(work)
        def timed(*arguments: Any, **named: Any) -> Any:
            with self.of(stage):
                return work(*arguments, **named)

        return timed
