"""Inputs that several nodes have."""

from __future__ import annotations

import dataclasses
from typing import Any

from comfy_api.latest import io

from . import settings

CATEGORY = "remaster"
_STEER = {
    "repair": "White where there is damage, whatever the network thinks.",
    "protect": "White where the picture stays as it was; it wins over repair.",
}
Model = io.Custom("REMASTER_MODEL")
"""The type of what `RemasterLoadModel` hands on, a `models.ModelChoice` of either kind: only older graphs have it."""
RESTORER, COLORIZER = "REMASTER_RESTORER", "REMASTER_COLORIZER"


def schema(node_id: str, display_name: str, aliases: str, **fields: Any) -> io.Schema:
    """A schema; `aliases`: what else the search of the page finds the node by, where this ComfyUI knows of that."""
    if any(field.name == "search_aliases" for field in dataclasses.fields(io.Schema)):
        fields["search_aliases"] = aliases.split(", ")
    return io.Schema(node_id=node_id, display_name=display_name, category=CATEGORY, **fields)


def number(name: str, setting: settings.Number, optional: bool = False) -> io.Input:
    """An input for a number; `optional`: one that saved graphs may be without."""
    kind = io.Int if isinstance(setting.default, int) else io.Float
    return kind.Input(
        name, optional=optional, default=setting.default, min=setting.low, max=setting.high, step=setting.step,
        tooltip=setting.tooltip,
    )  # fmt: skip


def scenes() -> io.Input:
    """Where the cuts are."""
    return io.Combo.Input(
        "scenes",
        options=list(settings.SCENES),
        default=settings.SCENES_DEFAULT,
        tooltip="detect: cuts are found, and no frame is mixed with those of another shot; none: all frames are one "
        "shot, for a batch that is.",
    )


def cuts() -> io.Input:
    """Where the cuts are, by a list."""
    return io.String.Input(
        "cuts",
        default="",
        optional=True,
        placeholder="25, 140",
        tooltip="Numbers of the frames that start a shot, from 0: of a list that is known, in place of scenes. Empty: "
        "scenes says.",
    )


def frames_shown() -> io.Input:
    """Which frames references show."""
    return io.String.Input(
        "reference_frames",
        default="",
        optional=True,
        placeholder="0, 120, 340",
        tooltip="The number of the frame that each reference shows, from 0, in the references' order; - where it is "
        "not known: frames of Pick Frames to Colour, Load References or Save References. May stay empty.",
    )


def rules() -> io.Input:
    """Weights and scopes of references."""
    return io.String.Input(
        "reference_rules",
        default="",
        optional=True,
        multiline=True,
        tooltip="How much each reference counts and where it acts, one [[reference]] entry each in their order, as in "
        "references.toml: the rules of Load References. Empty: all alike, in the whole film.",
    )


def levels(auto: bool) -> io.Input:
    """Black point, white point and gamma; `auto`: those of whole shots can be found."""
    found = " auto: found in each shot, so that a faded film gets the contrast of a good print." if auto else ""
    return io.String.Input(
        "levels",
        default="",
        optional=True,
        placeholder="auto" if auto else "0.1, 0.85",
        tooltip="LOW, HIGH or LOW, HIGH, GAMMA: luma of the restored picture, 0 to 1, that becomes black and white; a "
        f"gamma above 1 brightens what lies between.{found} Empty: the luma stays as it is.",
    )


def bad_frames() -> io.Input:
    """Frames that are made anew."""
    return io.String.Input(
        "bad_frames",
        default="",
        optional=True,
        placeholder="120, 341-343",
        tooltip="Numbers, from 0, of frames that are lost (torn, black, garbage): they are made anew from those around "
        "them. Up to four in a row.",
    )


def edges(name: str) -> io.Input:
    """What becomes of the edge of a steadied picture."""
    return io.Combo.Input(
        name,
        options=list(settings.EDGES),
        default=settings.EDGES[0],
        optional=True,
        tooltip="Where a moved frame ends: fill shows what the frames beside it show there; crop cuts the edge off.",
    )


def mask(name: str) -> io.Input:
    """Where pictures are to be repaired, or not."""
    told = f"{_STEER[name]} One mask for each frame, or one for all; of any size."
    return io.Mask.Input(name, optional=True, tooltip=told)


def look() -> list[io.Input]:
    """What is done to colours when they are made."""
    return [
        io.String.Input(
            "saturation_hues",
            default="",
            optional=True,
            placeholder="330-30:1.2, 90-150:0.7",
            tooltip="How strong colours of a range of hue become, FROM-TO:N in degrees (red 0, yellow 60, green 120, "
            "cyan 180, blue 240, magenta 300): 1 leaves them, 0 is gray. Empty: all alike.",
        ),
        io.String.Input(
            "lut",
            default="",
            optional=True,
            placeholder="looks/warm.cube",
            tooltip="A look-up table for the colours, a .cube file: the whole path, or a name in ComfyUI's input "
            "folder. Luma stays what it is. Empty: none.",
        ),
    ]


def clear() -> io.Input:
    """Where references are transparent."""
    return io.Mask.Input(
        "reference_mask",
        optional=True,
        tooltip="1 where the references are transparent, as Load Image and Load References give it: there they give no "
        "colour, so you can paint one coat and leave the rest clear. One mask for each, or one for all.",
    )


def steering(name: str) -> io.Input:
    """The same as files."""
    return io.String.Input(
        name,
        default="",
        optional=True,
        tooltip=_STEER[name] + " A video of masks, a picture, or a folder of pictures with frame numbers in their "
        "names: the whole path, or a name in ComfyUI's input folder. Empty: none.",
    )


def model(name: str, network: str) -> io.Input:
    """A model of one kind, or none."""
    kind = {"restorer": RESTORER, "colorizer": COLORIZER}[network]
    return io.Custom(f"{kind},{Model.io_type}").Input(
        name,
        optional=True,
        tooltip=f"A {network} from Load {network.capitalize()}. Nothing plugged in: the best one shipped for this "
        "machine.",
    )


def automatic() -> io.Input:
    """Whether colours are guessed where nothing says them."""
    return io.Boolean.Input(
        "automatic",
        default=False,
        optional=True,
        tooltip="Guess colours for frames that no reference acts on, all where there are no references: modestly, and "
        "often wrongly. Off: those stay gray.",
    )
