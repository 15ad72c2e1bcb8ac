"""One film, from file to file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..system.lazy import face

if TYPE_CHECKING:
    from ..output.options import OutputOptions
    from .merging import merge_films
    from .remastering import remaster_film
    from .request import FilmRequest, Treatment, will_color
    from .writing import Done, ProgressCallback

__all__ = [
    "Done",
    "FilmRequest",
    "OutputOptions",
    "ProgressCallback",
    "Treatment",
    "merge_films",
    "remaster_film",
    "will_color",
]

__getattr__, __dir__ = face(
    __name__,
    {
        "merging": "merge_films",
        "remastering": "remaster_film",
        "request": "FilmRequest Treatment will_color",
        "writing": "Done OutputOptions ProgressCallback",
    },
)
