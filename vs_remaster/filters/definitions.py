"""The VapourSynth filters: restore, colorize and merge_lab, thin over `vs_remaster.remaster`.

Frame n of a result depends on the clip, the options and n alone: not on the order in which frames are asked for, on
the number of threads or on other calls in the script. Nothing goes through 8 bits.
"""

from __future__ import annotations

import numbers
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch

from ..color.hues import HueGain
from ..color.look import Lut
from ..color.matrices import H273_MATRICES
from ..color.samples import Samples, decode, decode_luma, decode_rgb, encode
from ..engines.transfer import Transfer
from ..errors import InputError
from ..models.layers import Halo
from ..references.reference import Reference, load_references
from ..references.rules import settle
from ..remaster.colorizer import Colorizer
from ..remaster.memory import ReferenceSet
from ..remaster.merging import merge_lab as merge_tensors
from ..remaster.options import ColorizeOptions, Edges, Levels, PrepareOptions, RestoreOptions, check_weight
from ..remaster.restorer import Passing, Restorer
from .blocks import blocks
from .clips import (
    check_clip,
    describe,
    errors_of,
    frame_with,
    keep_frames,
    luma_of,
    of_format,
    planes_of,
    samples_of,
    samples_of_format,
    shifted,
    vs,
    whole_numbers,
)
from .preparing import PROTECT, REPAIR, finish_props, is_lost, luma_in, mask_in, planes_in, prepared, with_mask
from .scene_marks import Scenes
from .sources import Source, Sources, Steps

_RESTORE, _COLORIZE, _PREPARE = RestoreOptions(), ColorizeOptions(), PrepareOptions()
_MOST_REFERENCES = 1000  # of a clip: more is a film, not a choice of frames

_MASK, _SOURCE, _SHOWN = "RemasterMask", "RemasterSource", "RemasterShown"  # properties of frames on their way

Frames = Sequence[vs.VideoFrame]

References = str | os.PathLike[str] | Iterable[str | os.PathLike[str]] | vs.VideoNode
"""A folder of pictures, a picture, a list of both, or a clip whose frames are the pictures."""


def restore(
    clip: vs.VideoNode,
    *,
    model: str = _RESTORE.model,
    strength: float = _RESTORE.strength,
    grain: float = _RESTORE.grain,
    sharpness: float = _RESTORE.sharpness,
    scale: int = _RESTORE.scale,
    levels: Sequence[float] | None = _RESTORE.levels,
    sharpener: str = _RESTORE.sharpener,
    lines: int = _RESTORE.lines,
    tile: int = _RESTORE.tile,
    engine: str = _RESTORE.engine,
    device: str = _RESTORE.device,
    precision: str = _RESTORE.precision,
    scenes: Scenes = "detect",
    repair: vs.VideoNode | None = None,
    protect: vs.VideoNode | None = None,
    masks: bool = False,
    bad_frames: Sequence[int] = _PREPARE.bad_frames,
    steady: float = _PREPARE.steady,
    steady_edges: Edges = _PREPARE.steady_edges,
) -> vs.VideoNode | tuple[vs.VideoNode, vs.VideoNode]:
    """Remove noise, dust, scratches, flicker and blur.

    Of YUV clips only the luma is touched, with `levels` and `scale` also the chroma. Frames get the property
    `RemasterDamage`: the share of the frame that was repaired, 0..1.

    Args:
        clip: GRAY, YUV or RGB of 8 to 16 bits, half or single float, progressive.
        model, strength, grain, sharpness, scale, sharpener, lines, tile, engine, device, precision: see
            `RestoreOptions`.
        levels: [LOW, HIGH] or [LOW, HIGH, GAMMA], see `Levels`: luma of the restored picture, 0..1 whatever the format,
            that becomes black and white. Nobody knows where a shot ends before it is read, so they cannot be found
            here.
        scenes: `detect`: scenes are found (and marked on the frames, for filters that follow); `props`: they begin
            where `_SceneChangePrev` or, on the frame before, `_SceneChangeNext` is 1; None: the clip is one scene; a
            list: the numbers of the frames that begin one. No frame is mixed with those of another scene.
        repair: a clip of the same length, of any size and format, white (the highest code value) where there is damage
            whatever the network thinks; `strength` does not weaken that.
        protect: such a clip, white where the picture stays as it was, bit for bit; it wins over `repair`.
        masks: also return what was repaired, a clip of GRAYS, 0..1.
        bad_frames, steady, steady_edges: see `steady`, which they do before all else, in full precision.

    Returns:
        A clip of the same format, length, rate and properties, at `scale` 2 of twice the width and height; with `masks`
        that and the clip of what was repaired, which are made together.

    Raises:
        vs.Error: named after the filter: what was wrong, the value, what to do.
    """
    name = "restore"
    with errors_of(name):
        check_clip(clip)
        restorer = Restorer(
            RestoreOptions(
                model=model,
                strength=strength,
                grain=grain,
                sharpness=sharpness,
                scale=scale,
                levels=Levels.of(levels),
                sharpener=sharpener,
                lines=lines,
                tile=tile,
                engine=engine,
                device=device,
                precision=precision,
            )
        )

        for prop, mask in ((REPAIR, repair), (PROTECT, protect)):
            if mask is not None:
                check_clip(mask, prop.removeprefix("Remaster").lower())
                clip = with_mask(clip, mask, prop)
        clip = prepared(clip, _preparation(bad_frames, steady, steady_edges), scenes, name)
        size = (
            clip if scale == 1 else clip.std.BlankClip(width=scale * clip.width, height=scale * clip.height, keep=True)
        )
        transfer = Transfer(restorer.engine.home)
        if not transfer.idle:
            steps = Steps(restorer.steps, transfer)
            made = blocks(
                clip, clip.format.id, steps.window, scenes, partial(_lifted, restorer, steps, masks), name, like=size
            )
            return _apart(made, masks)
        made, last = clip, len(restorer.steps) - 1
        for number, (window, make) in enumerate(restorer.steps):
            finish = partial(_finished, restorer, masks) if number == last else None
            process = partial(_step, make, finish=finish, first=number == 0)
            fmt = clip.format.id if number == last else vs.GRAYS
            made = blocks(made, fmt, window, scenes, process, name, like=size if number == last else clip)
        return _apart(made, masks)


