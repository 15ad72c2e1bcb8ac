"""Restorer, Colorizer and merge_lab on tensors: the one door that every host goes through.

Luma is Y' as float `[T, 1, H, W]`, 0..1; chroma is Cb, Cr of BT.709 as float `[T, 2, H, W]`, -0.5..0.5. Networks make
chroma only, so luma is kept by construction; a host that has the source's code values need not even convert them.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor
from torch.nn import functional as F

from ..color.look import looked_up, strengthened
from ..color.matrices import rgb_to_ycbcr
from ..errors import InputError, UnsupportedError
from ..models.attention import Known
from ..models.colorizer import working_size
from ..models.layers import Halo
from ..references.reference import OPAQUE, Reference
from .memory import ReferenceSet, named, reference_set
from .merging import fit_size
from .options import AUTOMATIC, ColorizeOptions, frame_numbers
from .worker import Overlap, Worker, check_luma, guesses_beside, resize, stack, window_of

log = logging.getLogger(__name__)


class Colored(NamedTuple):
    """Chroma `[T, 2, H, W]`, and `shares` `[T, R]`: how much of a frame's colour each reference gave, 0..1; what is
    left to 1 came from none of them."""

    chroma: Tensor
    shares: Tensor


class Colorizer(Worker[ColorizeOptions]):
    """Colours luma from reference pictures.

    Args:
        options: see `ColorizeOptions`.
        block: frames made at once; None: as the network likes.

    Attributes:
        guesser: colours what no reference acts on; None where that stays gray.

    Raises:
        InputError: no such model. UnsupportedError: no such device.
    """

    def __init__(self, options: ColorizeOptions = ColorizeOptions(), *, block: int | None = None) -> None:
        super().__init__("colorizer", options, block)
        self.guesser: Colorizer | None = None
        self._looks: Overlap[Any] = Overlap(self.info.before + self.info.after)
        if guesses_beside(self.info, options):
            self.guesser = Colorizer(_guessing(options), block=block)
            self.window = window_of(self.info, self.guesser.info, block=block)

    def like(self, options: ColorizeOptions) -> Self:
        """This network with other options of the kind that need no other network; `automatic` stays as it is."""
        other = super().like(options)
        other._looks = Overlap(self.info.before + self.info.after)
        other.guesser = self.guesser and self.guesser.like(_guessing(options))
        return other

    def size(self, height: int, width: int) -> tuple[int, int]:
        """The size (lines, columns) at which a `height` x `width` picture is coloured."""
        return self.size_at(height, width, self.info.lines or self.options.lines)

    def size_at(self, height: int, width: int, lines: int) -> tuple[int, int]:
        """The size at which the network sees a `height` x `width` picture at a height of about `lines`."""
        return working_size(height, width, lines, self.info.multiple_of)

    def encode_references(self, references: Sequence[Reference]) -> ReferenceSet:
        """Encode reference pictures once; the result is good for any number of clips.

        Raises:
            InputError: there is none, and the network needs some; there are some, and it takes none; one acts in a
                shot that is not known, see `references.settle`; or one is transparent but for specks.
            UnsupportedError: one is known in part, and the engine cannot leave the rest out.
        """
        if not references and self.guesser:
            return self.guesser.encode_references(())
        if not references and self.info.needs_references:
            raise InputError("no references to colour from; give at least one colour picture, or colour automatically")
        if references and not self.info.takes_references:
            raise InputError(f"model {self.model} takes no references, got {len(references)}; leave the model to auto")

        def picture(reference: Reference) -> tuple[Tensor, Tensor]:
            rgb = reference.rgb[None].float().cpu()
            if not self.info.scales_references:
                rgb = resize(rgb, self.size(*rgb.shape[-2:]))
            return rgb_to_ycbcr(rgb).split([1, 2], 1)

        known = self._known(references)
        encoded = self.engine.encode((picture(reference) for reference in references), known)
        return reference_set(encoded, references, self.info.weighs_references, self.model)

    def _known(self, references: Sequence[Reference]) -> list[Known | None] | None:
        """Where each of the references is known, at the size at which it is encoded; None where all of all is."""
        partial = [reference.name for reference in references if reference.known is not None]
        if not partial:
            return None
        if not self.info.weighs_references:
            log.warning(
                "the network of model %s cannot leave out what is transparent in references (%s): it takes the "
                "colours beside it",
                self.model, named(partial),
            )  # fmt: skip
            return None
        if not self.engine.takes_parts:
            raise UnsupportedError(
                f"engine {self.options.engine!r} cannot leave out what is transparent in references, as in "
                f"{named(partial)}: use engine torch, or paint all of them"
            )
        found: list[Known | None] = []
        for reference in references:
            if reference.known is None:
                found.append(None)
                continue
            known = resize(reference.known[None, None].cpu(), self.size(*reference.known.shape))
            if not bool((F.avg_pool2d(known, 8) >= OPAQUE).any()):
                raise InputError(
                    f"reference {reference.name!r} is transparent almost everywhere: at {self.options.lines} lines "
                    "no place of 8 x 8 pixels is opaque, so there is no colour to take: paint more of it"
                )
            found.append(Known(known, reference.in_film))
        return found

    def describe(self, luma: Tensor, lines: int) -> Tensor:
        """What a frame `[1, H, W]` looks like as a whole at a height of about `lines`: `[areas, D]` unit vectors.

        Raises:
            UnsupportedError: the network has no such features.
        """
        if not self.info.weighs_references:
            raise UnsupportedError(f"the colorizer of model {self.model} cannot compare frames; use a shipped model")
        size = self.size_at(*luma.shape[-2:], lines)
        return self.engine.describe(stack([luma], self.engine.home, size))[0]

    def share_map(self, luma: Tensor, memory: ReferenceSet, number: int = 0) -> Tensor:
        """Which reference the colours of a frame `[1, H, W]`, the film's frame `number`, come from, place by place.

        Returns:
            `[R, h, w]` shares at 1/8 of the size at which colour is computed; what is left to 1 came from none. Of more
            references than are attended at once, those that resemble this very frame count.

        Raises:
            UnsupportedError: the network or the engine does not tell.
        """
        if not self.info.weighs_references or not self.engine.tells_places:
            raise UnsupportedError(
                f"model {self.model} does not tell place by place which reference gave a colour, or not in this "
                "engine: use a shipped model and engine torch"
            )
        return self.match_map(luma, memory, number)[0]

    def match_map(self, luma: Tensor, memory: ReferenceSet, number: int = 0) -> tuple[Tensor, Tensor]:
        """`share_map`, and how alike the best match is, place by place, `[h, w]`: at most 1, and 0 where no reference
        acts."""
        low = stack([luma], self.engine.home, self.size(*luma.shape[-2:]))
        (run,) = memory.runs(number, 1)
        chosen = memory.chosen(run.acting, low, self.engine.describe, number)
        height, width = (side // 8 for side in low.shape[-2:])
        shares, similarity = torch.zeros(len(memory.rules), height, width), torch.zeros(height, width)
        if chosen:
            found, near = self.engine.match_map(low, memory.memory(chosen))
            shares[list(chosen)], similarity = found[0].float().cpu(), near[0, 0].float().cpu()
        return shares, similarity

    def colorize(self, luma: Tensor, memory: ReferenceSet, cuts: Sequence[int] = ()) -> Colored:
        """Colour a whole clip that lies in memory: `luma` `[T, 1, H, W]`, 0..1; `cuts`: frames that start a scene."""
        check_luma(luma)
        starts = frame_numbers(cuts)

        def process(part: Sequence[tuple[int, Tensor]], halo: Halo) -> list[tuple[Tensor, Tensor]]:
            return self.process([frame for _, frame in part], memory, halo, part[0][0])

        frames = (((i, frame), i in starts) for i, frame in enumerate(luma))
        chroma, shares = zip(*self.window.run(frames, process))
        return Colored(torch.stack(chroma), torch.stack(shares))

    def process(
        self, frames: Sequence[Tensor], memory: ReferenceSet, halo: Halo, first: int = 0
    ) -> list[tuple[Tensor, Tensor]]:
        """Colour one window: frames `[1, H, W]` with their halo; (chroma `[2, H, W]`, shares `[R]`) for each frame that
        is no halo, on the device that the frames lie on. `first`: number of the first frame given; where references
        begin or cease to act, the window ends as at a cut."""
        kept, made = halo.kept(len(frames)), []
        for run in memory.runs(first, len(frames)):
            start, stop = max(run.start, kept.start), min(run.stop, kept.stop)
            if start < stop:
                own = Halo(start - run.start, run.stop - stop)
                made += self._colored(frames[run.start : run.stop], memory, own, run.acting, first + run.start)
        return made

    def _colored(
        self, frames: Sequence[Tensor], memory: ReferenceSet, halo: Halo, acting: tuple[int, ...], first: int
    ) -> list[tuple[Tensor, Tensor]]:
        """Colour a window all of whose frames have the same references in scope; where there are none, gray or a
        guess."""
        if not acting and self.guesser:
            return self._guessed(self.guesser, frames, memory, halo, first)
        own = Halo(min(halo.before, self.info.before), min(halo.after, self.info.after))
        inner = slice(halo.before - own.before, len(frames) - (halo.after - own.after))
        low = stack(frames[inner], self.engine.home, self.size(*frames[0].shape[-2:]))
        kept = own.kept(len(low))
        chosen = memory.chosen(acting, low[kept], self.engine.describe, first + halo.before)
        if not chosen and self.guesser:
            return self._guessed(self.guesser, frames, memory, halo, first)
        made = frames[halo.kept(len(frames))]
        if not chosen and memory.rules:
            return memory.gray(made, first + halo.before)
        encoded = memory.memory(chosen)
        if self.engine.looks:
            looks = self._looks.of(frames[inner], lambda new: self.engine.look(_some(low, new), encoded), encoded)
            chroma, shares = self.engine.render(low, looks, encoded, own)
        else:
            chroma, shares = self.engine.colorize(low, encoded, own)
        shares = memory.spread(shares, chosen)
        luma = stack(made, self.engine.home)
        full = self._graded(luma, fit_size(chroma, low[kept], luma))
        return list(zip(full.to(frames[0].device), shares.to(frames[0].device)))

    def _graded(self, luma: Sequence[Tensor] | Tensor, chroma: Tensor) -> Tensor:
        """Chroma `[T, 2, H, W]` of frames `[1, H, W]` as it is wanted."""
        options = self.options
        chroma = options.saturation * chroma
        if not options.saturation_hues and options.lut is None:
            return chroma
        for frame, light in zip(chroma, luma):  # one after the other, as they are large
            if options.saturation_hues:
                frame[:] = strengthened(frame, options.saturation_hues)
            if options.lut:
                frame[:] = looked_up(light.to(frame), frame, options.lut)
        return chroma

    def _guessed(
        self, guesser: Colorizer, frames: Sequence[Tensor], memory: ReferenceSet, halo: Halo, first: int
    ) -> list[tuple[Tensor, Tensor]]:
        """A window by the network that guesses; none of the references in `memory` has a share in it."""
        guess = guesser._colored(frames, guesser.encode_references(()), halo, (), first)
        none = guess[0][0].new_zeros(len(memory.rules))
        chroma = self._graded(frames[halo.kept(len(frames))], torch.stack([one for one, _ in guess]))
        return [(one, none) for one in chroma]


def _some(frames: Tensor, numbers: Sequence[int]) -> Tensor:
    """Frames by their ascending numbers; a list of these would have to be sent to a GPU."""
    first, stop = numbers[0], numbers[-1] + 1
    return frames[first:stop] if stop - first == len(numbers) else torch.stack([frames[n] for n in numbers])


def _guessing(options: ColorizeOptions) -> ColorizeOptions:
    """Options of what guesses beside a colorizer with such options."""
    engine = options.engine if options.engine == "compile" else "torch"
    return replace(
        options, model=AUTOMATIC, automatic=False, engine=engine, saturation=1.0, saturation_hues=(), lut=None
    )
