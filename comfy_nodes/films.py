"""ComfyUI's VIDEO as a film on disk, and film-length work on it: memory does not grow with its length."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from .images import Check, checked, pictures, rgb_of
from .library import color, errors, filming, remaster, stills, video

_LAYOUTS = {1: "mono", 2: "stereo", 3: "2.1", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
_SOUND = {".mp4": "aac", ".mov": "pcm_s24le", ".mkv": "pcm_s24le"}


@dataclass(frozen=True)
class Film:
    """A film on disk, and the part of it that is meant: frames `start` to `end`, None for all there are.

    Attributes:
        first: the frame that a user calls 0.
    """

    path: Path
    start: int = 0
    end: int | None = None
    first: int = 0

    def part(self, start: int, end: int | None) -> Film:
        """Frames `start` to `end` of it, counted from `first`.

        Raises:
            InputError: there are none.
        """
        if end is not None and end <= start:
            raise errors.InputError(f"end is {end} and start {start}: end must be above, or 0 for the film's end")
        ends = [bound for bound in (self.end, None if end is None else self.first + end) if bound is not None]
        if self.end is not None and self.first + start >= self.end:
            count = self.end - self.first
            raise errors.InputError(f"start is {start}, and the video plugged in has {count} frames: 0 to {count - 1}")
        return replace(self, start=self.first + start, end=min(ends, default=None))


@contextlib.contextmanager
def film_of(source: Any, suffix: str, folder: str) -> Generator[Film]:
    """A VIDEO as a file: its own where it has one, else a temporary one that is removed afterwards.

    Args:
        source: a VIDEO.
        suffix: of the output that will be made of it, which decides how its sound is stored.
        folder: for temporary files.
    """
    with contextlib.ExitStack() as stack:

        def scratch(extension: str) -> Path:
            place = stack.enter_context(tempfile.TemporaryDirectory(prefix="remaster-", dir=folder))
            return Path(place) / f"film{extension}"

        yield _film(source, suffix, scratch)


def in_memory(source: Any) -> bool:
    """Whether all of a VIDEO lies in memory: then there is no file to read it from."""
    from comfy_api.latest import Input, InputImpl

    own = type(source).get_stream_source is not Input.Video.get_stream_source
    return isinstance(source, InputImpl.VideoFromComponents) or not own


def _film(source: Any, suffix: str, scratch: Any) -> Film:
    if in_memory(source):
        path = scratch(".mkv")
        write_components(source.get_components(), path, _SOUND[suffix], 8 if suffix == ".mp4" else 16)
        return Film(path)
    if getattr(source, "has_pending_frame_edits", bool)():  # a crop, say, that is not in its file
        path = scratch(".mp4")
        from comfy_api.latest import Types

        source.save_to(str(path), format=Types.VideoContainer.MP4, codec=Types.VideoCodec.H264)
        return Film(path)
    stream = source.get_stream_source()
    if isinstance(stream, str):
        path = Path(stream)
    else:
        path = scratch(".video")
        path.write_bytes(stream.getbuffer())
    start, duration = getattr(source, "get_active_trim_window", lambda: (0.0, 0.0))()
    if not start and not duration:
        return Film(path)
    rate = float(source.get_frame_rate())
    first = round(start * rate)
    return Film(path, first, first + max(1, round(duration * rate)) if duration else None, first)


def write_components(parts: Any, path: Path, sound: str, bits: int) -> None:
    """Write a VIDEO that lies in memory to a file.

    Args:
        parts: its pictures, sound and rate.
        path: a Matroska file.
        sound: the codec for its sound, one that the container of the output holds, to which it will be copied.
        bits: 8 or 16; what the pictures are rounded to. They are stored without loss (FFV1).

    Raises:
        InputError: it has no frames.
    """
    images = checked(parts.images, "video")
    rate = Fraction(parts.frame_rate).limit_denominator(1 << 16)
    pix_fmt = "bgr0" if bits == 8 else "gbrp16le"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=rate, options={"level": "3", "slicecrc": "1"})
        stream.height, stream.width = images.shape[1:3]
        stream.pix_fmt = pix_fmt
        track = _add_sound(container, parts.audio, sound) if parts.audio else None
        for image in images:
            codes = color.encode_plane(rgb_of(image), bits, True).numpy().astype(np.uint8 if bits == 8 else np.uint16)
            container.mux(stream.encode(video.frame_of(list(codes), pix_fmt)))
        container.mux(stream.encode(None))
        if track:
            _write_sound(container, track, parts.audio, len(images) / rate)


def _add_sound(container: Any, audio: Any, codec: str) -> Any:
    channels = audio["waveform"].shape[1]
    if channels not in _LAYOUTS:
        raise errors.InputError(f"the sound of video has {channels} channels: give 1 to {max(_LAYOUTS)}")
    return container.add_stream(codec, rate=int(audio["sample_rate"]), layout=_LAYOUTS[channels])


def _write_sound(container: Any, track: Any, audio: Any, seconds: Fraction) -> None:
    rate = int(audio["sample_rate"])
    samples = audio["waveform"][0, :, : round(seconds * rate)].float().cpu().contiguous()
    frame = av.AudioFrame.from_ndarray(samples.numpy(), format="fltp", layout=_LAYOUTS[len(samples)])
    frame.sample_rate, frame.pts = rate, 0
    container.mux(track.encode(frame))
    container.mux(track.encode(None))


Choose = Callable[[Iterable[Tensor]], list[int]]
"""From the luma of every frame, `[1, H, W]`, in order, to the numbers of those picked, ascending."""


def sharp_ones(count: int) -> Choose:
    """A sharp frame of each shot, see `stills.choose`."""
    return lambda lumas: stills.choose(stills.survey_sharpness(lumas), count)


def covering(count: int, share: float, colorizer: remaster.Colorizer) -> Choose:
    """Frames that cover the film so well, `count` at most (0: as many as it takes), see `stills.cover`."""

    def choose(lumas: Iterable[Tensor]) -> list[int]:
        with torch.inference_mode():
            film = stills.describe(lumas, colorizer)
            return stills.sharpest(film, stills.cover(film, count, share).frames)

    return choose


def pick_from_film(film: Film, choose: Choose, check: Check, done: filming.Progress) -> tuple[Tensor, list[int]]:
    """Pick frames of a film: IMAGE, and their numbers. The film is read twice; only what is picked is kept.

    Args:
        film: see `film_of`.
        choose: `sharp_ones` or `covering`.
        check: called for every frame read.
        done: called with the frames read so far and how many there will be, in the first reading.
    """

    def frames() -> Iterator[video.Frame]:
        nonlocal info, expected
        with video.VideoReader(film.path, film.start, film.end) as reader:
            info, expected = reader.info, reader.expected
            for frame in reader:
                check()
                yield frame

    def lumas() -> Iterator[Tensor]:
        for frame in frames():
            yield color.decode_luma(frame.planes, info)
            done(frame.index - film.start + 1, expected)

    info: Any = None
    expected: int | None = None
    chosen = choose(lumas())
    out = torch.empty(len(chosen), info.height, info.width, 3)
    places = {film.start + number: i for i, number in enumerate(chosen)}
    for frame in frames():
        if frame.index in places:
            out[places[frame.index]] = _rgb(frame, info)
        if frame.index - film.start == chosen[-1]:
            break
    return out, chosen


def _rgb(frame: video.Frame, info: Any) -> Tensor:
    if info.kind == "gray":
        rgb = color.decode_luma(frame.planes, info).expand(3, -1, -1)
    else:
        rgb = color.decode_rgb(frame.planes, info)
    return rgb.clamp(0, 1).permute(1, 2, 0)


def pick_from_images(images: Tensor, choose: Choose, check: Check, done: filming.Progress) -> tuple[Tensor, list[int]]:
    """Pick frames of a checked batch: IMAGE, and their numbers."""

    def lumas() -> Generator[Tensor]:
        for picture in pictures(images, check):
            yield picture.luma
            done(picture.index + 1, len(images))

    chosen = choose(lumas())
    return images[chosen].float().cpu().clamp(0, 1), chosen


def frames_of_both(before: Film, after: Film, count: int, check: Check) -> tuple[Tensor, Tensor]:
    """Frames of two films, `count` evenly spread over the second and those of the first with the same places: two
    IMAGEs of one size. The films are read once; only these frames are kept.

    Raises:
        InputError: the first film is shorter.
    """
    with video.VideoReader(after.path, after.start, after.end) as reader:
        length = sum(1 for _ in _checked(reader, check)) if reader.expected is None else reader.expected
    places = sorted({round((n + 0.5) * length / count - 0.5) for n in range(min(count, length))})
    became, was = (_frames_at(film, places, check) for film in (after, before))
    if len(was) < len(became):
        raise errors.InputError(
            f"before has no frame {places[len(was)]} that after has: give the film it was made of, and its start"
        )
    height, width = became.shape[1:3]
    small = torch.stack([_sized(frame, (height, width)) for frame in was])
    return small, became


def _frames_at(film: Film, places: list[int], check: Check) -> Tensor:
    found, wanted = [], {film.start + place for place in places}
    with video.VideoReader(film.path, film.start, film.end) as reader:
        for frame in _checked(reader, check):
            if frame.index in wanted:
                found.append(_rgb(frame, reader.info))
            if len(found) == len(wanted):
                break
    if not found:
        raise errors.InputError(f"{film.path} has no frame {min(wanted)}: give the film it was made of, and its start")
    return torch.stack(found)


def _checked(reader: video.VideoReader, check: Check) -> Iterator[video.Frame]:
    for frame in reader:
        check()
        yield frame


def _sized(frame: Tensor, size: tuple[int, int]) -> Tensor:
    """`[H, W, 3]` at another size."""
    if tuple(frame.shape[:2]) == tuple(size):
        return frame
    planes = frame.permute(2, 0, 1)[None]
    return functional.interpolate(planes, size, mode="bilinear", antialias=True)[0].permute(1, 2, 0).clamp(0, 1)
