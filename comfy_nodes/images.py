"""Between ComfyUI's IMAGE and the library's pictures, and the work on whole batches.

IMAGE is `[B, H, W, C]` float, R'G'B' of 0..1. Results are written frame by frame into one tensor that is made at the
start, so a batch takes its own memory once more and a few dozen frames besides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from .library import color, errors, references, remaster

Check = Callable[[], None]
"""Called for every frame that is taken; what it raises ends the work."""
Done = Callable[[int], None]
"""Called with the number of frames finished so far."""
_ALL = 0.99  # mean of a mask that is white all over


def _nothing(*_: object) -> None:
    pass


def shaped(images: Tensor, name: str) -> Tensor:
    """An IMAGE with frames in it, whatever these hold.

    Args:
        images: `[B, H, W, C]`; a fourth channel (alpha) is dropped, a single one is taken for gray.
        name: the input's, for messages.

    Returns:
        `[B, H, W, 3]`, a view of what was given.

    Raises:
        InputError: anything else, or no frame.
    """
    if not isinstance(images, Tensor) or images.ndim != 4 or not images.is_floating_point():
        found = f"{tuple(images.shape)} {images.dtype}" if isinstance(images, Tensor) else type(images).__name__
        raise errors.InputError(f"{name} must be an IMAGE, floats [frames, height, width, channels], got {found}")
    count, height, width, channels = images.shape
    if not count:
        raise errors.InputError(
            f"{name} holds no frames: check where it comes from (an empty batch, or a range beyond its end)"
        )
    if not height or not width or channels not in (1, 3, 4):
        raise errors.InputError(
            f"{name} has frames of {width}x{height} with {channels} channels: give RGB, RGBA (alpha is dropped) or gray"
        )
    return images.expand(-1, -1, -1, 3) if channels == 1 else images[..., :3]


def checked(images: Tensor, name: str) -> Tensor:
    """An IMAGE whose frames can be worked on: see `shaped`.

    Raises:
        InputError: also for values that are not finite.
    """
    images = shaped(images, name)
    for i, frame in enumerate(images):
        bad = frame.numel() - int(frame.isfinite().sum())
        if bad:
            raise errors.InputError(
                f"{name}: frame {i} holds {bad} values that are not numbers (NaN or infinite), which a model that "
                "overflowed leaves behind: run that model or its VAE in fp32 or bf16, or take the frame out"
            )
    return images


def rgb_of(frame: Tensor) -> Tensor:
    """`[H, W, 3]` to R'G'B' `[3, H, W]`, float32 on the CPU, clipped to 0..1."""
    return frame.permute(2, 0, 1).float().cpu().clamp(0, 1)


def to_rgb(luma: Tensor, chroma: Tensor | None) -> Tensor:
    """Luma `[1, H, W]` and chroma `[2, H, W]` (None: gray) to `[H, W, 3]`: colours that would not exist are made
    paler, so that the luma stays."""
    if chroma is None:
        return luma.clamp(0, 1).expand(3, -1, -1).permute(1, 2, 0)
    whole = torch.cat((luma, color.fit_gamut(luma, chroma)))
    return color.ycbcr_to_rgb(whole).clamp(0, 1).permute(1, 2, 0)


def pictures(images: Tensor, check: Check = _nothing) -> Iterator[remaster.Picture]:
    """The frames of a checked IMAGE as pictures with BT.709 luma and chroma."""
    for i, frame in enumerate(images):
        check()
        luma, chroma = color.rgb_to_ycbcr(rgb_of(frame)).split([1, 2])
        yield remaster.Picture(luma, chroma, i)


def steered(
    film: Iterator[remaster.Picture], repair: Tensor | None, protect: Tensor | None
) -> Iterator[remaster.Picture]:
    """Pictures of a batch with the masks of their frames, see `mask_of`."""
    for picture in film:
        size = picture.luma.shape[-2], picture.luma.shape[-1]
        given = {
            name: None if mask is None else mask_of(mask[picture.index % len(mask)], size)
            for name, mask in (("repair", repair), ("protect", protect))
        }
        yield replace(picture, **given)


