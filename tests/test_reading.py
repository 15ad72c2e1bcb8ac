"""Reading film that is damaged, turned, without times, of changing size, or no file at all."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.test_video import film
from vs_remaster import video
from vs_remaster.video import VideoReader

NTSC = Fraction(24000, 1001)
COUNT = 60
LAST = COUNT - 1
DAMAGED = [(46,), (LAST - 1,), (LAST,), (5, 30, LAST - 2, LAST - 1, LAST)]


def remade(source: Path, target: Path, change) -> None:
    """Copy the packets of a film; `change(number, bytes)` gives other bytes or None."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        packets = (packet for packet in old.demux(video=0) if packet.size)
        for number, packet in enumerate(packets):
            other = change(number, bytes(packet))
            if other is not None:
                altered = av.Packet(other)
                altered.pts, altered.dts, altered.duration = packet.pts, packet.dts, packet.duration
                altered.time_base, altered.is_keyframe = packet.time_base, packet.is_keyframe
                packet = altered
            packet.stream = stream
            new.mux(packet)


# --- damage ---


def noise(size: int) -> bytes:
    return np.random.default_rng(size).bytes(size)


CODECS = {
    "intra.mp4": {"codec": "libx264", "options": {"bf": "0", "g": "1"}},
    "b.mp4": {"codec": "libx264", "options": {"bf": "3"}},
    "b.mkv": {"codec": "libx264", "options": {"bf": "3"}},
    "hevc.mkv": {"codec": "libx265", "options": {"x265-params": "log-level=none"}},
    "mpeg2.mkv": {"codec": "mpeg2video", "options": {"bf": "2"}, "rate": Fraction(25)},
    "mpeg4.avi": {"codec": "mpeg4", "options": {"bf": "2"}},
    "prores.mov": {"codec": "prores_ks", "pix_fmt": "yuv422p10le"},
    "ffv1.mkv": {"codec": "ffv1", "options": {"level": "3", "slicecrc": "1"}},
    "vp9.mkv": {"codec": "libvpx-vp9", "options": {"cpu-used": "8"}},
    "mjpeg.avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
}
INTRA = {"intra.mp4", "prores.mov", "mjpeg.avi"}


@pytest.mark.parametrize("name", CODECS)
def test_a_damaged_film_is_the_same_with_any_number_of_threads(tmp_path, name, monkeypatch, caplog):
    """No frame is lost behind a damaged one, and none without a word."""
    source = tmp_path / f"whole-{name}"
    film(source, COUNT, **CODECS[name])
    for damaged in DAMAGED:
        path = tmp_path / name
        remade(source, path, lambda n, data, lost=damaged: noise(len(data)) if n in lost else None)
        told = []
        for threads in (1, 2, 8, 16, 32):
            monkeypatch.setattr(video, "THREADS", threads)
            caplog.clear()
            with VideoReader(path) as reader:
                numbers = [frame.pts for frame in reader]
                told.append((numbers, reader.truncated, caplog.text))
        assert all(one == told[0] for one in told)
        assert told[0][1] and "damaged" in told[0][2]
        if name in INTRA:
            assert len(told[0][0]) == COUNT - len(damaged)
