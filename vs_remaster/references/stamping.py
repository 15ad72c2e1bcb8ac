"""Stamps the entries of a references.toml with the checksums of their pictures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from .manifest import NAME, Entry, Manifest, inside, read_manifest, sha256, write_manifest
from .reference import frame_number, pictures_in, warn_of_unused


def stamp(folder: Path) -> int:
    """Bring a folder's `references.toml` up to date: every picture gets an entry and its sha256.

    Returns:
        How many pictures there are.

    Raises:
        InputError: no pictures, one that lies elsewhere, or a manifest that is wrong.
    """
    toml = folder / NAME
    held = read_manifest(toml) if toml.is_file() else Manifest()
    listed = {inside(toml, entry.picture) for entry in held.entries}
    new = [path for path in pictures_in(folder, required=not listed) if path.resolve() not in listed]
    warn_of_unused(folder)
    new.sort(key=lambda path: (frame_number(path.name) is None, frame_number(path.name) or 0, path.name))
    entries = [*held.entries, *(Entry(picture=path.name, frame=frame_number(path.name)) for path in new)]
    stamped = tuple(replace(entry, sha256=sha256(inside(toml, entry.picture))) for entry in entries)
    write_manifest(toml, Manifest(stamped, held.origins), overwrite=True)
    return len(stamped)
