"""What a film is, and reading it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..system.lazy import face

if TYPE_CHECKING:
    from .info import ColorTags, VideoInfo
    from .planes import Frame, frame_of, planes_of
    from .reader import VideoReader

__all__ = ["ColorTags", "Frame", "VideoInfo", "VideoReader", "frame_of", "planes_of"]

__getattr__, __dir__ = face(
    __name__,
    {
        "info": "ColorTags VideoInfo",
        "planes": "Frame frame_of planes_of",
        "reader": "VideoReader",
    },
)
