"""What a film is, and reading it."""

from __future__ import annotations

from .info import ColorTags, VideoInfo
from .planes import Frame, frame_of, planes_of
from .reader import VideoReader

__all__ = ["ColorTags", "Frame", "VideoInfo", "VideoReader", "frame_of", "planes_of"]
