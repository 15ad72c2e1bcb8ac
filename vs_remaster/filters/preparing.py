"""What is done to whole frames before they are restored, frame by frame of a clip.

A prepared frame is the clip's own, with what became of it in full precision as a property: nothing is rounded twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
import vapoursynth as vs

from ..color.samples import colorless, decode
from ..errors import InputError
from ..models.layers import Halo
from ..remaster.lost_frames import FrameMaker, check_lost, check_within
from ..remaster.options import PrepareOptions
from ..remaster.preparing import margins
from ..remaster.shifts import NO_SHIFT, Shift
from ..remaster.steadiness import Steadier, Woven
from ..remaster.worker import resize
from .blocks import blocks
from .clips import luma_of, planes_of, samples_of, samples_of_format, whole_numbers
from .scene_marks import NUMBER, START, Scenes, mark_scenes

REPAIR, PROTECT = "RemasterRepair", "RemasterProtect"
"""Properties that hold masks of a frame."""
_PREPARED, _LOST, _SHIFT, _WEAVE = "RemasterPrepared", "RemasterLost", "RemasterShift", "RemasterWeave"

_MASKS = (REPAIR, PROTECT)

Frames = Sequence[vs.VideoFrame]


def prepared(clip: vs.VideoNode, options: PrepareOptions, scenes: Scenes, name: str) -> vs.VideoNode:
    """A clip whose frames are prepared, see `planes_in`; with `crop` a smaller one.

    Args:
        clip: with its masks as properties, see `with_mask`.
        options: see `PrepareOptions`.
        scenes: see `Scenes`.
        name: of the filter, for messages.

    Raises:
        InputError: lost frames that the clip has not, or that cannot be made anew.
    """
    cut, lost = margins(options, clip.height, clip.width), frozenset(options.bad_frames)
    check_within(lost, clip.num_frames)
    check_lost(lost, whole_numbers(scenes) or (), clip.num_frames)
    if lost:
        clip = _with_scenes(clip, sorted(lost), scenes, name)
        maker = FrameMaker()
        clip = blocks(clip, clip.format.id, maker.window, scenes, partial(_made, maker, lost), name)
    if options.steady:
        steadier = Steadier(options.steady, options.steady_edges)
        measuring, weighing, moving = steadier.windows
        clip = blocks(clip, clip.format.id, measuring, scenes, partial(_measured, steadier), name)
        # only shifts go through this window: of the frames themselves none has to be kept for it
        dots = vs.core.std.BlankClip(None, 1, 1, vs.GRAYS, clip.num_frames, keep=True).std.CopyFrameProps(clip)
        dots = dots.std.RemoveFrameProps([_PREPARED, *_MASKS])
        weigh = partial(_weighed, steadier, (clip.height, clip.width))
        dots = blocks(dots, vs.GRAYS, weighing, scenes, weigh, name)
        clip = clip.std.CopyFrameProps(dots, props=[_WEAVE])
        clip = blocks(clip, clip.format.id, moving, scenes, partial(_moved, steadier), name)
    if cut:
        blank = clip.std.Crop(cut, cut, cut, cut).std.BlankClip(keep=True)
        clip = blank.std.ModifyFrame([blank, clip, clip.std.Crop(cut, cut, cut, cut)], partial(_cropped, cut=cut))
    return clip


def planes_in(frame: vs.VideoFrame) -> tuple[torch.Tensor, torch.Tensor | None] | None:
    """Luma `[1, H, W]`, 0..1, and chroma `[2, H, W]`, BT.709, or None, that a prepared frame has become; None where it
    is as it was."""
    held = frame.props.get(_PREPARED)
    if held is None:
        return None
    planes = torch.from_numpy(np.stack(planes_of(held)))
    return planes[:1], planes[1:] if len(planes) > 1 else None


def luma_in(frame: vs.VideoFrame) -> torch.Tensor:
    """Luma `[1, H, W]`, 0..1, of a frame, prepared or not."""
    found = planes_in(frame)
    return found[0] if found else luma_of(frame)


def is_lost(frame: vs.VideoFrame) -> bool:
    """Whether it was made anew."""
    return _LOST in frame.props


def finish_props(frame: vs.VideoFrame) -> None:
    """Take away what only frames on their way carry."""
    for prop in (_PREPARED, _LOST, _SHIFT, _WEAVE, *_MASKS):
        frame.props.pop(prop, None)


def with_mask(clip: vs.VideoNode, mask: vs.VideoNode, prop: str) -> vs.VideoNode:
    """`clip` with the frames of a mask as a property.

    Raises:
        InputError: it is of another length.
    """
    if mask.num_frames != clip.num_frames:
        raise InputError(
            f"{prop.removeprefix('Remaster').lower()} has {mask.num_frames} frames and the clip {clip.num_frames}: "
            "give one frame for each"
        )
    return clip.std.ClipToProp(mask, prop)


def mask_in(frame: vs.VideoFrame, prop: str) -> torch.Tensor | None:
    """The mask `[1, H, W]`, 0..1, that a frame carries, at its size; None where it is black or there is none."""
    held = frame.props.get(prop)
    if held is None:
        return None
    planes, samples = planes_of(held), samples_of_format(held.format, prop)
    planes = planes if samples.kind == "rgb" else planes[:1]
    mask = torch.from_numpy(np.stack(planes).astype(np.float32)).mean(0, keepdim=True)
    mask = (mask if samples.floats else mask / (2**samples.bits - 1)).clamp(0, 1)
    return resize(mask[None], (frame.height, frame.width))[0] if mask.any() else None


def _with_scenes(clip: vs.VideoNode, lost: Sequence[int], scenes: Scenes, name: str) -> vs.VideoNode:
    """Scenes are found as if lost frames were the sound one before them, at the clip's start the one after."""
    if not (isinstance(scenes, str) and scenes == "detect"):
        return clip
    shown = []
    for number in lost:
        sound = next((n for n in range(number, -1, -1) if n not in lost), None)
        shown.append(next(n for n in range(number, clip.num_frames) if n not in lost) if sound is None else sound)
    marked = mark_scenes(clip.std.FreezeFrames(lost, lost, shown), name)
    return clip.std.CopyFrameProps(marked, props=[START, NUMBER])


