"""The nodes for folders of references: what each shows on the page, and thin calls into the modules beside this.

Node ids, input ids and their order are for ever: saved graphs name them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch
from comfy_api.latest import InputImpl, io, ui

from . import films, host, models, settings
from . import images as batches
from .library import errors, references, stills
from .sockets import model, number, schema

_SAMPLE = Path(__file__).with_name("sample")


class RemasterLoadReferences(io.ComfyNode):
    """A folder of pictures as a batch."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "RemasterLoadReferences",
            "Load References",
            "load images, folder, colour references, colorize",
            description="Loads the pictures of a folder as one batch, ordered by the frame number in their names. All "
            "get the size of the largest: smaller ones are fitted inside and their borders extended.",
            inputs=[
                io.Combo.Input(
                    "folder",
                    options=host.picture_folders(),
                    tooltip="A folder of pictures in ComfyUI's input folder, or in its output folder (marked). New "
                    "ones: press R. The last number in a picture's name is the frame it shows.",
                ),
                io.String.Input(
                    "path",
                    default="",
                    optional=True,
                    placeholder="/film/references",
                    tooltip="The whole path of another folder, used in place of folder; path of Save References goes "
                    "in here. Empty: folder is used.",
                ),
            ],
            outputs=[
                io.Image.Output("references", tooltip="The pictures, for references of the other nodes."),
                io.String.Output("names", tooltip="Their file names, one a line."),
                io.String.Output(
                    "frames",
                    tooltip="The frame numbers in their names, comma separated, - where there is none; empty where no "
                    "name has one. For reference_frames.",
                ),
                io.String.Output(
                    "rules",
                    tooltip="What the folder's references.toml says of their weights and scopes, in their order; empty "
                    "where it says nothing. For reference_rules.",
                ),
                io.Mask.Output("mask", tooltip="1 where a picture is transparent. For reference_mask."),
            ],
        )

    @classmethod
    @host.plain_errors
    def execute(cls, folder: str, path: str = "") -> io.NodeOutput:
        host.need("cv2")
        given = references.load_references(_place(folder, path))
        names = "\n".join(reference.name for reference in given)
        frames = batches.write_numbers([reference.frame for reference in given])
        pictures, mask = batches.one_size(given)
        return io.NodeOutput(pictures, names, frames, references.rules_text(given), mask)

    @classmethod
    def validate_inputs(cls, folder: str | None = None, path: str | None = None) -> bool | str:
        """Also saved graphs name folders that are in no list."""
        if folder is None or path is None:
            return True  # what is plugged in is not known yet
        return host.valid(lambda: _place(folder, path))

    @classmethod
    def fingerprint_inputs(cls, folder: str | None = None, path: str | None = None, **_: Any) -> Any:
        """Pictures that were added or painted over since."""
        return host.stamp(path or folder or "")


def _place(folder: str, path: str) -> Any:
    return host.existing(path, "path") if path.strip() else host.existing(folder, "folder")


