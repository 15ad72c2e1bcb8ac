"""What is asked of a film: one record, made by the command line, the nodes and Python alike."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Self

from ..errors import InputError
from ..output.formats import OutputFormat, check_output, output_format
from ..output.options import OutputOptions
from ..references.reference import Reference
from ..references.rules import beyond, settle
from ..remaster.colorizer import Colorizer
from ..remaster.lost_frames import check_lost, check_within
from ..remaster.options import AUTOMATIC, ColorizeOptions, PrepareOptions, RestoreOptions
from ..remaster.pipeline import RemasterPipeline
from ..remaster.preparing import margins
from ..remaster.restorer import Restorer
from ..remaster.scenes import Scenes
from ..video.info import VideoInfo
from ..video.rawvideo import RawFormat
from ..video.reader import VideoReader
from ..weights import takes_references
from .mask_writer import check_masks
from .masks import Given
from .shots import measure_levels, settle_for_film

log = logging.getLogger(__name__)

Restore = RestoreOptions | Restorer | None
"""Options, or a restorer that is loaded; None leaves the luma as it is."""
Colorize = ColorizeOptions | Colorizer | None
"""Options, or a colorizer that is loaded; None leaves the colours as they are."""

NOT_RESTORED = "levels are of restored luma, and restoring is off: leave it on; with strength 0 it changes nothing else"
NOT_REPAIRED = "masks are of what is repaired, and restoring is off: leave it on; with strength 0 only repair is done"
NOT_ENLARGED = "scale 2 enlarges what was restored, and restoring is off: leave it on; with strength 0 it only enlarges"


@dataclass(frozen=True, kw_only=True, eq=False)
class Treatment:
    """What is done to frames.

    Attributes:
        restore: see `Restore`.
        colorize: see `Colorize`.
        references: to colour from; without any, frames are restored only, or coloured automatically.
        scenes: see `Scenes`.
        prepare: what is done to whole frames before all else.
        repair: where there is damage whatever the network thinks, and
        protect: what stays as it was: a video, a picture or a folder of pictures, see `Masks`.

    Raises:
        InputError: such masks of a film that is not restored.
    """

    restore: Restore = field(default_factory=RestoreOptions)
    colorize: Colorize = None
    references: Sequence[Reference] = ()
    scenes: Scenes = "auto"
    repair: Path | None = None
    protect: Path | None = None
    prepare: PrepareOptions = field(default_factory=PrepareOptions)

    def __post_init__(self) -> None:
        if self.restore is None and (self.repair or self.protect):
            raise InputError(NOT_REPAIRED)

    def given(self) -> Given:
        """The masks, which are looked for now."""
        return Given.at(self.repair, self.protect)

    def resolved(self) -> Self:
        """The same without colouring where there is nothing to colour from and colours are not guessed.

        Raises:
            InputError: nothing is left to do.
        """
        return replace(
            self, colorize=to_color(self.restore, self.colorize, self.references, prepare=bool(self.prepare))
        )

    @property
    def restore_options(self) -> RestoreOptions | None:
        """Options of `restore`, loaded or not."""
        return self.restore.options if isinstance(self.restore, Restorer) else self.restore

    @property
    def scale(self) -> int:
        """How many times as wide and high frames become."""
        return self.restore_options.scale if self.restore_options else 1

    def pipeline(self) -> RemasterPipeline:
        """What does it, with its networks loaded."""
        return RemasterPipeline(self.restore, self.colorize, self.references, self.scenes, prepare=self.prepare)

    def shown[Info: VideoInfo | RawFormat](self, info: Info) -> Info:
        """The film with its edges cut off where that was asked for."""
        cut = 2 * margins(self.prepare, info.height, info.width)
        return replace(info, width=info.width - cut, height=info.height - cut)

    def check(self, frames: int | None) -> None:
        """Refuse lost frames that a film has not, or that cannot be made anew; `frames`: how many it has, None where
        that is not known.

        Raises:
            InputError: with the first of them.
        """
        check_within(self.prepare.bad_frames, frames)
        check_lost(self.prepare.bad_frames, () if isinstance(self.scenes, str) else self.scenes, frames)


@dataclass(frozen=True, kw_only=True, eq=False)
class FilmRequest(Treatment):
    """A film, what is done to it, and where it goes.

    A part (`start`, `end`) has the very frames that the whole film would have there: the networks get its neighbours
    too.

    Attributes:
        source: a video or a folder of pictures.
        output: .mkv, .mp4, .mov, .mxf, or a folder for pictures; it appears when it is complete.
        write: see `OutputOptions`.
        start: first frame.
        end: first frame not taken; None: to the end.
        fps: frames per second of a film that has no timestamps, see `VideoReader`.
        masks: where what was repaired is written, see `MaskWriter`; None: nowhere.
        auto_levels: every shot gets the levels that are found in it, see `find_levels`; the whole of it is looked at,
            also where it lies only in part between `start` and `end`.

    Raises:
        InputError: levels of a film that is not restored, or that has others.
    """

    source: Path
    output: Path
    write: OutputOptions = field(default_factory=OutputOptions)
    start: int = 0
    end: int | None = None
    fps: Fraction | None = None
    masks: Path | None = None
    auto_levels: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.restore is None and self.masks:
            raise InputError(NOT_REPAIRED)
        if self.auto_levels and self.restore is None:
            raise InputError(NOT_RESTORED)
        if self.auto_levels and self.restore_options and self.restore_options.levels:
            raise InputError(f"levels are auto and {self.restore_options.levels}: leave one of them out")

    def pipeline(self, check: Callable[[], None] = lambda: None) -> RemasterPipeline:
        """See `Treatment`; levels are looked for in the film.

        Args:
            check: see `remaster_film`.
        """
        levels = ()
        if self.auto_levels:
            log.info("looking through %s for levels", self.source)
            lost = self.prepare.bad_frames
            levels = measure_levels(
                self.source, self.start, self.end, self.scenes, lost=lost, fps=self.fps, check=check
            )
        return RemasterPipeline(self.restore, self.colorize, self.references, self.scenes, levels, self.prepare)

    @classmethod
    def of(cls, source: FilmRequest | Path, output: Path | None, fields: dict[str, Any]) -> FilmRequest:
        """A request as it was given: whole, or as a source, an output and the other fields."""
        if isinstance(source, FilmRequest):
            if output is not None or fields:
                raise TypeError("a FilmRequest holds its output and options: give nothing beside it")
            return source
        if output is None:
            raise TypeError("a source needs an output")
        return cls(source=Path(source), output=Path(output), **fields)

    def check_output(self, ours: Callable[[Path], bool] = lambda path: False) -> None:
        """See `output.check_output` and `check_masks`; `ours`: whether masks that are there may be replaced."""
        source = self.source if self.source.exists() else None
        check_output(self.output, self.write.codec, self.write.overwrite, source)
        check_masks(self.masks, self.write.overwrite or (self.masks is not None and ours(self.masks)))
        taken = {os.path.realpath(path) for path in (self.output, self.source)}
        if self.masks and os.path.realpath(self.masks) in taken:
            raise InputError(f"{self.masks} is the film itself: write masks elsewhere")

    def open(self, *, notes: bool = True) -> VideoReader:
        """A reader of the film; `notes`: it reports what is odd about it."""
        return VideoReader(self.source, self.start, self.end, fps=self.fps, notes=notes)

    def settled(self, info: VideoInfo) -> Self:
        """The same with references whose times and shots have become frames, see `settle_for_film`.

        Raises:
            InputError: the whole film is done, and has not the frame that one of them shows.
        """
        known = [replace(one, scope="film") for one in self.references]
        if text := beyond(settle(known, None, info.fps), info.frames):
            if self.start == 0 and self.end is None:
                raise InputError(text)
            log.info("%s", text)
        return replace(self, references=settle_for_film(self.references, self.scenes, self.source, info.fps))

    def output_format(self, info: VideoInfo, *, colored: bool | None = None) -> OutputFormat:
        """The frames that the output holds; `colored`: it gets colours, None: where `colorize` is given."""
        colored = self.colorize is not None if colored is None else colored
        return output_format(self.shown(info), self.write.codec, colored, self.write.bits, scale=self.scale)


def to_color(
    restore: Restore, colorize: Colorize, references: Sequence[Reference], *, prepare: bool = False
) -> Colorize:
    """`colorize` where there is something to colour from, or it is automatic; else a film is restored only.

    Args:
        restore, colorize, references: see `Treatment`.
        prepare: there is something to do before that.

    Raises:
        InputError: nothing is left to do.
    """
    uncolored = colorize is not None and not will_color(colorize, references)
    if restore is None and (colorize is None or uncolored) and not prepare:
        raise InputError("nothing to do: restoring is off, and colouring is off or has no references")
    if uncolored:
        if restore is not None:
            log.info("no references: the film is restored only")
    elif colorize is not None and not references:
        log.info("no references: colours are guessed; a few coloured frames would do far better")
    return None if uncolored else colorize


def will_color(colorize: Colorize, references: Sequence[object]) -> bool:
    """Whether a film gets colours: from references, or without any by a guess."""
    if colorize is None or references:
        return colorize is not None
    if isinstance(colorize, Colorizer):
        return colorize.guesser is not None or not colorize.info.takes_references
    trained = Path(colorize.model).suffix == ".safetensors" and not takes_references(colorize.model)
    return colorize.automatic or colorize.model == AUTOMATIC or trained
