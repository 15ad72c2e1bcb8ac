"""One film, from file to file."""

from __future__ import annotations

from .merging import merge_films
from .remastering import remaster_film
from .writing import Done, OutputOptions

__all__ = ["Done", "OutputOptions", "merge_films", "remaster_film"]
