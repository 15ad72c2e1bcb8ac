"""Restorer, Colorizer and merge_lab on tensors: the one door that every host goes through.

Luma is Y' as float `[T, 1, H, W]`, 0..1; chroma is Cb, Cr of BT.709 as float `[T, 2, H, W]`, -0.5..0.5. Networks make
chroma only, so luma is kept by construction; a host that has the source's code values need not even convert them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from . import weights
from .attending import ReferenceSet, reference_set
from .color.chroma import guided_upsample
from .color.matrices import rgb_to_ycbcr
from .engines import Engine, choose_device, make_engine
from .errors import InputError, UnsupportedError
from .models import ModelInfo, info
from .models.colorizer import working_size
from .models.layers import Halo
from .models.restorer import Place, thumbnails
from .options import AUTOMATIC, TILE_OVERLAP, ColorizeOptions, RestoreOptions, check_weight, frame_numbers
from .references.reference import Reference
from .window import Window

# Taller sources are restored at this height unless asked otherwise: grain and dirt have then a known size.
FULL_LINES = 1152
_WHOLE = 1_300_000  # pixels; larger pictures are cut into tiles of `_TILE`, so that a window takes under 2 GB
_TILE = 1088  # 1080 lines in one piece


class Restored(NamedTuple):
    """Restored luma, and where damage was repaired (0..1); both `[T, 1, H, W]`."""

    luma: Tensor
    mask: Tensor


class Colored(NamedTuple):
    """Chroma `[T, 2, H, W]`, and `shares` `[T, R]`: how much of a frame's colour each reference gave, 0..1; what is
    left to 1 came from none of them."""

    chroma: Tensor
    shares: Tensor


def chosen_model(network: str, options: RestoreOptions | ColorizeOptions) -> str:
    if options.model != "auto":
        return options.model
    shipped = [name for name in weights.variants(network) if name != AUTOMATIC]
    wanted = "quality" if choose_device(options.device) != "cpu" else "fast"
    return wanted if wanted in shipped or not shipped else shipped[0]


def window_of(facts: ModelInfo, *beside: ModelInfo, block: int | None = None) -> Window:
    """The window of a network, wide enough for those that work beside it."""
    every = [facts, *beside]
    before, after = max(one.before for one in every), max(one.after for one in every)
    return Window(before=before, after=after, block=facts.block if block is None else block)


def guesses_beside(facts: ModelInfo, options: RestoreOptions | ColorizeOptions) -> bool:
    """Whether a second network guesses what no reference acts on."""
    return isinstance(options, ColorizeOptions) and options.automatic and facts.takes_references


class _Worker:
    """A loaded network with its window; another block size changes speed, and the picture by rounding only."""

    def __init__(self, network: str, options: RestoreOptions | ColorizeOptions, block: int | None) -> None:
        self.options = options
        self.model = chosen_model(network, options)
        net = weights.load_model(network, self.model)
        self.info = info(net)
        if self.info.fixed_block and block not in (None, self.info.block):
            raise InputError(f"block must be {self.info.block} for {self.model}, whose blocks overlap, got {block!r}")
        self.engine: Engine = make_engine(net, options.engine, options.device, options.precision)
        self.window: Window = window_of(self.info, block=block)


class Restorer(_Worker):
    """Removes dust, scratches, flicker and grain from luma.

    Args:
        options: see `RestoreOptions`.
        block: frames made at once; None: as the network likes.

    Raises:
        InputError: no such model. UnsupportedError: no such device.
    """

    def __init__(self, options: RestoreOptions = RestoreOptions(), *, block: int | None = None) -> None:
        super().__init__("restorer", options, block)

    def size(self, height: int, width: int) -> tuple[int, int]:
        """The size (lines, columns) at which the network sees a `height` x `width` picture."""
        lines = min(height, self.options.lines or FULL_LINES)
        return lines, max(1, round(width * lines / height))

    def restore(self, luma: Tensor, cuts: Sequence[int] = ()) -> Restored:
        """Restore a whole clip that lies in memory: `luma` `[T, 1, H, W]`, 0..1; `cuts`: frames that start a scene."""
        _check_luma(luma)
        starts = frame_numbers(cuts)
        made = self.window.run(((frame, i in starts) for i, frame in enumerate(luma)), self.process)
        frames, masks = zip(*made)
        return Restored(torch.stack(frames), torch.stack(masks))

    def process(self, frames: Sequence[Tensor], halo: Halo) -> list[tuple[Tensor, Tensor]]:
        """Restore one window: frames `[1, H, W]` with their halo; (luma, mask) for each frame that is no halo, on the
        device that the frames lie on."""
        kept = halo.kept(len(frames))
        if self.options.strength == 0:
            return [(frame, torch.zeros_like(frame)) for frame in frames[kept]]
        size = self.size(*frames[0].shape[-2:])
        thumbs = torch.cat([thumbnails(_sound(frame, self.engine.home)[None])[0] for frame in frames])
        own = halo.within(self.window.before if self.info.sees is None else self.info.sees)
        low = _stack(frames[halo.before - own.before : len(frames) - (halo.after - own.after)], self.engine.home, size)
        low_kept = low[own.kept(len(low))]
        source = low_kept if size == frames[0].shape[-2:] else _stack(frames[kept], self.engine.home)
        restored, mask, toned = self._tiled(low, thumbs, halo)
        if self.options.grain:
            restored = restored + self.options.grain * (1 - mask) * (toned - restored)
        if size != source.shape[-2:]:
            restored, mask = self._enlarge(source, low_kept, restored, mask)
        out = torch.lerp(source, restored, self.options.strength)
        return list(zip(out.to(frames[0].device), mask.to(frames[0].device)))

    def _enlarge(self, source: Tensor, low: Tensor, restored: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Bring a restoration made at a lower size back: the source's finest detail returns where nothing was
        damaged."""
        size = source.shape[-2:]
        mask = _resize(mask, size).clamp(0, 1)
        return _resize(restored, size) + (1 - mask) * (source - _resize(low, size)), mask

    def _tiled(self, luma: Tensor, thumbs: Tensor, halo: Halo) -> tuple[Tensor, Tensor, Tensor]:
        """Run the network on whole frames or on overlapping tiles; the tone correction always sees the whole frame."""
        height, width = luma.shape[-2:]
        tile = self.options.tile or (_TILE if height * width > _WHOLE else max(height, width))
        if height <= tile and width <= tile:
            return self.engine.restore(luma, thumbs, halo)
        out = [torch.empty_like(luma[: len(thumbs) - sum(halo)]) for _ in range(3)]
        for top, bottom, y0, y1 in _tiles(height, tile):
            for left, right, x0, x1 in _tiles(width, tile):
                place = Place(top, left, height, width)
                parts = self.engine.restore(luma[..., top:bottom, left:right], thumbs, halo, place)
                for whole, part in zip(out, parts):
                    whole[..., y0:y1, x0:x1] = part[..., y0 - top : y1 - top, x0 - left : x1 - left]
        return tuple(out)