def mask_of(mask: Tensor, size: tuple[int, int]) -> Tensor | None:
    """A mask `[H, W]` for a picture of a size: `[1, H, W]`, 0..1; None where it is black."""
    mask = mask.float().cpu().clamp(0, 1)[None, None]
    if not mask.any():
        return None
    if mask.shape[-2:] == size:
        return mask[0]
    smaller = size[0] < mask.shape[-2] or size[1] < mask.shape[-1]
    return F.interpolate(mask, size, mode="bilinear", antialias=smaller, align_corners=False)[0]


def checked_mask(mask: Tensor, frames: int, name: str, of: str = "images") -> Tensor:
    """A MASK for so many frames, of any size.

    Args:
        mask: `[frames, H, W]`; one, or `[H, W]`, acts on all frames.
        frames: of the batch.
        name: the input's, for messages.
        of: the input that holds the frames.

    Raises:
        InputError: anything else, another number of frames, values that are not finite; for images, white all over.
    """
    if not isinstance(mask, Tensor) or mask.ndim not in (2, 3) or not mask.is_floating_point() or not mask.numel():
        found = f"{tuple(mask.shape)} {mask.dtype}" if isinstance(mask, Tensor) else type(mask).__name__
        raise errors.InputError(f"{name} must be a MASK, floats [frames, height, width], got {found}")
    mask = mask[None] if mask.ndim == 2 else mask
    if len(mask) not in (1, frames):
        raise errors.InputError(
            f"{name} has {len(mask)} masks and {of} {frames} frames: give one mask for each frame, or a single one "
            "that acts on all"
        )
    if not bool(mask.isfinite().all()):
        raise errors.InputError(f"{name} holds values that are not numbers (NaN or infinite): look where it comes from")
    if of == "images" and float(mask.mean()) > _ALL:
        raise errors.InputError(f"{name} is white all over, so nothing would be left to work with: is it inverted?")
    return mask