def _planes(frame: vs.VideoFrame) -> tuple[torch.Tensor, torch.Tensor | None]:
    found = planes_in(frame)
    if found:
        return found
    planes, samples = planes_of(frame), samples_of(frame)
    return decode(planes, samples, chroma=not colorless(planes, samples))


def _carrying(frame: vs.VideoFrame, luma: torch.Tensor, chroma: torch.Tensor | None) -> vs.VideoFrame:
    """The frame, with what it has become."""
    held = vs.core.create_video_frame(vs.GRAYS if chroma is None else vs.YUV444PS, luma.shape[-1], luma.shape[-2])
    for number, plane in enumerate(luma if chroma is None else torch.cat([luma, chroma])):
        np.copyto(np.asarray(held[number]), plane.numpy())
    out = frame.copy()
    out.props[_PREPARED] = held
    return out


def _made(
    maker: FrameMaker, lost: frozenset[int], frames: Frames, halo: Halo, blank: vs.VideoFrame, first: int
) -> list[vs.VideoFrame]:
    kept = range(len(frames))[halo.kept(len(frames))]
    gone = [first + i in lost for i in range(len(frames))]
    if not any(gone[i] for i in kept):
        return [frames[i] for i in kept]
    pictures = [_planes(frame) for frame in frames]
    colored = any(chroma is not None for _, chroma in pictures)
    gray = [luma.new_zeros((2, *luma.shape[1:])) if colored else None for luma, _ in pictures]
    given = [
        (luma, other if chroma is None else chroma, bad) for (luma, chroma), other, bad in zip(pictures, gray, gone)
    ]
    made = []
    for i, picture in zip(kept, maker.process(given, halo)):
        out = _carrying(frames[i], *picture) if gone[i] else frames[i]
        if gone[i]:
            out.props[_LOST] = 1
        made.append(out)
    return made