class Colorizer(_Worker):
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
        if guesses_beside(self.info, options):
            engine = options.engine if options.engine == "compile" else "torch"
            how = replace(options, model=AUTOMATIC, automatic=False, engine=engine, saturation=1.0)
            self.guesser = Colorizer(how, block=block)
            self.window = window_of(self.info, self.guesser.info, block=block)

    def size(self, height: int, width: int) -> tuple[int, int]:
        """The size (lines, columns) at which a `height` x `width` picture is coloured."""
        return working_size(height, width, self.info.lines or self.options.lines, self.info.multiple_of)

    def encode_references(self, references: Sequence[Reference]) -> ReferenceSet:
        """Encode reference pictures once; the result is good for any number of clips.

        Raises:
            InputError: there is none, and the network needs some; there are some, and it takes none; or one acts in a
                shot that is not known, see `attending.settle`.
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
                rgb = _resize(rgb, self.size(*rgb.shape[-2:]))
            return rgb_to_ycbcr(rgb).split([1, 2], 1)

        encoded = self.engine.encode(picture(reference) for reference in references)
        return reference_set(encoded, references, self.info.weighs_references, self.model)

    def describe(self, luma: Tensor, lines: int) -> Tensor:
        """What a frame `[1, H, W]` looks like as a whole at a height of about `lines`: `[areas, D]` unit vectors.

        Raises:
            UnsupportedError: the network has no such features.
        """
        if not self.info.weighs_references:
            raise UnsupportedError(f"the colorizer of model {self.model} cannot compare frames; use a shipped model")
        size = working_size(*luma.shape[-2:], lines, self.info.multiple_of)
        return self.engine.describe(_stack([luma], self.engine.home, size))[0]

    def share_map(self, luma: Tensor, memory: ReferenceSet, number: int = 0) -> Tensor:
        """Which reference the colours of a frame `[1, H, W]`, the film's frame `number`, come from, place by place.

        Returns:
            `[R, h, w]` shares at 1/8 of the size at which colour is computed; what is left to 1 came from none. Of more
            references than are attended at once, those that resemble this very frame count.

        Raises:
            UnsupportedError: the network or the engine does not tell.
        """
        if not self.info.weighs_references or not hasattr(self.engine, "share_map"):
            raise UnsupportedError(
                f"model {self.model} does not tell place by place which reference gave a colour, or not in this "
                "engine: use a shipped model and engine torch"
            )
        low = _stack([luma], self.engine.home, self.size(*luma.shape[-2:]))
        (run,) = memory.runs(number, 1)
        chosen = memory.chosen(run.acting, low, lambda some: memory.whole.likeness(self.engine.describe(some)))
        out = torch.zeros(len(memory.rules), low.shape[-2] // 8, low.shape[-1] // 8)
        if chosen:
            out[list(chosen)] = self.engine.share_map(low, memory.memory(chosen))[0].float().cpu()
        return out

    def colorize(self, luma: Tensor, memory: ReferenceSet, cuts: Sequence[int] = ()) -> Colored:
        """Colour a whole clip that lies in memory: `luma` `[T, 1, H, W]`, 0..1; `cuts`: frames that start a scene."""
        _check_luma(luma)
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
            return self._guessed(frames, memory, halo, first)
        own = Halo(min(halo.before, self.info.before), min(halo.after, self.info.after))
        inner = slice(halo.before - own.before, len(frames) - (halo.after - own.after))
        low = _stack(frames[inner], self.engine.home, self.size(*frames[0].shape[-2:]))
        kept = own.kept(len(low))
        chosen = memory.chosen(acting, low[kept], lambda some: memory.whole.likeness(self.engine.describe(some)))
        if not chosen and self.guesser:
            return self._guessed(frames, memory, halo, first)
        made = frames[halo.kept(len(frames))]
        if not chosen and memory.rules:
            return memory.gray(made, first + halo.before)
        chroma, shares = self.engine.colorize(low, memory.memory(chosen), own)
        shares = memory.spread(shares, chosen)
        full = self.options.saturation * fit_size(chroma, low[kept], _stack(made, self.engine.home))
        return list(zip(full.to(frames[0].device), shares.to(frames[0].device)))

    def _guessed(
        self, frames: Sequence[Tensor], memory: ReferenceSet, halo: Halo, first: int
    ) -> list[tuple[Tensor, Tensor]]:
        """A window by the network that guesses; none of the references in `memory` has a share in it."""
        guess = self.guesser._colored(frames, self.guesser.encode_references(()), halo, (), first)
        none = guess[0][0].new_zeros(len(memory.rules))
        return [(self.options.saturation * chroma, none) for chroma, _ in guess]


def fit_size(chroma: Tensor, luma_low: Tensor, luma: Tensor) -> Tensor:
    """Bring `chroma` `[T, 2, h, w]` to the size of `luma` `[T, 1, H, W]`; enlarged, its edges follow the luma."""
    size = luma.shape[-2:]
    if chroma.shape[-2:] == size:
        return chroma
    if size[0] > chroma.shape[-2] and size[1] > chroma.shape[-1]:
        return guided_upsample(chroma, luma_low, luma)
    return _resize(chroma, size)


def merge_lab(
    luma: Tensor,
    chroma: Tensor,
    *,
    own_chroma: Tensor | None = None,
    other_luma: Tensor | None = None,
    weight: float = 1.0,
) -> Tensor:
    """Give the picture `luma` the colours of another source; the luma itself is not touched.

    Args:
        luma: `[T, 1, H, W]`, 0..1.
        chroma: `[T, 2, h, w]`, the other source's Cb, Cr (BT.709), of any size.
        own_chroma: `[T, 2, H, W]`, the colours the luma's source has itself; None: gray.
        other_luma: `[T, 1, h, w]`, the other source's luma, which tells where its colours end when they are enlarged;
            None: `luma` made smaller.
        weight: 0..1; 0 keeps the own colours, 1 takes the other's.

    Returns:
        Chroma `[T, 2, H, W]`.

    Raises:
        InputError: lengths or shapes that do not fit, or a weight outside 0..1.
    """
    _check_luma(luma)
    if chroma.ndim != 4 or chroma.shape[1] != 2 or len(chroma) != len(luma):
        raise InputError(f"chroma must be [T, 2, h, w] with T = {len(luma)} frames, got {tuple(chroma.shape)}")
    check_weight(weight)
    size = chroma.shape[-2:]
    for name, tensor, shape in (
        ("own_chroma", own_chroma, (len(luma), 2, *luma.shape[-2:])),
        ("other_luma", other_luma, (len(luma), 1, *size)),
    ):
        if tensor is not None and tensor.shape != shape:
            raise InputError(f"{name} must be {list(shape)} to fit luma and chroma, got {list(tensor.shape)}")
    luma, chroma = luma.float(), chroma.float()
    if other_luma is None:
        other_luma = _resize(luma, size)
    else:
        # The other source may be darker or flatter: bring its luma to this one's level before edges are compared.
        other_luma = _match_level(other_luma.float(), luma)
    taken = fit_size(chroma, other_luma, luma)
    own = torch.zeros_like(taken) if own_chroma is None else own_chroma.float()
    return torch.lerp(own, taken, weight)


def repair_chroma(chroma: Tensor, mask: Tensor) -> Tensor:
    """Fill the colours under damage from undamaged surroundings.

    Args:
        chroma: `[T, 2, H, W]`.
        mask: `[T, 1, H, W]`, 0..1; where it is under 0.1 the colours stay bit for bit.

    Returns:
        Chroma `[T, 2, H, W]`.
    """
    mask = ((mask - 0.1) / 0.9).clamp(0, 1)
    if not mask.any():
        return chroma
    return torch.lerp(chroma, _fill(chroma, (1 - mask) ** 2), mask)


def _fill(chroma: Tensor, sound: Tensor) -> Tensor:
    """Replace what is not `sound` (0..1) by what is known at the next coarser size, and so on until all is known."""
    if max(chroma.shape[-2:]) == 1 or sound.min() > 0.5:
        return chroma
    total = F.avg_pool2d(sound, 2, ceil_mode=True, count_include_pad=False)
    mean = F.avg_pool2d(chroma * sound, 2, ceil_mode=True, count_include_pad=False) / total.clamp_min(1e-6)
    coarse = _fill(mean, (4 * total).clamp(0, 1))
    return torch.lerp(_resize(coarse, tuple(chroma.shape[-2:])), chroma, sound)


def _check_luma(luma: Tensor) -> None:
    if luma.ndim != 4 or luma.shape[1] != 1 or not luma.numel() or not luma.is_floating_point():
        raise InputError(
            f"luma must be a float tensor [T, 1, H, W] with at least one frame, got {tuple(luma.shape)} {luma.dtype}"
        )


def _stack(frames: Sequence[Tensor], device: str, size: tuple[int, int] | None = None) -> Tensor:
    """Frames `[1, H, W]` as one float32 tensor `[T, 1, H, W]` on a device, resized one by one."""
    sound = (_sound(frame, device) for frame in frames)
    return torch.cat([frame if size is None else _resize(frame, size) for frame in sound])


def _sound(frame: Tensor, device: str) -> Tensor:
    """A frame `[1, H, W]` as float32 `[1, 1, H, W]` on a device; what is not a number becomes black, so that it cannot
    spread."""
    return frame[None].to(device).float().nan_to_num(0.0, 1.0, 0.0)


def _resize(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear, antialiased when made smaller."""
    if x.shape[-2:] == size:
        return x
    smaller = size[0] < x.shape[-2] or size[1] < x.shape[-1]
    return F.interpolate(x, size, mode="bilinear", antialias=smaller, align_corners=False)


def _match_level(luma: Tensor, like: Tensor) -> Tensor:
    """Scale and shift each frame of `luma` to the mean and contrast of the same frame of `like`."""
    dims = (-3, -2, -1)
    scale = like.std(dims, correction=0, keepdim=True) / luma.std(dims, correction=0, keepdim=True).clamp_min(1e-3)
    return (luma - luma.mean(dims, keepdim=True)) * scale + like.mean(dims, keepdim=True)


def _tiles(length: int, tile: int) -> list[tuple[int, int, int, int]]:
    """Cut `length` pixels into tiles of about equal size, at most `tile`: (first, last, kept first, kept last),
    overlapping, starting at multiples of 32."""
    inner, overlaps = length - 2 * TILE_OVERLAP, 2 * TILE_OVERLAP
    count = max(1, math.ceil(inner / ((tile - overlaps) // 32 * 32)))
    step = math.ceil(inner / count / 32) * 32
    parts = []
    for start in range(0, max(1, inner), max(32, step)):
        stop = min(length, start + step + overlaps)
        keep = 0 if start == 0 else start + TILE_OVERLAP
        parts.append((start, stop, keep, length if stop == length else stop - TILE_OVERLAP))
    return parts
