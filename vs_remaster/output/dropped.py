"""What a film has and an output cannot hold: each is said, in one warning."""

from __future__ import annotations

import logging

import av

from ..video.containers import media_url
from ..video.info import VideoInfo
from .tracks import is_cover, is_derived, kept_metadata

log = logging.getLogger(__name__)

_USUAL = {1, 2}  # BT.709, and not said: what programs take pictures for


def film_has(info: VideoInfo) -> list[str]:
    """What there is in a film beside its pictures, in words; nothing for a folder.

    Args:
        info: the film.
    """
    if info.is_folder:
        return []
    with av.open(media_url(info.path)) as container:
        streams = [stream for stream in container.streams if not is_derived(stream)]
        kinds = ["cover" if is_cover(stream) else stream.type for stream in streams]
        counts = {
            "tracks of sound": kinds.count("audio"),
            "subtitles": kinds.count("subtitle"),
            "chapters": len(container.chapters()),
            "attachments": kinds.count("attachment"),
            "covers": kinds.count("cover"),
            "other tracks of pictures": kinds.count("video") - 1,
            "tracks of data": kinds.count("data"),
        }
        metadata = sorted(kept_metadata(container.metadata))
    found = [f"{count} {what}" for what, count in counts.items() if count > 0]
    return found + ([f"metadata ({', '.join(metadata)})"] if metadata else [])


def warn_of_pictures(info: VideoInfo, codec: str) -> None:
    """Name what is lost when a film becomes a folder of pictures.

    Args:
        info: the film.
        codec: png, tiff or dpx, which alone has a place for the shape of a pixel and for colour tags.
    """
    lost = film_has(info)
    if info.sar != 1 and codec != "dpx":
        lost.append(f"the sample aspect ratio {info.sar}")
    if info.display_matrix:
        lost.append("how the picture is turned for display")
    if codec != "dpx" and not {info.tags.primaries, info.tags.transfer} <= _USUAL:
        lost.append("the colour tags")
    if lost:
        log.warning("%s left out: a folder of pictures cannot hold it", ", ".join(lost))
