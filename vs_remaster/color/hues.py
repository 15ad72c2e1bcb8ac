"""Ranges of hue, and how strong the colours in them become; knows nothing of pictures, so that options load at once."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

_SOFT = 10.0  # degrees on each side of a border over which a range begins to act
_FORM = "FROM-TO:N,..., such as 330-30:1.2,90-150:0.7: degrees of hue, 0 to 360, and N of 0 or more"


class HueGain(NamedTuple):
    """How strong colours of a range of hue become.

    Hue is that of HSV, in degrees: red 0, yellow 60, green 120, cyan 180, blue 240, magenta 300. The range goes from
    `first` up to `last`, through 0 where `last` is smaller; at its borders it begins to act over 20 degrees. Where
    ranges overlap, what they add to 1 is added up.

    Attributes:
        first, last: 0..360.
        gain: 0 or more; 1 leaves the colours, 0 makes them gray.
    """

    first: float
    last: float
    gain: float

    @classmethod
    def all_of(cls, given: Any) -> tuple[HueGain, ...]:
        """Ranges as they were given: a text such as 330-30:1.2,90-150:0.7, or (first, last, gain) for each; those that
        change nothing are left out.

        Raises:
            InputError: with the value.
        """
        if given is None or isinstance(given, str):
            parts = [part for part in (given or "").split(",") if part.strip()]
            if not parts and (given or "").strip():
                raise InputError(f"saturation_hues must be {_FORM}, got {given!r}")
            return cls.all_of([cls._parsed(part) for part in parts])
        if not isinstance(given, Iterable):
            raise InputError(f"saturation_hues must be {_FORM}, got {given!r}")
        found = []
        for one in given:
            values = list(one) if isinstance(one, Iterable) and not isinstance(one, str | bytes) else []
            sound = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
            if len(values) != 3 or not sound or not all(map(math.isfinite, values)):
                raise InputError(f"saturation_hues must be {_FORM}, got {one!r}")
            first, last, gain = map(float, values)
            if not (0 <= first <= 360 and 0 <= last <= 360) or first == last or gain < 0:
                raise InputError(
                    f"saturation_hues must be {_FORM}, two different hues, got {first:g}-{last:g}:{gain:g}"
                )
            found.append(cls(first, last, gain))
        return tuple(one for one in found if one.gain != 1)

    @classmethod
    def _parsed(cls, text: str) -> tuple[float, float, float]:
        number = r"\s*([0-9]*\.?[0-9]+)\s*"
        match = re.fullmatch(f"{number}-{number}:{number}", text)
        if match is None:
            raise InputError(f"saturation_hues must be {_FORM}, got {text.strip()!r}")
        first, last, gain = map(float, match.groups())
        return first, last, gain

    def acts(self, hues: Tensor) -> Tensor:
        """How much it acts on hues in degrees, 0..1: a smooth step over each border."""
        half = (self.last - self.first) % 360 / 2 or 180.0
        middle = self.first + half
        away = ((hues - middle + 180) % 360 - 180).abs()
        soft = min(_SOFT, half, 180 - half)
        if soft == 0:
            return (away <= half).to(hues)
        x = ((half + soft - away) / (2 * soft)).clamp(0, 1)
        return x * x * (3 - 2 * x)
