"""One film, from file to file."""

from __future__ import annotations

from .merging import merge_films
from .remastering import remaster_film
from .request import FilmRequest, Treatment, will_color
from .writing import Done, OutputOptions, ProgressCallback

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
