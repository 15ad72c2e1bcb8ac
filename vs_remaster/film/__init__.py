"""One film, from file to file."""

from __future__ import annotations

from .merging import merge_films
from .remastering import remaster_film, will_color
from .writing import Done, OutputOptions, Progress

__all__ = ["Done", "OutputOptions", "Progress", "merge_films", "remaster_film", "will_color"]
