"""Writes the frames of a film as a folder of pictures."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from ..errors import InputError, RemasterError
from ..system.files import Atomic, Part, named_errors
from ..video.dpx import encode_dpx
from ..video.folder import log
from ..video.info import VideoInfo
from ..video.planes import Frame
from ..video.timecode import Timecode
from .codecs import codec_info
from .dropped import warn_of_pictures
from .formats import OutputFormat, check_output, picture_stranger


class PictureWriter(Atomic):
    """Writes frames as pictures named by their number in the film, `frame_000120.png`.

    Args:
        path: the folder to make.
        info: the film the frames come from.
        out: gray or rgb of a depth that the codec has.
        codec: png, tiff (not compressed) or dpx.
        overwrite: replace a folder that holds such pictures and nothing else.
        timecode: of the first frame; only DPX has a place for it.

    Attributes:
        part: where the pictures lie until the folder has its name.

    Raises:
        InputError: see `check_output`; while writing: no space left, permission denied.
    """

    def __init__(
        self,
        path: Path | str,
        info: VideoInfo,
        out: OutputFormat,
        *,
        codec: str = "png",
        overwrite: bool = False,
        timecode: Timecode | None = None,
    ) -> None:
        self.path, self.out, self.codec = Path(path), out, codec
        check_output(self.path, codec, overwrite, info.path)
        self._info, self._timecode = info, timecode
        self._extension = codec_info(codec).extension
        warn_of_pictures(info, codec)
        if timecode and codec != "dpx":
            log.warning("timecode %s is left out: %s pictures cannot hold it, dpx can", timecode, codec)
        self._sizes = out.plane_sizes
        self._count = 0
        self._first: int | None = None
        self._even = True  # no frame is shown a frame too early or too late
        self._done = False
        self._output = Part(self.path, folder=True, overwrite=overwrite, strangers=picture_stranger)
        self.part = self._output.place

    def write(self, frame: Frame) -> None:
        """Write one picture; see `VideoWriter.write`."""
        if [plane.shape for plane in frame.planes] != self._sizes:
            raise InputError(f"planes must be {self._sizes}, got {[plane.shape for plane in frame.planes]}")
        with named_errors(self.path):
            (self.part / f"frame_{frame.index:06d}{self._extension}").write_bytes(self._encode(frame))
        if frame.pts is not None:
            self._first = frame.pts if self._first is None else self._first
            away = (frame.pts - self._first) * self._info.time_base * self._info.fps - self._count
            self._even = self._even and abs(away) < 1
        self._count += 1

    def _encode(self, frame: Frame) -> bytes:
        if self.codec == "dpx":
            timecode = self._timecode + self._count if self._timecode else None
            return encode_dpx(frame.planes, self.out, self._info, timecode)
        samples = frame.planes[0] if self.out.kind == "gray" else np.dstack(frame.planes[::-1])
        plain = [cv2.IMWRITE_TIFF_COMPRESSION, cv2.IMWRITE_TIFF_COMPRESSION_NONE] if self.codec == "tiff" else []
        whole, data = cv2.imencode(self._extension, samples, plain)
        if not whole:
            raise RemasterError(f"cannot encode frame {frame.index} as {self.codec}")
        return data.tobytes()

    def close(self) -> None:
        """Give the folder its name.

        Raises:
            InputError: no frame was written, no space left; something has got that name meanwhile, see `Part`.
        """
        if self._done:
            return
        try:
            if not self._count:
                raise InputError(f"no frames for {self.path}: nothing is written")
            self._output.settle()
            if not self._even:
                log.warning("frame times that follow no one rate are left out: a folder of pictures cannot hold them")
        except BaseException:
            self.abort()
            raise
        self._done = True

    def abort(self) -> None:
        """Stop and remove what has been written."""
        if not self._done:
            self._done = True
            self._output.discard()
