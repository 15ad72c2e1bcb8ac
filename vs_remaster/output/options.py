"""How a film is written."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """How to write.

    Attributes:
        codec: one of `output.CODECS`.
        crf: quality of x264 and x265, lower is better; None: 17 and 19.
        overwrite: replace an output that exists.
        bits: a sample; None: as many as the film has, or the next that the codec takes.
        timecode: HH:MM:SS:FF of the first frame written; None: as it is in the film, if it has one.
    """

    codec: str = "x264"
    crf: float | None = None
    overwrite: bool = False
    bits: int | None = None
    timecode: str | None = None