class RemasterSaveReferences(io.ComfyNode):
    """A batch as a folder of pictures."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "RemasterSaveReferences",
            "Save References",
            "save images, folder, colour references, colorize",
            description="Saves coloured pictures into a folder with the number of the frame that each shows, for Load "
            "References and the command line; also frames that you will colour by hand.",
            inputs=[
                io.Image.Input("images", tooltip="The pictures, as they came from Pick Frames to Colour or coloured."),
                io.String.Input(
                    "frames",
                    default="",
                    tooltip="The frame that each of them shows, as in 30, 43: frames of Pick Frames to Colour or Load "
                    "References. - or empty where it is not known.",
                ),
                io.String.Input(
                    "folder",
                    default="references",
                    tooltip="Name of a folder in ComfyUI's output folder; it is made where it is not there.",
                ),
                io.Combo.Input(
                    "scope",
                    options=["film", "shot"],
                    default="film",
                    tooltip="Where new pictures act, written into references.toml: in the whole film, or only in the "
                    "shot of their frame.",
                ),
                io.Boolean.Input(
                    "overwrite",
                    default=False,
                    tooltip="Replace pictures of the same frames. Off: what you painted by hand is safe, and it is an "
                    "error if other pictures are there.",
                ),
            ],
            outputs=[
                io.Image.Output("references", tooltip="The pictures as they were saved, with 8 bits."),
                io.String.Output("frames", tooltip="The frames, for reference_frames of the other nodes."),
                io.String.Output("path", tooltip="The folder, for path of Load References."),
            ],
            is_output_node=True,
        )

    @classmethod
    @host.plain_errors
    def execute(
        cls,
        images: torch.Tensor,
        frames: str,
        folder: str,
        scope: Literal["film", "shot"],
        overwrite: bool,
    ) -> io.NodeOutput:
        batch = batches.checked(images, "images")
        numbers = batches.frame_numbers(frames, len(batch), "frames", "images")
        place, subfolder = host.output_folder(folder)
        codes = [(frame.float().cpu().clamp(0, 1) * 255).round().to(torch.uint8) for frame in batch]
        saved = references.save_references(
            place, [code.numpy() for code in codes], numbers, scope=scope, overwrite=overwrite
        )
        shown = ui.SavedImages([ui.SavedResult(one.name, subfolder, io.FolderType.output) for one in saved])
        out = torch.stack(codes).float() / 255
        return io.NodeOutput(out, batches.write_numbers(numbers), str(place), ui=shown)

    @classmethod
    def validate_inputs(cls, frames: str | None = None, folder: str | None = None) -> bool | str:
        """What can be known before there are pictures."""

        def check() -> None:
            if folder is not None:
                host.output_folder(folder)
            if frames is not None:
                batches.frame_list(frames, "frames")

        return host.valid(check)


class RemasterLoadSample(io.ComfyNode):
    """The sample in the pack."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "RemasterLoadSample",
            "Load Sample Film",
            "example, demo, old film, black and white",
            description="A short damaged black-and-white film with two shots, and a coloured picture of each, to try "
            "the nodes with. It lies in the pack.",
            inputs=[],
            outputs=[
                io.Video.Output("video", tooltip="30 frames, two shots."),
                io.Image.Output("references", tooltip="A coloured picture of each shot."),
                io.String.Output("frames", tooltip="The frames that they show. For reference_frames."),
                io.String.Output("rules", tooltip="Each acts in its shot. For reference_rules."),
            ],
        )

    @classmethod
    @host.plain_errors
    def execute(cls) -> io.NodeOutput:
        given = references.load_references(_SAMPLE / "references")
        frames = batches.write_numbers([reference.frame for reference in given])
        video = InputImpl.VideoFromFile(str(_SAMPLE / "film.mp4"))
        return io.NodeOutput(video, batches.one_size(given)[0], frames, references.rules_text(given))


class RemasterAlignReferences(io.ComfyNode):
    """Colour out of a copy."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "RemasterAlignReferences",
            "References from a Coloured Copy",
            "align, colorize, coloured copy, old film",
            description="Finds the frames of a film in a coloured copy of it (another print, a disc, a colourised "
            "version) and saves one or two of each shot as references, with their frames.",
            inputs=[
                io.Video.Input("video", tooltip="The film that will be coloured, the whole of it."),
                io.Video.Input(
                    "copy",
                    tooltip="The coloured copy: it may run at another rate, be cropped, faded or of another size.",
                ),
                number("most", settings.ALIGNED),
                io.String.Input(
                    "folder",
                    default="references/copy",
                    tooltip="Name of a new folder in ComfyUI's output folder. If it is there it is used as it is, and "
                    "nothing is aligned again.",
                ),
                model("model", "colorizer"),
            ],
            outputs=[
                io.Image.Output("references", tooltip="The pictures, for references of the other nodes."),
                io.String.Output("frames", tooltip="The frames that they show. For reference_frames."),
                io.String.Output("rules", tooltip="Where they act. For reference_rules."),
                io.String.Output("path", tooltip="The folder, for path of Load References."),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    @host.plain_errors
    def execute(
        cls, video: Any, copy: Any, most: int, folder: str, model: models.ModelChoice | None = None
    ) -> io.NodeOutput:
        host.need("av")
        place, _ = host.output_folder(folder)
        if not place.exists():
            colorizer = models.colorizer(model, lines=stills.coverage.LINES)
            models.bring([colorizer], stills.coverage.LINES, stills.coverage.LINES * 16 // 9)
            done = host.Progress(None, cls.hidden.unique_id).done

            def progress(frames: int, total: int | None) -> None:
                host.check_interrupt()
                done(frames, total)

            scratch = host.scratch_folder()
            with films.film_of(video, ".mkv", scratch) as film, films.film_of(copy, ".mkv", scratch) as coloured:
                if any(one.start or one.end for one in (film, coloured)):
                    raise errors.InputError("video or copy is a range of a film: give whole films to be aligned")
                place.parent.mkdir(parents=True, exist_ok=True)
                stills.align_references(
                    film.path, coloured.path, place, count=most, colorize=colorizer, progress=progress
                )
        given = references.load_references(place)
        frames = batches.write_numbers([reference.frame for reference in given])
        return io.NodeOutput(batches.one_size(given)[0], frames, references.rules_text(given), str(place))

    @classmethod
    def validate_inputs(cls, folder: str | None = None) -> bool | str:
        """What can be known before there are films."""
        return host.valid(lambda: None if folder is None else host.output_folder(folder))
