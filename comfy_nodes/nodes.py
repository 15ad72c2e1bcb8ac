"""The nodes for IMAGEs: what each shows on the page, and thin calls into the modules beside this.

Node ids, input ids and their order are for ever: saved graphs name them.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import torch
from comfy_api.latest import ComfyExtension, io

from . import host, models, settings
from . import images as batches
from .film_nodes import RemasterCompare, RemasterPickReferences, RemasterVideo
from .library import errors, filming, remaster
from .model_nodes import RemasterLoadColorizer, RemasterLoadModel, RemasterLoadRestorer
from .reference_nodes import RemasterAlignReferences, RemasterLoadReferences, RemasterLoadSample, RemasterSaveReferences
from .sockets import (
    automatic,
    bad_frames,
    clear,
    cuts,
    edges,
    frames_shown,
    levels,
    look,
    mask,
    model,
    number,
    rules,
    scenes,
    schema,
)


class RemasterRestore(io.ComfyNode):
    """Restores a batch."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "RemasterRestore",
            "Restore Film",
            "denoise, dust, scratch, dirt, grain, flicker, deflicker, restore, restoration, upscale, old film",
            description="Removes dust, scratches, flicker, grain and blur from frames of a film, looking at the frames "
            "before and after each. Colours stay; under repaired damage they are filled in.",
            inputs=[
                io.Image.Input(
                    "images",
                    tooltip="Frames of a film in order, black and white or colour. One picture works too, but has no "
                    "neighbours to look at. Alpha is dropped.",
                ),
                number("strength", settings.STRENGTH),
                number("grain", settings.GRAIN),
                number("lines", settings.LINES),
                number("tile", settings.TILE),
                scenes(),
                model("model", "restorer"),
                levels(auto=False),
                number("sharpness", settings.SHARPNESS, optional=True),
                number("scale", settings.SCALE, optional=True),
                mask("repair"),
                mask("protect"),
                cuts(),
            ],
            outputs=[
                io.Image.Output("images", tooltip="The restored frames, at scale 2 of twice the size."),
                io.Mask.Output("mask", tooltip="1 where damage was repaired; as large as the frames."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    @host.plain_errors
    def execute(
        cls,
        images: torch.Tensor,
        strength: float,
        grain: float,
        lines: int,
        tile: int,
        scenes: str,
        model: models.ModelChoice | None = None,
        levels: str = "",
        sharpness: float = settings.SHARPNESS.default,
        scale: int = int(settings.SCALE.default),
        repair: torch.Tensor | None = None,
        protect: torch.Tensor | None = None,
        cuts: str = "",
    ) -> io.NodeOutput:
        batch = batches.shaped(images, "images")
        restorer = models.restorer(
            model,
            strength=strength,
            grain=grain,
            sharpness=sharpness,
            scale=scale,
            levels=remaster.Levels.parse(levels),
            lines=lines,
            tile=tile,
        )
        models.bring([restorer], *batch.shape[1:3])
        done = host.Progress(len(batch), cls.hidden.unique_id).done
        given = {"repair": repair, "protect": protect}
        shots = batches.scenes_of(settings.SCENES[scenes], cuts)
        return io.NodeOutput(*batches.restore(batch, restorer, shots, host.check_interrupt, done, **given))

    @classmethod
    def validate_inputs(cls, lines: int | None = None, tile: int | None = None) -> bool | str:
        """What no smallest value can say."""
        return host.valid(lambda: remaster.RestoreOptions(lines=lines or 0, tile=tile or 0))


class RemasterSteady(io.ComfyNode):
    """Steadies a batch."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "RemasterSteady",
            "Steady Film",
            "stabilize, stabilise, gate weave, jitter, shake, bad frames, lost frames, old film",
            description="Takes the weave of film in the gate out of its frames, leaves the camera's own motion, and "
            "makes lost frames anew. It comes before Restore Film.",
            inputs=[
                io.Image.Input("images", tooltip="Frames of a film in order. Alpha is dropped."),
                number("strength", replace(settings.STEADY, default=1.0)),
                edges("edges"),
                bad_frames(),
                scenes(),
            ],
            outputs=[io.Image.Output("images", tooltip="The steadied frames; with crop smaller ones.")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    @host.plain_errors
    def execute(
        cls, images: torch.Tensor, strength: float, scenes: str, edges: str = "fill", bad_frames: str = ""
    ) -> io.NodeOutput:
        options = settings.prepared(bad_frames, strength, edges)
        done = host.Progress(len(images), cls.hidden.unique_id).done
        return io.NodeOutput(batches.steady(images, options, settings.SCENES[scenes], host.check_interrupt, done))


class RemasterReferenceColorize(io.ComfyNode):
    """Colours a batch from references."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "RemasterReferenceColorize",
            "Reference Colorize",
            "colorize, colorization, colourise, black and white, old film, reference",
            description="Carries the colours of any number of reference pictures through the frames of a film. The "
            "luma of the frames is kept, their own colours are replaced.",
            inputs=[
                io.Image.Input("images", tooltip="Frames of a film in order. Alpha is dropped."),
                io.Image.Input(
                    "references",
                    optional=True,
                    tooltip="Coloured pictures of the film's own scenes, one for each setting, say; of any size, as "
                    "a batch. Alpha is dropped; reference_mask says what is clear. None: see automatic.",
                ),
                number("saturation", settings.SATURATION),
                number("color_lines", settings.COLOR_LINES),
                scenes(),
                frames_shown(),
                model("model", "colorizer"),
                rules(),
                automatic(),
                cuts(),
                clear(),
                *look(),
            ],
            outputs=[
                io.Image.Output("images", tooltip="The coloured frames."),
                io.String.Output(
                    "weights",
                    tooltip="JSON: for each frame a list of how much of its colour every reference gave, 0..1; what is "
                    "left to 1 came from none of them.",
                ),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    @host.plain_errors
    def execute(
        cls,
        images: torch.Tensor,
        saturation: float,
        color_lines: int,
        scenes: str,
        references: torch.Tensor | None = None,
        reference_frames: str = "",
        model: models.ModelChoice | None = None,
        reference_rules: str = "",
        automatic: bool = False,
        cuts: str = "",
        reference_mask: torch.Tensor | None = None,
        saturation_hues: str = "",
        lut: str = "",
    ) -> io.NodeOutput:
        batch = batches.shaped(images, "images")
        told = color_lines, reference_frames, reference_rules, reference_mask
        given = [] if references is None else batches.references_of(references, *told)
        how: dict[str, Any] = {"saturation": saturation, "lines": color_lines, "automatic": automatic}
        how |= {"saturation_hues": saturation_hues, "lut": host.existing(lut, "lut") if lut.strip() else None}
        colorizer = models.colorizer(model, **how)
        if not filming.will_color(colorizer, given):
            raise errors.InputError(
                "no references are plugged in: plug in coloured pictures, or switch automatic on, which guesses"
            )
        models.bring([colorizer], *batch.shape[1:3])
        done = host.Progress(len(batch), cls.hidden.unique_id).done
        notes = [batches.references_beyond(given, len(batch)), batches.gray_text(given)]
        if text := "; ".join(filter(None, notes)):
            host.say(text, cls.hidden.unique_id)
        shots = batches.scenes_of(settings.SCENES[scenes], cuts)
        out, shares = batches.colorize(batch, given, colorizer, shots, host.check_interrupt, done)
        return io.NodeOutput(out, json.dumps(shares))

    @classmethod
    def validate_inputs(
        cls, reference_frames: str | None = None, saturation_hues: str | None = None, lut: str | None = None
    ) -> bool | str:
        """What can be known before there are pictures."""

        def check() -> None:
            batches.frame_list(reference_frames or "", "reference_frames")
            host.check_look(saturation_hues, lut)

        return host.valid(check)

    @classmethod
    def fingerprint_inputs(cls, lut: str | None = None, **_: Any) -> Any:
        """A table that was replaced since."""
        return host.stamp(lut or "")


class RemasterMergeLab(io.ComfyNode):
    """Luma of one batch, colours of another."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "RemasterMergeLab",
            "Merge Luma and Colour",
            "luma, chroma, colour transfer, lab, old film",
            description="Gives each frame the colours of the frame with its number in another batch of any size; "
            "where that is smaller, the edges of its colours follow the luma. The luma is kept.",
            inputs=[
                io.Image.Input("luma", tooltip="The frames whose luma is kept."),
                io.Image.Input(
                    "chroma", tooltip="As many frames, of any size, whose colours are taken: the same film coloured."
                ),
                number("weight", settings.WEIGHT),
            ],
            outputs=[io.Image.Output("images", tooltip="Frames of the size of `luma`.")],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    @host.plain_errors
    def execute(cls, luma: torch.Tensor, chroma: torch.Tensor, weight: float) -> io.NodeOutput:
        done = host.Progress(len(luma), cls.hidden.unique_id).done
        return io.NodeOutput(batches.merge(luma, chroma, weight, host.check_interrupt, done))


class Remaster(ComfyExtension):
    """All nodes of this pack."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        models.register_folder()
        return [
            RemasterLoadRestorer,
            RemasterLoadColorizer,
            RemasterLoadModel,
            RemasterRestore,
            RemasterSteady,
            RemasterReferenceColorize,
            RemasterMergeLab,
            RemasterLoadReferences,
            RemasterSaveReferences,
            RemasterLoadSample,
            RemasterPickReferences,
            RemasterAlignReferences,
            RemasterVideo,
            RemasterCompare,
        ]
