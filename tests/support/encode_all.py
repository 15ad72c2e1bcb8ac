"""Passes a film through reader and writer with many codecs and prints the MD5 of what each wrote, as JSON.

A program, so that each time memory and processors are others:

    python -m tests.support.encode_all FILM FOLDER PROCESSORS CODEC:BITS...
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path

import av

from vs_remaster.film.frames import decode_frame, encode_frame
from vs_remaster.output.codecs import codec_info
from vs_remaster.output.formats import output_format
from vs_remaster.output.writer import open_writer
from vs_remaster.video.planes import Frame
from vs_remaster.video.reader import VideoReader


def write(film: Path, target: Path, codec: str, bits: int) -> None:
    with VideoReader(film) as reader:
        out = output_format(reader.info, codec, False, bits)
        with open_writer(target, reader, out, codec=codec) as writer:
            for frame in reader:
                planes = encode_frame(*decode_frame(frame, reader.info), frame, reader.info, out, colored=False)
                writer.write(Frame(frame.index, frame.pts, planes, frame.duration))


def md5(path: Path) -> str:
    """Of the pictures of a folder, or of the header and the packets of a film."""
    if path.is_dir():
        return hashlib.md5(b"".join(file.read_bytes() for file in sorted(path.iterdir()))).hexdigest()
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        told = [stream.codec_context.extradata or b""]
        told += [bytes(packet) + f"{packet.pts} {packet.is_keyframe}".encode() for packet in container.demux(stream)]
        return hashlib.md5(b"".join(told)).hexdigest()


if __name__ == "__main__":
    film, folder, processors, *wanted = sys.argv[1:]
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(processors)])
    made = {}
    for name in wanted:
        codec, bits = name.split(":")
        target = Path(folder) / f"{codec}{bits}{(codec_info(codec).suffixes or ('',))[0]}"
        write(Path(film), target, codec, int(bits))
        made[name] = md5(target)
    print(json.dumps(made))