def _apart(made: vs.VideoNode, masks: bool) -> vs.VideoNode | tuple[vs.VideoNode, vs.VideoNode]:
    """The result; with `masks` that, and what it carries."""
    if not masks:
        return made
    return made.std.RemoveFrameProps([_SHOWN]), made.std.PropToClip(_SHOWN).std.RemoveFrameProps([_SHOWN])


def _lifted(
    restorer: Restorer,
    steps: Steps,
    masks: bool,
    frames: Frames,
    halo: Halo,
    blank: vs.VideoFrame,
    start: int,
) -> list[vs.VideoFrame]:
    """All steps of restoring on a device."""
    return [_restored(restorer, masks, source, blank, made) for source, made in steps.process(frames, halo, start)]


def _step(
    make: Callable[[Sequence[Passing], Halo], list[Passing]],
    frames: Frames,
    halo: Halo,
    blank: vs.VideoFrame,
    start: int,
    *,
    finish: Callable[[vs.VideoFrame, vs.VideoFrame, Passing], vs.VideoFrame] | None,
    first: bool,
) -> list[vs.VideoFrame]:
    """A step of restoring from frames to frames: the film's before the first step, and after the last (`finish`: what
    makes them), between them luma in full precision."""
    given = [Passing(luma_in(frame), repair=mask_in(frame, REPAIR)) if first else _passing(frame) for frame in frames]
    made = make(given, halo)
    sources = [frame if first else frame.props[_SOURCE] for frame in frames[halo.kept(len(frames))]]
    if finish:
        return [finish(source, blank, frame) for source, frame in zip(sources, made)]
    return [_half_restored(source, blank, frame) for source, frame in zip(sources, made)]


def _half_restored(source: vs.VideoFrame, blank: vs.VideoFrame, made: Passing) -> vs.VideoFrame:
    """A frame of `blank`'s format with the luma in full precision, which carries its mask and what it was made of."""
    out, other = frame_with(source, blank, [made.luma[0].numpy()]), blank.copy()
    np.copyto(np.asarray(other[0]), made.found[0].numpy())
    out.props[_MASK], out.props[_SOURCE] = other, source
    return out


def _passing(frame: vs.VideoFrame) -> Passing:
    luma, mask = (torch.from_numpy(np.array(plane[0]))[None] for plane in (frame, frame.props[_MASK]))
    return Passing(luma, mask, mask_in(frame.props[_SOURCE], REPAIR))