def restore(
    images: Tensor,
    restorer: remaster.Restorer,
    scenes: remaster.Scenes,
    check: Check = _nothing,
    done: Done = _nothing,
    *,
    repair: Tensor | None = None,
    protect: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Restore a batch: IMAGE `[B, H, W, 3]` and MASK `[B, H, W]`, 1 where damage was repaired; at scale 2 of twice the
    size. `repair`, `protect`: see `checked_mask`."""
    images = checked(images, "images")
    repair = None if repair is None else checked_mask(repair, len(images), "repair")
    protect = None if protect is None else checked_mask(protect, len(images), "protect")
    pipeline = remaster.RemasterPipeline(restorer, scenes=scenes)
    out = _room(images, pipeline.scale)
    mask = torch.empty(out.shape[:3])
    for picture in pipeline.process(steered(pictures(images, check), repair, protect)):
        check()  # when the last frame has been taken there are blocks of every step to come
        out[picture.index] = to_rgb(picture.luma, picture.chroma)
        assert picture.mask is not None  # it is restored
        mask[picture.index] = picture.mask[0]
        done(picture.index + 1)
    return out, mask


def steady(
    images: Tensor,
    options: remaster.PrepareOptions,
    scenes: remaster.Scenes,
    check: Check = _nothing,
    done: Done = _nothing,
) -> Tensor:
    """A batch whose lost frames are made anew and whose weave is taken out; smaller where edges are cut off.

    Raises:
        InputError: see `checked`; frames that the batch has not, or that cannot be made.
    """
    images = checked(images, "images")
    remaster.check_within(options.bad_frames, len(images))
    pipeline = remaster.RemasterPipeline(None, scenes=scenes, prepare=options)
    cut = remaster.margins(options, *images.shape[1:3])
    out = images[:, cut : images.shape[1] - cut, cut : images.shape[2] - cut].clone()
    for picture in pipeline.process(pictures(images, check)):
        check()
        if picture.altered:
            out[picture.index] = to_rgb(picture.luma, picture.chroma)
        done(picture.index + 1)
    return out


def colorize(
    images: Tensor,
    given: Sequence[references.Reference],
    colorizer: remaster.Colorizer,
    scenes: remaster.Scenes,
    check: Check = _nothing,
    done: Done = _nothing,
) -> tuple[Tensor, list[list[float]]]:
    """Colour a batch: IMAGE, and how much of each frame's colour every reference gave."""
    images = checked(images, "images")
    given = [_laid_over(one, images) for one in given]
    out, shares = _room(images), []
    if scenes == "auto" and any(one.scope == "shot" and one.shot is None for one in given):
        scenes = _cuts(images, check)
    film = remaster.RemasterPipeline(None, colorizer, given, scenes).process(pictures(images, check))
    for picture in film:
        out[picture.index] = to_rgb(picture.luma, picture.chroma)
        assert picture.shares is not None  # it is coloured
        shares.append([round(share, 6) for share in picture.shares.tolist()])
        done(picture.index + 1)
    return out, shares


def _laid_over(reference: references.Reference, images: Tensor) -> references.Reference:
    """A reference on the frame of a batch that it shows, see `Reference.over`."""
    if reference.known is None or reference.frame is None or reference.frame >= len(images):
        return reference
    (picture,) = pictures(images[reference.frame : reference.frame + 1])
    return reference.over(picture.luma)


def merge(luma: Tensor, chroma: Tensor, weight: float, check: Check = _nothing, done: Done = _nothing) -> Tensor:
    """Give the frames of `luma` the colours of `chroma`, which may be of another size.

    Raises:
        InputError: see `checked`; lengths that differ.
    """
    luma, chroma = checked(luma, "luma"), checked(chroma, "chroma")
    if len(luma) != len(chroma):
        raise errors.InputError(
            f"luma has {len(luma)} frames, chroma {len(chroma)}: each frame takes the colours of the frame with its "
            "number, so cut both to one length; to colour a film from single pictures use Reference Colorize"
        )
    out = _room(luma)
    for picture, donor in zip(pictures(luma, check), pictures(chroma)):
        assert picture.chroma is not None and donor.chroma is not None  # an IMAGE is RGB
        taken = remaster.merge_lab(
            picture.luma[None],
            donor.chroma[None],
            own_chroma=picture.chroma[None],
            other_luma=donor.luma[None],
            weight=weight,
        )
        out[picture.index] = to_rgb(picture.luma, taken[0])
        done(picture.index + 1)
    return out


def references_of(
    images: Tensor, lines: int, frames: str = "", rules: str = "", mask: Tensor | None = None, *, start: int = 0
) -> list[references.Reference]:
    """An IMAGE batch as references: those that the command line would load from files with these pixels.

    Args:
        images: see `checked`; pictures to take colours from.
        lines: see `load_references`.
        frames: see `frame_numbers`.
        rules: see `references.with_rules`.
        mask: 1 where they are transparent, as Load Image gives it: there they give no colour. One for each, or one for
            all; of any size.
        start: frame of the film that 0 in `frames` stands for; `rules` count from the film's own start.
    """
    images = checked(images, "references")
    numbers = [None if n is None else start + n for n in frame_numbers(frames, len(images))]
    given = [
        references.Reference(f"references, picture {i}", rgb_of(image).contiguous(), number)
        for i, (image, number) in enumerate(zip(images, numbers))
    ]
    if mask is not None:
        masks = checked_mask(mask, len(images), "reference_mask", "references")
        size = images.shape[1], images.shape[2]
        clear = [mask_of(masks[i % len(masks)], size) for i in range(len(images))]
        given = [one if hidden is None else one.showing(1 - hidden[0]) for one, hidden in zip(given, clear)]
    return references.with_rules([one.shrunk(lines) for one in given], rules, "reference_rules")


def references_beyond(given: Sequence[references.Reference], frames: int) -> str:
    """What is said of references whose frame is not in a batch of so many, which may be a part of a film; empty without
    any."""
    return references.rules.beyond(given, frames)


def scenes_of(scenes: remaster.Scenes, cuts: str, start: int = 0) -> remaster.Scenes:
    """Where the cuts are: a list such as "25, 140", or without one what `scenes` says.

    Args:
        scenes: see above.
        cuts: see above.
        start: frame of the film that 0 in `cuts` stands for.

    Raises:
        InputError: something in the list is no frame number.
    """
    if not cuts.strip():
        return scenes
    numbers = frame_list(cuts, "cuts")
    if None in numbers:
        raise errors.InputError(f"cuts: {cuts!r} has a place without a number: write them as in 25, 140")
    return sorted({start + number for number in numbers if number is not None})


def gray_text(given: Sequence[references.Reference]) -> str:
    """What is said where no reference has any colour to give; else empty."""
    if not given or not all(one.is_gray for one in given):
        return ""
    return "the references are gray all over, so the film stays gray: colour them first"


def frame_numbers(
    text: str, count: int, name: str = "reference_frames", pictures: str = "references"
) -> list[int | None]:
    """Numbers such as "0, 120, -, 340", one for each of `count` references; - or nothing where none is known.

    Args:
        text: see above.
        count: of the pictures.
        name, pictures: the inputs that the text and the pictures came from, for messages.

    Raises:
        InputError: another count, or something that is no frame number.
    """
    if not text.strip():
        return [None] * count
    numbers = frame_list(text, name)
    if len(numbers) != count:
        raise errors.InputError(
            f"{name} names {len(numbers)} frames, {pictures} holds {count} pictures: give one number for "
            "each, - for a picture whose frame is not known, or leave it empty"
        )
    return numbers


def frame_list(text: str, name: str) -> list[int | None]:
    """Numbers such as "0, 120, -, 340".

    Raises:
        InputError: something that is no frame number.
    """
    entries = [entry.strip() for entry in text.strip().removesuffix(",").replace("\n", ",").split(",")]
    for entry in entries:
        if entry not in ("", "-") and not (entry.isascii() and entry.isdigit()):
            raise errors.InputError(f"{name}: {entry!r} is no frame number: write them as in 0, 120, 340")
    return [int(entry) if entry.isdigit() else None for entry in entries]


def write_numbers(numbers: Sequence[int | None]) -> str:
    """What `frame_numbers` reads; empty where no number is known at all."""
    if all(number is None for number in numbers):
        return ""
    return ", ".join("-" if number is None else str(number) for number in numbers)


def one_size(given: Sequence[references.Reference]) -> tuple[Tensor, Tensor]:
    """Pictures as one batch of the size of the largest, and their MASKs: 1 where they are transparent.

    The others are fitted inside, in the middle, and their outermost pixels are repeated to the edge: no colour comes in
    that they do not have.
    """
    height, width = max((r.rgb.shape[-2:] for r in given), key=lambda size: size[0] * size[1])
    out = torch.empty(len(given), height, width, 4)
    for i, reference in enumerate(given):
        h, w = reference.rgb.shape[-2:]
        known = torch.ones(h, w) if reference.known is None else reference.known
        rgb = torch.cat((reference.rgb, known[None]))[None]
        scale = min(height / h, width / w)
        size = min(height, max(1, round(h * scale))), min(width, max(1, round(w * scale)))
        if size != (h, w):
            rgb = F.interpolate(rgb, size, mode="bilinear", antialias=True, align_corners=False)
        top, left = (height - size[0]) // 2, (width - size[1]) // 2
        pad = (left, width - size[1] - left, top, height - size[0] - top)
        out[i] = F.pad(rgb, pad, mode="replicate")[0].permute(1, 2, 0).clamp(0, 1)
    return out[..., :3].contiguous(), 1 - out[..., 3]


def _cuts(images: Tensor, check: Check) -> list[int]:
    """All cuts of a batch, for references that act in their shot."""
    detector = remaster.CutDetector()
    for picture in pictures(images, check):
        detector.push(picture.luma)
    detector.finish()
    return detector.cuts


def _room(images: Tensor, scale: int = 1) -> Tensor:
    count, height, width, _ = images.shape
    return torch.empty((count, scale * height, scale * width, 3))
