"""Writing a film: codecs, containers, and the streams that are carried over."""

from __future__ import annotations

from .codecs import CODECS, TABLE
from .formats import OutputFormat, check_output, output_format
from .pictures import PictureWriter
from .writer import DEFAULT_CRF, VideoWriter, open_writer

__all__ = [
    "CODECS",
    "DEFAULT_CRF",
    "TABLE",
    "OutputFormat",
    "PictureWriter",
    "VideoWriter",
    "check_output",
    "open_writer",
    "output_format",
]
