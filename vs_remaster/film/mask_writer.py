"""What was repaired, as a film of its own or a folder of pictures."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

import av
import cv2
import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..output.formats import picture_stranger
from ..remaster.picture import Picture
from ..system.files import Atomic, OutputTaken, Part, check_replaceable, named_errors
from ..video.containers import media_url
from ..video.info import VideoInfo


class MaskWriter(Atomic):
    """Takes pictures as they are finished, see `film.remaster_film`, and writes their masks: gray of 8 bits, white
    where a pixel was filled. It appears when the film is complete.

    Args:
        path: .mkv for a film (FFV1) with the times of the other one; without an ending a folder of pictures
            `frame_000120.png`, named by the number of the frame. None: nothing is written at all.
        info: the film that is remastered.
        scale: how many times as wide and high as that the masks are.
        overwrite: what lies there is replaced.

    Attributes:
        part: where it lies until it has its name; None where there is none.

    Raises:
        InputError: another ending; on entering: something lies there, another run writes it; later: no space left, see
            also `Part`.
    """

    def __init__(self, path: Path | None, info: VideoInfo, scale: int = 1, *, overwrite: bool = False) -> None:
        self.path, self.info, self._overwrite = path, info, overwrite
        self.size = scale * info.height, scale * info.width
        self.part: Path | None = None
        self._output: Part | None = None
        self._container: Any = None
        self._done = False
        check_masks(path, overwrite)

    def __enter__(self) -> MaskWriter:
        if self.path is None:
            return self
        folder = not self.path.suffix
        self._output = Part(self.path, folder=folder, overwrite=self._overwrite, strangers=picture_stranger)
        self.part = self._output.place
        if not folder:
            try:
                with named_errors(self.path):
                    self._container = av.open(media_url(self.part), "w", format="matroska")
                    self._stream = self._container.add_stream("ffv1", rate=self.info.fps)
                    self._stream.height, self._stream.width = self.size
                    self._stream.pix_fmt = "gray"
                    self._stream.time_base = self._stream.codec_context.time_base = self.info.time_base
                    self._stream.codec_context.color_range = 2  # the whole range
                    self._stream.codec_context.sample_aspect_ratio = self.info.sar
            except BaseException:
                self.abort()
                raise
        return self

    def __call__(self, picture: Picture) -> None:
        """Write the mask of one picture."""
        if self._output is None:
            return
        self.write(picture.index, picture.payload.pts, mask_codes(picture.mask, self.size))

    def write(self, number: int, time: int | None, codes: np.ndarray) -> None:
        """Write the mask of the frame of a number, in code values `[H, W]` uint8; `time`: in ticks of the film."""
        if self._output is None or self.path is None:
            return
        with named_errors(self.path):
            if self._container is None:
                data = cv2.imencode(".png", codes)[1]
                (self._output.place / f"frame_{number:06d}.png").write_bytes(data.tobytes())
                return
            frame = av.VideoFrame.from_ndarray(codes, format="gray")
            frame.pts, frame.time_base = time, self.info.time_base
            self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        """Give it its name."""
        if self._done or self._output is None or self.path is None:
            return
        try:
            with named_errors(self.path):
                if self._container is not None:
                    self._container.mux(self._stream.encode(None))
                    self._container.close()
            self._output.settle()
        except BaseException:
            self.abort()
            raise
        self._done = True

    def abort(self) -> None:
        """Stop and remove what has been written."""
        if self._done or self._output is None:
            return
        self._done = True
        if self._container is not None:
            self._container.close()
        self._output.discard()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # where the film has another name than was asked for, it is whole, and so is this
        super().__exit__(None if kind and issubclass(kind, OutputTaken) else kind, error, trace)


def check_masks(path: Path | None, overwrite: bool) -> None:
    """Refuse a place where masks cannot be written.

    Raises:
        InputError: another ending, or something lies there.
    """
    if path is None:
        return
    if path.suffix.lower() not in ("", ".mkv"):
        raise InputError(f"masks are written as .mkv or, without an ending, as a folder of pictures, got {str(path)!r}")
    if path.suffix:
        check_replaceable(path, overwrite)
        return
    if path.is_dir() and (not overwrite or (stranger := picture_stranger(path))):
        told = f"holds {stranger!r}, which is no picture of a film" if overwrite else "exists: --overwrite replaces it"
        raise InputError(f"{path} {told}")


def mask_codes(mask: Tensor | None, size: tuple[int, int]) -> np.ndarray:
    """A mask `[1, H, W]`, 0..1, as code values `[H, W]`; black where there is none."""
    if mask is None:
        return np.zeros(size, np.uint8)
    return (mask[0].float().clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
