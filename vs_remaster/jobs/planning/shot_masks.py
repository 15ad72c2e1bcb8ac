"""Masks that a person gives for the shots of a film."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import InputError
from ...film.masks import Given, Masks
from ...system import texts
from .shot_settings import ShotSettings


@dataclass(frozen=True)
class ShotMasks:
    """Which masks act in which shot.

    Attributes:
        found: all there are, by name.
        names: of every shot those of what is repaired and what is protected; None: without.
    """

    found: dict[str, Masks]
    names: Sequence[tuple[str | None, str | None]]

    def digest(self, name: str | None, first: int, last: int) -> str:
        """See `Masks.digest`; empty without."""
        return self.found[name].digest(first, last) if name else ""


def find_masks(settings: Sequence[ShotSettings], given: Given, folder: Path, frames: int | None) -> ShotMasks:
    """Find the masks of a film and of its shots.

    Args:
        settings: of every shot.
        given: those of the film.
        folder: of the job: paths in `settings` begin there, and must not leave it.
        frames: of the film, as far as they are known, see `Masks.check`.

    Raises:
        InputError: a shot names masks that are not there, elsewhere, or of frames that the film has not.
    """
    found: dict[str, Masks] = {}

    def held(masks: Masks) -> str:
        name = str(masks.path.absolute())
        if name not in found:
            masks.check(frames)
            found[name] = masks
        return name

    def of(number: int, kind: str, named: str | None, film: Masks | None) -> str | None:
        if named is None:
            return held(film) if film else None
        instead = f"put it there, or give it to all shots with --{kind}"
        path = texts.inside(folder / "shots.toml", named, f"shot {number}: {kind}", instead)
        return held(Masks(path, f"shot {number}: {kind}"))

    names = [
        (of(number, "repair", shot.repair, given.repair), of(number, "protect", shot.protect, given.protect))
        for number, shot in enumerate(settings, 1)
    ]
    return ShotMasks(found, names)


def refuse_masks(settings: Sequence[ShotSettings], where: Path) -> None:
    """Refuse masks in shots of a film that is not restored.

    Raises:
        InputError: with the first.
    """
    for number, shot in enumerate(settings, 1):
        if shot.repair or shot.protect:
            name = "repair" if shot.repair else "protect"
            raise InputError(f"{where}, shot {number} names {name}, but the film is not restored: take it out")
