"""Small films of every format, written with PyAV alone, and what is read back of a film."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from vs_remaster.color.samples import plane_sizes
from vs_remaster.film.frames import decode_frame, encode_frame
from vs_remaster.output.formats import output_format
from vs_remaster.output.writer import open_writer
from vs_remaster.video.planes import Frame, frame_of, pixel_layout
from vs_remaster.video.reader import VideoReader

NTSC = Fraction(24000, 1001)


def random_planes(pix_fmt: str, width: int, height: int, seed: int = 0) -> list[np.ndarray]:
    """Noise in every plane of a pixel format; `width` and `height` of luma."""
    layout = pixel_layout(pix_fmt)
    rng = np.random.default_rng(seed)
    kind = np.uint8 if layout.bits == 8 else np.uint16
    sizes = plane_sizes(layout.kind, width, height, layout.subsampling)
    return [rng.integers(0, 1 << layout.bits, size, dtype=kind) for size in sizes]


def moving(pix_fmt: str, width: int, height: int, number: int) -> list[np.ndarray]:
    """A soft picture that moves, so that codecs use B-frames and every frame can be told from the others."""
    layout = pixel_layout(pix_fmt)
    planes = []
    for i, (rows, columns) in enumerate(plane_sizes(layout.kind, width, height, layout.subsampling)):
        y, x = np.mgrid[:rows, :columns]
        wave = 0.5 + 0.35 * np.sin((x * width / columns + 3 * number) / 9 + i) * np.cos(
            (y * height / rows + number) / 11
        )
        planes.append((wave * ((1 << layout.bits) - 1)).astype(np.uint8 if layout.bits == 8 else np.uint16))
    return planes


def film(
    path: Path,
    count: int = 24,
    pix_fmt: str = "yuv420p",
    size: tuple[int, int] = (64, 48),
    codec: str = "libx264",
    times: list[int] | None = None,
    rate: Fraction = NTSC,
    time_base: Fraction | None = None,
    sound: bool = False,
    options: dict[str, str] | None = None,
    **context: object,
) -> list[int]:
    """Write a film with PyAV alone and return the times of its frames."""
    times = list(range(count)) if times is None else times
    with av.open(f"file:{path}", "w") as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        stream.width, stream.height, stream.pix_fmt = *size, pix_fmt
        stream.time_base = stream.codec_context.time_base = time_base or 1 / rate
        for name, value in context.items():
            setattr(stream.codec_context, name, value)
        if sound:
            voice = container.add_stream("aac", rate=8000, layout="mono")
        for number, time in enumerate(times):
            picture = frame_of(moving(pix_fmt, *size, number), pix_fmt)
            picture.pts, picture.time_base = time, time_base or 1 / rate
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
        if sound:
            seconds = float((times[-1] + 1) * (time_base or 1 / rate))
            for k in range(int(seconds * 8000) // 1000):
                tone = np.sin(np.arange(k * 1000, (k + 1) * 1000) / 10).astype(np.float32)[None]
                block = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
                block.sample_rate, block.pts, block.time_base = 8000, k * 1000, Fraction(1, 8000)
                container.mux(voice.encode(block))
            container.mux(voice.encode(None))
    return times


def copy(source: Path, target: Path, codec: str = "x264", **options: object) -> VideoReader:
    """Pass a film through reader and writer with nothing done to it."""
    keys = {k: options.pop(k) for k in ("start", "end") if k in options}
    with VideoReader(source, **keys) as reader:
        out = output_format(reader.info, codec, colored=False)
        with open_writer(target, reader, out, codec=codec, **options) as writer:
            for frame in reader:
                luma, chroma = decode_frame(frame, reader.info)
                planes = encode_frame(luma, chroma, frame, reader.info, out, colored=False)
                writer.write(Frame(frame.index, frame.pts, planes, frame.duration))
        return reader


def frames_of(path: Path, **options: int) -> list[Frame]:
    """Every frame that the reader gives."""
    with VideoReader(path, **options) as reader:
        return list(reader)


def same(a: list[Frame], b: list[Frame]) -> bool:
    """Whether the frames have the same samples."""
    return len(a) == len(b) and all(
        len(x.planes) == len(y.planes) and all(np.array_equal(p, q) for p, q in zip(x.planes, y.planes, strict=True))
        for x, y in zip(a, b, strict=True)
    )


def stream_times(path: Path) -> list[Fraction]:
    """Time of every frame in seconds."""
    with av.open(f"file:{path}") as container:
        base = container.streams.video[0].time_base
        return [frame.pts * Fraction(base.numerator, base.denominator) for frame in container.decode(video=0)]


def pictures(folder: Path, samples: list[np.ndarray], name: str = "p{}.png") -> None:
    """Write pictures into a new folder."""
    folder.mkdir()
    for n, picture in enumerate(samples):
        (folder / name.format(n)).write_bytes(cv2.imencode(Path(name).suffix, picture)[1].tobytes())


def packets(path: Path, kind: str, number: int = 0) -> list[tuple[float, bytes]]:
    """Time in seconds and bytes of every packet of a stream."""
    with av.open(str(path)) as container:
        stream = getattr(container.streams, kind)[number]
        return [(float(p.pts * p.time_base), bytes(p)) for p in container.demux(stream) if p.size]
