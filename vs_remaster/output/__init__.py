"""Writing a film: codecs, containers, and the streams that are carried over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..system.lazy import face

if TYPE_CHECKING:
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

__getattr__, __dir__ = face(
    __name__,
    {
        "codecs": "CODECS TABLE",
        "formats": "OutputFormat check_output output_format",
        "pictures": "PictureWriter",
        "writer": "DEFAULT_CRF VideoWriter open_writer",
    },
)
