"""The nodes for whole films: what each shows on the page, and thin calls into the modules beside this one.

Node ids, input ids and their order are for ever: saved graphs name them.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from comfy_api.latest import InputImpl, io, ui

from . import films, host, jobs, models, settings
from . import images as batches
from .library import errors, filming, remaster, stills
from .sockets import (
    automatic,
    bad_frames,
    clear,
    cuts,
    edges,
    frames_shown,
    levels,
    look,
    model,
    number,
    rules,
    scenes,
    schema,
    steering,
)

_UNPLUGGED = object()
"""Stands for a socket to which nothing is connected; of what is connected nothing is known before it has run."""


class RemasterPickReferences(io.ComfyNode):
    """Frames worth colouring."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "RemasterPickReferences",
            "Pick Frames to Colour",
            "key frames, keyframes, shots, colorize, old film",
            description="Picks frames worth colouring by hand or with an image-edit model: a sharp one of each shot, "
            "or as many as it takes to cover the film (coverage). A VIDEO is read frame by frame, twice; only what is "
            "picked is kept.",
            inputs=[
                io.Image.Input("images", optional=True, tooltip="Frames of a film in order; this or video."),
                io.Video.Input("video", optional=True, tooltip="A film; this or images."),
                number("count", settings.COUNT),
                number("coverage", settings.COVERAGE, optional=True),
                model("model", "colorizer"),
            ],
            outputs=[
                io.Image.Output("images", tooltip="The picked frames."),
                io.String.Output("frames", tooltip="Their numbers, comma separated: for reference_frames."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    @host.plain_errors
    def execute(
        cls,
        count: int,
        images: torch.Tensor | None = None,
        video: Any = None,
        coverage: float = 0.0,
        model: models.ModelChoice | None = None,
    ) -> io.NodeOutput:
        _check_one(images is not None, video is not None)
        name = "images"
        if video is not None and films.in_memory(video):
            name, images = "video", video.get_components().images
        choose = films.sharp_ones(count)
        if coverage:
            colorizer = models.colorizer(model, lines=stills.coverage.LINES)
            models.bring([colorizer], stills.coverage.LINES, stills.coverage.LINES * 16 // 9)
            choose = films.covering(count, coverage, colorizer)
        done = host.Progress(None, cls.hidden.unique_id).done
        if images is not None:
            out, chosen = films.pick_from_images(batches.checked(images, name), choose, host.check_interrupt, done)
        else:
            host.need("av")
            with films.film_of(video, ".mkv", host.scratch_folder()) as film:
                out, chosen = films.pick_from_film(film, choose, host.check_interrupt, done)
        return io.NodeOutput(out, ", ".join(map(str, chosen)))

    @classmethod
    def validate_inputs(cls, images: Any = _UNPLUGGED, video: Any = _UNPLUGGED) -> bool | str:
        """One of them."""
        return host.valid(lambda: _check_one(images is not _UNPLUGGED, video is not _UNPLUGGED))


def _check_one(images: bool, video: bool) -> None:
    if images == video:
        raise errors.InputError(f"plug in images or video, one of them; got {'both' if images else 'neither'}")


class RemasterVideo(io.ComfyNode):
    """A whole film."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "RemasterVideo",
            "Remaster Video",
            "denoise, dust, scratch, flicker, deflicker, restore, colorize, black and white, old film, video",
            description="Restores and colours a film of any length from file to file: memory does not grow with it, "
            "and sound, subtitles and times are kept. Give a VIDEO or a path, and references for colour.",
            inputs=[
                io.Video.Input("video", optional=True, tooltip="The film. Nothing plugged in: path is used."),
                io.String.Input(
                    "path",
                    default="",
                    tooltip="Used when no video is plugged in: the whole path of a film or of a folder of pictures, or "
                    "a name in ComfyUI's input folder.",
                ),
                io.Image.Input(
                    "references",
                    optional=True,
                    tooltip="Coloured pictures of the film's own scenes, as a batch. None: the film is restored only, "
                    "see automatic.",
                ),
                io.Boolean.Input("restore", default=True, tooltip="Remove dust, scratches, flicker, grain and blur."),
                io.Boolean.Input("colorize", default=True, tooltip="Colour the film from the references."),
                number("strength", settings.STRENGTH),
                number("grain", settings.GRAIN),
                number("saturation", settings.SATURATION),
                number("color_lines", settings.COLOR_LINES),
                scenes(),
                io.Combo.Input(
                    "codec",
                    options=list(settings.CODECS),
                    default=settings.CODEC,
                    tooltip="x264 and x265 write .mp4, ffv1 (lossless) .mkv, prores (4:2:2) and prores4444 .mov. The "
                    "page plays .mp4 only; sound and subtitles that the container cannot hold are named and left out: "
                    ".mkv holds all.",
                ),
                number("crf", settings.CRF),
                io.String.Input(
                    "filename_prefix",
                    default="video/remaster",
                    tooltip="Name of the file in ComfyUI's output folder, before its number; may hold folders.",
                ),
                model("restorer", "restorer"),
                model("colorizer", "colorizer"),
                rules(),
                levels(auto=True),
                number("sharpness", settings.SHARPNESS, optional=True),
                number("scale", settings.SCALE, optional=True),
                steering("repair"),
                steering("protect"),
                io.String.Input(
                    "masks",
                    default="",
                    optional=True,
                    placeholder="video/masks",
                    tooltip="Writes what was repaired, white on black, as a film (.mkv) of this name in ComfyUI's "
                    "output folder, before its number. Empty: none.",
                ),
                frames_shown(),
                number("start", settings.START, optional=True),
                number("end", settings.END, optional=True),
                number("tile", settings.TILE, optional=True),
                number("restore_lines", settings.LINES, optional=True),
                io.Combo.Input(
                    "unfinished",
                    options=list(settings.UNFINISHED),
                    default=settings.UNFINISHED[0],
                    optional=True,
                    tooltip="What becomes of films under the same filename_prefix that were begun with other settings "
                    "and cancelled. keep: they can still be finished; remove: their chunks are deleted.",
                ),
                automatic(),
                bad_frames(),
                number("steady", settings.STEADY, optional=True),
                edges("steady_edges"),
                cuts(),
                clear(),
                *look(),
            ],
            outputs=[
                io.Video.Output("video", tooltip="The remastered film, streamed from its file."),
                io.String.Output("path", tooltip="Where it lies."),
            ],
            hidden=[io.Hidden.unique_id, io.Hidden.prompt],
            is_output_node=True,
        )

    @classmethod
    @host.plain_errors
    def execute(
        cls,
        path: str,
        restore: bool,
        colorize: bool,
        strength: float,
        grain: float,
        saturation: float,
        color_lines: int,
        scenes: str,
        codec: str,
        crf: float,
        filename_prefix: str,
        video: Any = None,
        references: torch.Tensor | None = None,
        restorer: models.ModelChoice | None = None,
        colorizer: models.ModelChoice | None = None,
        reference_rules: str = "",
        levels: str = "",
        sharpness: float = settings.SHARPNESS.default,
        scale: int = int(settings.SCALE.default),
        repair: str = "",
        protect: str = "",
        masks: str = "",
        reference_frames: str = "",
        start: int = int(settings.START.default),
        end: int = int(settings.END.default),
        tile: int = int(settings.TILE.default),
        restore_lines: int = int(settings.LINES.default),
        unfinished: str = settings.UNFINISHED[0],
        automatic: bool = False,
        bad_frames: str = "",
        steady: float = settings.STEADY.default,
        steady_edges: str = settings.EDGES[0],
        cuts: str = "",
        reference_mask: torch.Tensor | None = None,
        saturation_hues: str = "",
        lut: str = "",
    ) -> io.NodeOutput:
        host.need("av")
        if scale > 1 and not restore:
            raise errors.InputError("scale 2 enlarges what was restored: switch restore on; strength 0 only enlarges")
        if levels.strip() and not restore:
            raise errors.InputError("levels are of restored luma: switch restore on; strength 0 changes nothing else")
        if any(text.strip() for text in (repair, protect, masks)) and not restore:
            raise errors.InputError("masks are of what is repaired: switch restore on; strength 0 only does repair")
        auto = levels.strip() == "auto"
        how = {"strength": strength, "grain": grain, "sharpness": sharpness, "scale": scale}
        how |= {"lines": restore_lines, "tile": tile}
        coloring: dict[str, Any] = {"saturation": saturation, "lines": color_lines, "automatic": automatic}
        coloring |= {"saturation_hues": saturation_hues, "lut": host.existing(lut, "lut") if lut.strip() else None}
        own = None if auto else remaster.Levels.parse(levels)
        suffix = settings.SUFFIXES[codec]
        with contextlib.ExitStack() as stack:
            if video is None:
                film = films.Film(host.existing(path, "path (no video is plugged in)"))
            else:
                film = stack.enter_context(films.film_of(video, suffix, host.scratch_folder()))
            film = film.part(start, end or None)
            given = []
            if references is not None and colorize:
                told = color_lines, reference_frames, reference_rules, reference_mask
                given = batches.references_of(references, *told, start=film.first)
            output, subfolder = host.output_file(filename_prefix, suffix)
            request = filming.FilmRequest(
                source=film.path,
                output=Path(output),
                restore=models.restorer(restorer, **how, levels=own) if restore else None,
                colorize=models.colorizer(colorizer, **coloring) if colorize else None,
                references=given,
                scenes=batches.scenes_of(settings.SCENES[scenes], cuts, film.first),
                write=filming.OutputOptions(codec=codec, crf=settings.crf_of(crf)),
                start=film.start,
                end=film.end,
                auto_levels=auto,
                prepare=settings.prepared(bad_frames, steady, steady_edges),
                masks=host.output_file(masks.strip(), ".mkv", "masks")[0] if masks.strip() else None,
                repair=host.existing(repair, "repair") if repair.strip() else None,
                protect=host.existing(protect, "protect") if protect.strip() else None,
            )
            output = jobs.output_begun(request)
            request = replace(request, output=output)
            text = jobs.remaster_video(request, cls.hidden.unique_id, remove=unfinished == "remove")
            if codec in settings.NOT_SAVED and host.copied_by_save_video(cls.hidden):
                text += f"; Save Video cannot save {codec}: set its codec to h264, or take the file that is there"
                host.say(text, cls.hidden.unique_id)
        host.made(cls.hidden.unique_id, output)
        return io.NodeOutput(InputImpl.VideoFromFile(str(output)), str(output), ui=_shown(output, subfolder, text))

    @classmethod
    def validate_inputs(
        cls,
        path: str | None = None,
        repair: str | None = None,
        protect: str | None = None,
        restore_lines: int | None = None,
        tile: int | None = None,
        video: Any = _UNPLUGGED,
        saturation_hues: str | None = None,
        lut: str | None = None,
    ) -> bool | str:
        """What can be known before the film's turn comes; what is plugged in is None."""

        def check() -> None:
            if video is _UNPLUGGED and path is not None:
                host.existing(path, "path (no video is plugged in)")
            for name, given in (("repair", repair), ("protect", protect)):
                if given and given.strip():
                    host.existing(given, name)
            remaster.RestoreOptions(lines=restore_lines or 0, tile=tile or 0)
            host.check_look(saturation_hues, lut)

        return host.valid(check)

    @classmethod
    def fingerprint_inputs(
        cls,
        path: str | None = None,
        repair: str | None = None,
        protect: str | None = None,
        lut: str | None = None,
        **_: Any,
    ) -> Any:
        """A film that was replaced since, masks that were painted over, a table, an output that was deleted."""
        files = tuple(host.stamp(one or "") for one in (path, repair, protect, lut))
        return *files, host.times_lost(cls.hidden.unique_id if cls.hidden else None)


def _shown(output: Any, subfolder: str, text: str) -> Any:
    """What the page shows: a player where it can play the file, else the line that says where it is."""
    if output.suffix != ".mp4":
        return ui.PreviewText(text)
    return ui.PreviewVideo([ui.SavedResult(output.name, subfolder, io.FolderType.output)])


class RemasterCompare(io.ComfyNode):
    """Before and after."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "RemasterCompare",
            "Compare Before and After",
            "compare, before after, side by side, old film",
            description="Shows frames of a film before and after side by side, evenly spread; only these are kept.",
            inputs=[
                io.Video.Input("before", tooltip="The film as it was."),
                io.Video.Input("after", tooltip="What was made of it: video of Remaster Video."),
                number("shown", settings.SHOWN),
                number("start", settings.START),
            ],
            outputs=[
                io.Image.Output("images", tooltip="Before on the left, after on the right."),
                io.Image.Output("before", tooltip="The frames before, at the size of those after."),
                io.Image.Output("after", tooltip="The frames after."),
            ],
            is_output_node=True,
        )

    @classmethod
    @host.plain_errors
    def execute(cls, before: Any, after: Any, shown: int, start: int) -> io.NodeOutput:
        host.need("av")
        with (
            films.film_of(before, ".mkv", host.scratch_folder()) as film,
            films.film_of(after, ".mkv", host.scratch_folder()) as made,
        ):
            was, became = films.frames_of_both(film.part(start, None), made, shown, host.check_interrupt)
        both = torch.cat((was, became), 2)
        return io.NodeOutput(both, was, became, ui=ui.PreviewImage(both, cls=cls))
