"""What a film is, and reading it."""

from __future__ import annotations

from .info import ColorTags, VideoInfo
from .planes import Frame
from .reader import VideoReader

__all__ = ["ColorTags", "Frame", "VideoInfo", "VideoReader"]
