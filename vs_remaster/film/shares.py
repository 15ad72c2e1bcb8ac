"""Which reference coloured what: the shares of every frame as a JSON file, written while the film goes by."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from ..errors import InputError
from ..references.reference import Reference
from ..remaster.picture import Picture
from ..system.files import OutputTaken, Part, check_replaceable, named_errors
from ..system.texts import parse_json, read_bytes


class SharesFile:
    """Takes pictures as they are finished, see `film.remaster_film`; the file appears when the film is complete.

    The file holds an object: `references`, what is known of each, and `frames`, for each frame its number and `shares`,
    pairs of a reference's number and its share of the frame's colour, 0..1. References that are not listed there were
    out of scope or not attended; what is left to 1 came from none.

    Args:
        path: where to write. None: nothing is written at all.
        references: those that are coloured from, in their order.
        overwrite: what lies there is replaced.

    Attributes:
        part: where the file lies until it has its name; None where there is none.

    Raises:
        InputError: on entering: the file exists, another run writes it; later: no space left, see also `Part`.
    """

    def __init__(self, path: Path | None, references: Sequence[Reference], *, overwrite: bool = False) -> None:
        self.path, self._overwrite = path, overwrite
        self.part: Path | None = None
        about = [
            {
                "name": r.name,
                "frame": r.frame,
                "weight": r.weight,
                "scope": r.scope,
                "origin": r.origin,
                "path": r.path and str(r.path),
            }
            for r in references
        ]
        self._file: TextIO | None = None
        self._head = f'{{"references": {json.dumps(about)},\n "frames": ['
        self._written = 0

    def __enter__(self) -> SharesFile:
        if self.path is None:
            return self
        check_replaceable(self.path, self._overwrite)
        self._output = Part(self.path, overwrite=self._overwrite)
        self.part = self._output.place
        with named_errors(self.path):
            self._file = self.part.open("w", encoding="utf-8")
            self._file.write(self._head)
        return self

    def __call__(self, picture: Picture) -> None:
        """Write the shares of one picture; nothing for one that was not coloured."""
        self.write(picture.index, shares_of(picture))

    def write(self, frame: int, shares: Sequence[tuple[int, float]] | None) -> None:
        """Write the shares of the frame of a number, see `shares_of`; nothing for None."""
        if self._file is None or shares is None:
            return
        line = json.dumps({"frame": frame, "shares": shares})
        with named_errors(self._output.path):
            self._file.write(f"{',' if self._written else ''}\n  {line}")
        self._written += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is None:
            return
        try:
            if kind is not None and not issubclass(kind, OutputTaken):
                with suppress(OSError):
                    self._file.close()
                return
            with named_errors(self._output.path), self._file:
                self._file.write("\n ]}\n")
            self._output.settle()
        finally:
            self._output.discard()


def read_shares(path: Path) -> tuple[list[dict[str, Any]], dict[int, list[tuple[str, float]]]]:
    """What a `SharesFile` holds: its references, and by number of the frame the names of references with their shares.

    Raises:
        InputError: it cannot be read.
    """
    try:
        held = parse_json(read_bytes(path))
        names = [one["name"] for one in held["references"]]
        frames = {one["frame"]: [(names[i], share) for i, share in one["shares"]] for one in held["frames"]}
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise InputError(f"{str(path)!r} cannot be read as shares of references ({error}): remove it") from error
    return held["references"], frames


def shares_of(picture: Picture) -> list[tuple[int, float]] | None:
    """Number and share of every reference that gave colour to a picture; None where it was not coloured."""
    if picture.shares is None:
        return None
    return [(i, round(share, 6)) for i, share in enumerate(picture.shares.tolist()) if share > 0]