def _finished(
    restorer: Restorer, masks: bool, frame: vs.VideoFrame, blank: vs.VideoFrame, made: Passing
) -> vs.VideoFrame:
    return _restored(restorer, masks, Source(frame, Transfer("cpu")), blank, made)


def _restored(restorer: Restorer, masks: bool, shot: Source, blank: vs.VideoFrame, made: Passing) -> vs.VideoFrame:
    frame, planes, samples, options = shot.frame, shot.planes, shot.samples, restorer.options
    protect, prepared = shot.protect, shot.prepared
    changes = prepared or options.strength > 0 or made.repair is not None or options.levels or options.scale > 1
    source = made.luma if options.strength == 1 and protect is None else shot.luma
    shown = restorer.finish(source, made, protect=protect)[1] if masks or protect is not None else made.found
    if changes:
        own = samples.kind == "rgb" or (samples.kind == "yuv" and (options.levels or options.scale > 1))
        chroma = shot.chroma() if prepared or own else None
        if samples.kind != "rgb":  # of YUV the chroma is left alone
            made = made._replace(mask=torch.zeros_like(made.found))
        luma, _, chroma = restorer.finish(source, made, chroma, options.levels, protect)
        planes = encode(luma, chroma, planes, samples, samples, colored=False, moved=prepared is not None)
    out = frame_with(frame, blank, planes)
    if is_lost(frame):
        shown = torch.ones_like(shown)
    finish_props(out)
    out.props["RemasterDamage"] = float(shown.mean())
    if masks:
        picture = vs.core.create_video_frame(vs.GRAYS, out.width, out.height)
        np.copyto(np.asarray(picture[0]), shown[0].cpu().numpy())
        out.props[_SHOWN] = picture
    return out


def steady(
    clip: vs.VideoNode,
    strength: float = 1.0,
    *,
    edges: Edges = _PREPARE.steady_edges,
    bad_frames: Sequence[int] = _PREPARE.bad_frames,
    scenes: Scenes = "detect",
) -> vs.VideoNode:
    """Take the weave of the film in the gate out, and leave the camera's own motion; first make lost frames anew.

    Args:
        clip: GRAY, YUV or RGB of 8 to 16 bits, half or single float, progressive.
        strength: 0..1; how much of the weave is taken out, 0: none.
        edges: `fill`: what the frames beside it show where a frame ends; `crop`: the edge is cut off.
        bad_frames: numbers of frames that are lost (torn, spliced, black, garbage), up to four in a row: they are made
            anew from those around them.
        scenes: see `restore`.

    Returns:
        A clip of the same format, length, rate and properties, and with `fill` of the same size.

    Raises:
        vs.Error: named after the filter: what was wrong, the value, what to do.
    """
    name = "steady"
    with errors_of(name):
        check_clip(clip)
        if edges == "crop" and strength == 0:
            raise InputError("edges crop cuts off what steadying leaves, and strength is 0: give 1, or take fill")
        clip = prepared(clip, _preparation(bad_frames, strength, edges), scenes, name)
        return clip.std.ModifyFrame([clip], _steadied)


def _preparation(bad_frames: Any, steady: float, edges: Edges) -> PrepareOptions:
    options = PrepareOptions(bad_frames=bad_frames, steady=steady, steady_edges=edges)
    if options.crops and not steady:
        raise InputError("steady_edges crop is of steady, which is 0: give 1, or leave it out")
    return options


