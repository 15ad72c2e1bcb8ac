"""What may happen to a clip, and how strongly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from export.damage.chance import Range
from export.damage.kinds import KINDS, Kind
from vs_remaster.errors import InputError

STRUCTURAL = ("dust", "streaks", "blotches", "clusters", "hairs", "gate_hairs", "scratches", "splice")


@dataclass(frozen=True, kw_only=True)
class DamageSettings:
    """Ranges from which each clip draws its own damage.

    Counts are means of what is visible in one whole frame; a clip has each kind with the probability `chance`
    gives it and then draws its count as low + (high - low) * u^2, so that most clips are mildly damaged.
    """

    lines: Range = (240.0, 480.0)  # lines of the whole frame which a training crop is cut from
    density: float = 1.0  # factor on all counts
    severity: float = 1.0  # factor on the strength of flicker, grain, fading, weave
    clean: float = 0.15  # share of clips left undamaged
    sound: float = 0.1  # share of clips that have dirt and scratches and nothing else
    template: float = 0.7  # share of shapes taken from masks, where masks are given

    kinds: Mapping[str, Kind] = field(default_factory=lambda: KINDS)  # of dirt
    dust: Range = (0.5, 60.0)
    streaks: Range = (0.2, 10.0)  # short upright scratches of one frame
    blotches: Range = (0.05, 1.5)
    clusters: Range = (0.05, 0.8)  # sprays of specks and abrasions; masks only
    hairs: Range = (0.1, 2.5)
    gate_hairs: Range = (1.0, 6.0)  # more than films have: the view of few frames learns them slowly
    scratches: Range = (0.5, 6.0)
    splice: float = 0.03  # probability a frame
    flicker: Range = (0.01, 0.12)  # standard deviation of log gain
    gamma: Range = (0.0, 0.1)  # standard deviation of log gamma
    uneven: Range = (0.0, 0.05)  # standard deviation of the slow gain field across the frame
    fade_gain: Range = (0.85, 1.1)
    fade_lift: Range = (0.0, 0.06)
    vignette: Range = (0.0, 0.35)
    grain: Range = (0.01, 0.075)  # standard deviation at mid gray
    grain_size: Range = (0.2, 1.5)  # sigma, pixels; the low end is as good as white noise
    weave: Range = (0.3, 3.0)  # largest shift, pixels
    repeat: float = 0.05  # probability a frame
    blur: Range = (0.3, 1.4)  # sigma, pixels
    halo: Range = (0.1, 0.9)
    blocks: Range = (0.006, 0.09)  # quantiser step
    compressed: float = 0.6  # share of blurred clips compressed afterwards, which sharpening must not bring out
    chance: dict[str, float] = field(
        default_factory=lambda: {
            "dust": 0.9, "streaks": 0.6, "blotches": 0.6, "clusters": 0.35, "hairs": 0.6, "gate_hairs": 0.6,
            "scratches": 0.6, "splice": 0.1, "flicker": 0.75, "uneven": 0.6, "fade": 0.6, "vignette": 0.35,
            "grain": 0.9, "weave": 0.6, "repeat": 0.15, "blur": 0.4, "halo": 0.4, "blocks": 0.2,
        }
    )  # fmt: skip

    def only(self, *kinds: str) -> DamageSettings:
        """These settings with every kind but `kinds` switched off and no clean clips; for tests and pictures."""
        unknown = set(kinds) - set(self.chance)
        if unknown:
            raise InputError(f"unknown damage {sorted(unknown)}; choose from {sorted(self.chance)}")
        return replace(self, clean=0.0, sound=0.0, chance={k: float(k in kinds) for k in self.chance})

    def steady(self) -> DamageSettings:
        """These settings without weave and repeated frames, so that the clean clip's colours still fit the damaged
        one."""
        return replace(self, chance=self.chance | {"weave": 0.0, "repeat": 0.0})