def _measured(steadier: Steadier, frames: Frames, halo: Halo, blank: vs.VideoFrame, first: int) -> list[vs.VideoFrame]:
    shifts = steadier.measure([luma_in(frame) for frame in frames], halo)
    return [_with(frame, _SHIFT, shift) for frame, shift in zip(frames[halo.kept(len(frames))], shifts)]


def _weighed(
    steadier: Steadier, size: tuple[int, int], frames: Frames, halo: Halo, blank: vs.VideoFrame, first: int
) -> list[vs.VideoFrame]:
    weaves = steadier.weave([_shift(frame, _SHIFT) for frame in frames], halo, size)
    return [_with(frame, _WEAVE, weave) for frame, weave in zip(frames[halo.kept(len(frames))], weaves)]


def _moved(steadier: Steadier, frames: Frames, halo: Halo, blank: vs.VideoFrame, first: int) -> list[vs.VideoFrame]:
    kept = frames[halo.kept(len(frames))]
    if all(_shift(frame, _WEAVE) == NO_SHIFT for frame in kept):
        return list(kept)
    pictures = [_planes(frame) for frame in frames]
    colored = any(chroma is not None for _, chroma in pictures)
    masks = [prop for prop in _MASKS if any(prop in frame.props for frame in frames)]
    woven = []
    for frame, (luma, chroma) in zip(frames, pictures):
        colors = luma.new_zeros((2, *luma.shape[1:])) if chroma is None else chroma
        given = [mask_in(frame, prop) for prop in masks]
        planes = [luma, *([colors] if colored else []), *(torch.zeros_like(luma) if x is None else x for x in given)]
        woven.append(Woven(tuple(planes), _shift(frame, _SHIFT), _shift(frame, _WEAVE)))
    made = []
    for number, planes in enumerate(steadier.move(woven, halo)):
        frame = kept[number]
        if _shift(frame, _WEAVE) != NO_SHIFT:
            has_chroma = pictures[halo.before + number][1] is not None
            frame = _carrying(frame, planes[0], planes[1] if has_chroma else None)
            for prop, mask in zip(masks, planes[1 + colored :]):
                held = vs.core.create_video_frame(vs.GRAYS, frame.width, frame.height)
                np.copyto(np.asarray(held[0]), mask[0].numpy())
                frame.props[prop] = held
        made.append(frame)
    return made


def _cropped(n: int, f: list[vs.VideoFrame], cut: int) -> vs.VideoFrame:
    """The frame and all that it carries without its border."""
    _, whole, inner = f
    out = inner.copy()
    for prop in (_PREPARED, *_MASKS):
        held = whole.props.get(prop)
        if held is None:
            continue
        if prop == _PREPARED:
            planes = [np.asarray(plane) for plane in planes_of(held)]
            fmt = held.format.id
        else:
            mask = mask_in(whole, prop)
            planes = [] if mask is None else [mask[0].numpy()]
            fmt = vs.GRAYS
        out.props.pop(prop, None)
        if planes:
            smaller = vs.core.create_video_frame(fmt, out.width, out.height)
            for number, plane in enumerate(planes):
                np.copyto(np.asarray(smaller[number]), plane[cut:-cut, cut:-cut])
            out.props[prop] = smaller
    return out


def _with(frame: vs.VideoFrame, prop: str, shift: Shift) -> vs.VideoFrame:
    out = frame.copy()
    out.props[prop] = [float(way) for way in shift]
    return out


def _shift(frame: vs.VideoFrame, prop: str) -> Shift:
    down, across = frame.props[prop]
    return Shift(down, across)
