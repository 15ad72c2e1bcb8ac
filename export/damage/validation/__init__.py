"""Damage that networks are validated on: sets with names, frozen, so that figures stay comparable.

Their figures are spelt out here and do not follow the training's settings. A test holds a figure of each set: if it
moves, the model cards have to be measured again.
"""

from export.damage.validation.frozen import VALIDATION
from export.damage.validation.sets import ALONE, SETS, VALIDATION_EDGE, VALIDATION_FRAMES, validation_clip

__all__ = ["ALONE", "SETS", "VALIDATION", "VALIDATION_EDGE", "VALIDATION_FRAMES", "validation_clip"]