def _steadied(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
    made = planes_in(f)
    planes, samples = planes_of(f), samples_of(f)
    out = frame_with(f, f, encode(*made, planes, samples, samples, colored=False, moved=True) if made else planes)
    finish_props(out)
    return out


def colorize(
    clip: vs.VideoNode,
    references: References | None = None,
    *,
    references_at: Sequence[int] | None = None,
    automatic: bool = _COLORIZE.automatic,
    model: str = _COLORIZE.model,
    saturation: float = _COLORIZE.saturation,
    saturation_hues: str | Sequence[Sequence[float]] = _COLORIZE.saturation_hues,
    lut: str | os.PathLike[str] | None = None,
    color_lines: int = _COLORIZE.lines,
    engine: str = _COLORIZE.engine,
    device: str = _COLORIZE.device,
    precision: str = _COLORIZE.precision,
    scenes: Scenes = "detect",
    format: int | None = None,
) -> vs.VideoNode:
    """Colour a clip from reference pictures.

    The luma of GRAY and YUV clips comes out bit for bit. Frames get the properties `RemasterReference`, the number of
    the reference that gave most, from 0, and `RemasterReferenceWeights`, how much each gave, 0..1 in sum.

    Args:
        clip: GRAY, YUV or RGB of 8 to 16 bits, half or single float, progressive; its own colours are replaced.
        references: a folder (its pictures in the order of the numbers in their names, with what its `references.toml`
            says of their weights and scopes), a picture, a list of both, or a clip whose frames are the pictures. Where
            they are transparent (frames: by `_Alpha`), they give no colour.
        references_at: the number of the frame that each reference shows, in their order; None: as the names say. What
            acts in its shot needs `scenes` as a list or None, or its entry says where the shot lies.
        automatic: frames that no reference acts on, all where none are given, get colours by a guess.
        model, saturation, saturation_hues, engine, device, precision: see `ColorizeOptions`.
        lut: the path of a .cube file, a look-up table for the colours; luma stays what it is.
        color_lines: height in lines at which colour is computed, whatever the clip's; more are finer and take longer.
        scenes: see `restore`.
        format: of the result, YUV or RGB (`vs.YUV420P16`); None: that of the clip, YUV444 of its depth for GRAY.

    Returns:
        A clip of the same length, rate and properties; `_Matrix` and `_Range` say what it is in.

    Raises:
        vs.Error: named after the filter: what was wrong, the value, what to do.
    """
    name = "colorize"
    with errors_of(name):
        check_clip(clip)
        fmt = _colored_format(clip, format)
        colorizer = Colorizer(
            ColorizeOptions(
                model=model,
                saturation=saturation,
                saturation_hues=HueGain.all_of(saturation_hues),
                lut=Lut.of(lut),
                lines=color_lines,
                automatic=automatic,
                engine=engine,
                device=device,
                precision=precision,
            )
        )
        cuts = () if scenes is None else None if isinstance(scenes, str) else whole_numbers(scenes)
        memory, ready = _encode_references(
            clip, references, references_at, colorizer, name, lambda known: settle(known, cuts, clip.fps or None)
        )

        window, transfer = colorizer.window, Transfer(colorizer.engine.home)
        # on a device frames are kept a little longer: two blocks may be asked for in any order
        kept = window.before + window.after + (0 if transfer.idle else 2 * window.block)
        sources = Sources(transfer, kept)

        def process(
            frames: Sequence[vs.VideoFrame], halo: Halo, blank: vs.VideoFrame, first: int
        ) -> list[vs.VideoFrame]:
            shown = sources.of(frames, first)
            made = colorizer.process([source.luma for source in shown], memory[0], halo, first)
            kept = shown[halo.kept(len(frames))]
            return [_colored(source, blank, chroma, shares) for source, (chroma, shares) in zip(kept, made)]

        return blocks(clip, fmt, colorizer.window, scenes, process, name, first=ready)


def _colored(source: Source, blank: vs.VideoFrame, chroma: torch.Tensor, shares: torch.Tensor) -> vs.VideoFrame:
    frame, samples = source.frame, source.samples
    wanted = _output_samples(samples, samples_of_format(blank.format), blank.format.id == frame.format.id)
    out = frame_with(frame, blank, encode(None, chroma, source.planes, samples, wanted, colored=True))
    describe(out, wanted)
    shares = shares.cpu()
    if len(shares):
        if shares.any():
            out.props["RemasterReference"] = int(shares.argmax())
        out.props["RemasterReferenceWeights"] = shares.tolist()
    return out


def merge_lab(
    luma: vs.VideoNode, chroma: vs.VideoNode, *, weight: float = 1.0, matrix: str = "auto", offset: int = 0
) -> vs.VideoNode:
    """Give the frames of one clip the colours of another; the luma comes out bit for bit (RGB: but for colours that
    would not exist).

    Args:
        luma: GRAY, YUV or RGB of 8 to 16 bits, half or single float, progressive.
        chroma: YUV or RGB of any size and depth; where it is smaller, the edges of its colours follow the luma.
        weight: 0..1; 0: the luma clip's own colours, 1: those of the chroma clip.
        matrix: of YUV frames that do not say theirs (`_Matrix`): a name as `bt709`, `bt601`; `auto`: by their height.
        offset: frame n takes the colour of frame n + `offset`; beyond the ends of `chroma` its first or last frame's.
            The lengths may then differ by as much.

    Returns:
        A clip of the format (GRAY becomes YUV444), size, length, rate and properties of `luma`.

    Raises:
        vs.Error: named after the filter: what was wrong, the value, what to do.
    """
    name = "merge_lab"
    with errors_of(name):
        check_clip(luma, "luma")
        check_clip(chroma, "chroma")
        _check_merge(luma, chroma, weight, matrix, offset)
        fmt = _colored_format(luma, None)
        donor = shifted(chroma, int(offset), luma.num_frames)
        blank = vs.core.std.BlankClip(None, luma.width, luma.height, fmt, luma.num_frames, keep=True)

        def merge(n: int, f: list[vs.VideoFrame]) -> vs.VideoFrame:
            with errors_of(name):
                return _merged(*f, weight, matrix)

        return of_format(luma, fmt).std.ModifyFrame([blank, luma, donor], merge)


def _merged(
    blank: vs.VideoFrame, frame: vs.VideoFrame, donor: vs.VideoFrame, weight: float, matrix: str
) -> vs.VideoFrame:
    planes, samples = planes_of(frame), samples_of(frame, matrix, "luma")
    theirs, their_samples = planes_of(donor), samples_of(donor, matrix, "chroma")
    wanted = _output_samples(samples, samples_of_format(blank.format), blank.format.id == frame.format.id)
    if weight > 0 or samples.kind == "gray":
        luma, own = decode(planes, samples, chroma=weight < 1)
        other_luma, colors = decode(theirs, their_samples)
        assert colors is not None  # a gray clip has been refused
        merged = merge_tensors(
            luma[None],
            colors[None],
            own_chroma=None if own is None else own[None],
            other_luma=other_luma[None],
            weight=weight,
        )
        planes = encode(None, merged[0], planes, samples, wanted, colored=True)
    out = frame_with(frame, blank, planes)
    describe(out, wanted)
    return out


def _check_merge(luma: vs.VideoNode, chroma: vs.VideoNode, weight: float, matrix: str, offset: int) -> None:
    check_weight(weight)
    if not isinstance(offset, numbers.Integral) or isinstance(offset, bool):
        raise InputError(f"offset must be a whole number of frames, got {offset!r}")
    if not -luma.num_frames < offset < chroma.num_frames:
        raise InputError(
            f"with an offset of {offset} no frame of luma ({luma.num_frames} frames) meets one of chroma "
            f"({chroma.num_frames}): give a smaller one"
        )
    known = sorted(set(H273_MATRICES.values()))
    if matrix != "auto" and matrix not in known:
        raise InputError(f"matrix must be auto or one of {', '.join(known)}, got {matrix!r}")
    if chroma.format.color_family == vs.GRAY:
        raise InputError(f"chroma has the format {chroma.format.name}, which holds no colour: give a YUV or RGB clip")
    if luma.fps != chroma.fps and luma.fps and chroma.fps:
        raise InputError(
            f"luma has {luma.fps} frames a second, chroma {chroma.fps}: bring both to one rate, or if they belong "
            "together frame by frame say so with std.AssumeFPS"
        )
    if abs(luma.num_frames - chroma.num_frames) > abs(offset):
        raise InputError(
            f"luma has {luma.num_frames} frames, chroma {chroma.num_frames}: cut them to one length, or give the "
            f"offset of their first frames, which allows a difference as large (now {offset})"
        )


def _colored_format(clip: vs.VideoNode, wanted: int | None) -> int:
    """Id of a colour format for a result.

    Raises:
        InputError: the wanted format is none, or does not fit the size. UnsupportedError: a depth that cannot be
            written.
    """
    source = clip.format
    if wanted is None:
        if source.color_family != vs.GRAY:
            return source.id
        return vs.core.query_video_format(vs.YUV, source.sample_type, source.bits_per_sample, 0, 0).id
    try:
        fmt = vs.core.get_video_format(wanted)
    except (vs.Error, TypeError, ValueError):
        fmt = None
    if fmt is None or fmt.color_family == vs.UNDEFINED:
        raise InputError(f"format must be one of VapourSynth's, vs.YUV444P16 for example, got {wanted!r}")
    samples_of_format(fmt, "format")
    if fmt.color_family == vs.GRAY:
        raise InputError(f"format is {fmt.name}, which holds no colour: give a YUV or RGB format")
    across, down = 1 << fmt.subsampling_w, 1 << fmt.subsampling_h
    if clip.width % across or clip.height % down:
        raise InputError(
            f"format {fmt.name} needs a width that is a multiple of {across} and a height that is one of {down}, but "
            f"clip is {clip.width}x{clip.height}: crop it, or ask for a format without subsampling"
        )
    return fmt.id


def _output_samples(source: Samples, wanted: Samples, same: bool) -> Samples:
    """What the planes of a result mean: as the source's wherever its format has that."""
    if same:
        return source
    full = source.full_range if source.kind != "rgb" and not source.floats else False
    return replace(
        wanted, matrix=source.matrix, siting=source.siting, full_range=full if wanted.kind == "yuv" else True
    )


def _encode_references(
    clip: vs.VideoNode,
    references: References | None,
    at: Sequence[int] | None,
    colorizer: Colorizer,
    name: str,
    settled: Callable[[Sequence[Reference]], list[Reference]],
) -> tuple[list[ReferenceSet], vs.VideoNode]:
    """An empty list, and a clip of one frame: when that has been made, the list holds the encoded references."""
    lines = colorizer.options.lines
    memory: list[ReferenceSet] = []
    pictures: list[Reference] = []
    clips: list[vs.VideoNode] = []
    if isinstance(references, vs.VideoNode):
        check_clip(references, "references")
        if references.format.color_family == vs.GRAY:
            raise InputError(f"references has the format {references.format.name}, which holds no colour")
        if references.num_frames > _MOST_REFERENCES:
            raise InputError(
                f"references has {references.num_frames} frames: give a clip of those to colour from only, "
                "references[0] + references[120] for example"
            )
        clips = [references[i] for i in range(references.num_frames)]
    elif references is None:
        if colorizer.guesser is None and colorizer.info.takes_references:
            raise InputError("no references were given: name a folder, pictures or a clip, or set automatic=True")
    elif isinstance(references, str | os.PathLike) or not isinstance(references, Iterable):
        pictures = load_references(references, lines=lines)
    else:
        given = list(references)
        if any(isinstance(one, vs.VideoNode) for one in given):
            raise InputError(f"references is a list of {len(given)} with clips in it: join them into one clip, a + b")
        # one by one, for they keep their order; that there is none is for `load_references` to say
        pictures = [picture for one in given for picture in load_references([one], lines=lines)] or load_references([])
    count = len(clips) or len(pictures)
    frames = [None] * count if at is None else whole_numbers(at)
    if frames is None or len(frames) != count:
        raise InputError(f"references_at must be a list of {count} frame numbers, one a reference, got {at!r}")
    if at is not None:
        pictures = [replace(picture, frame=frame, time=None) for picture, frame in zip(pictures, frames)]
    pictures = settled(pictures)
    partial = [True] * len(clips) or [picture.known is not None for picture in pictures]
    numbers = frames if clips else [picture.frame for picture in pictures]
    below = {i: n for i, n in enumerate(numbers) if n is not None and n < clip.num_frames and partial[i]}
    dot = vs.core.std.BlankClip(None, 1, 1, vs.GRAY8, 1, keep=True)

    def prepare(n: int, f: list[vs.VideoFrame] | vs.VideoFrame) -> vs.VideoFrame:
        blank, *given = f if isinstance(f, list) else [f]
        if not memory:
            with errors_of(name):
                stills, film = given[: len(clips)], dict(zip(below, given[len(clips) :]))
                shown = [_reference(still, i, shows, lines) for i, (still, shows) in enumerate(zip(stills, frames))]
                shown = [
                    one if one.known is None or i not in film else one.over(luma_of(film[i]))
                    for i, one in enumerate(pictures or shown)
                ]
                memory.append(colorizer.encode_references(shown))
        return blank

    ready = dot.std.ModifyFrame([dot, *clips, *(clip[n] for n in below.values())], prepare)
    keep_frames(ready, 1)
    return memory, ready


def _reference(frame: vs.VideoFrame, index: int, at: int | None, lines: int) -> Reference:
    rgb = decode_rgb(planes_of(frame), samples_of(frame, what="references")).clamp(0, 1)
    reference = Reference(f"frame {index} of references", rgb, at)
    if isinstance(alpha := frame.props.get("_Alpha"), vs.VideoFrame):
        samples = samples_of(alpha, what="the alpha of references")
        reference = reference.showing(decode_luma(planes_of(alpha), samples)[0])
    return reference.shrunk(lines)
