"""Edits a references.toml: stamps its entries with the checksums of their pictures, and adds entries."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..system.inputs import sha256
from ..system.texts import read_text
from .manifest import NAME, Entry, Manifest, Origin, inside, parse_manifest, read_manifest, to_toml, write_toml
from .reference import frame_number, pictures_in, warn_of_unused

log = logging.getLogger(__name__)


def stamp(folder: Path) -> int:
    """Bring a folder's `references.toml` up to date: every picture gets an entry and its sha256.

    What a person wrote stays: comments, the order of the entries, how values are spelled. Origins that stand between
    entries come behind them.

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
    _write(toml, Manifest(stamped, held.origins))
    return len(stamped)


def add_entries(folder: Path, entries: Sequence[Entry]) -> None:
    """Name pictures in a folder's `references.toml`; what it says of pictures that it names stays, and so does what a
    person wrote beside it.

    Raises:
        InputError: the manifest is wrong, or cannot be written.
    """
    toml = folder / NAME
    held = read_manifest(toml) if toml.is_file() else Manifest()
    named = {os.path.normpath(entry.picture) for entry in held.entries}
    new = tuple(entry for entry in entries if os.path.normpath(entry.picture) not in named)
    if new:
        _write(toml, Manifest((*held.entries, *new), held.origins))


def set_origin(folder: Path, pictures: Sequence[str], name: str, origin: Origin) -> None:
    """Say of pictures in a folder's `references.toml` where they come from, and what that means unless it is said there
    already; what a person wrote beside it stays. Pictures without an entry get one.

    Args:
        folder: of the pictures.
        pictures: their names.
        name: of the origin.
        origin: what holds for it.

    Raises:
        InputError: the manifest is wrong, or cannot be written.
    """
    toml = folder / NAME
    held = read_manifest(toml) if toml.is_file() else Manifest()
    wanted = {os.path.normpath(picture) for picture in pictures}
    entries = [replace(one, origin=name) if os.path.normpath(one.picture) in wanted else one for one in held.entries]
    named = {os.path.normpath(entry.picture) for entry in held.entries}
    new = [picture for picture in pictures if os.path.normpath(picture) not in named]
    entries += [Entry(picture=picture, frame=frame_number(picture), origin=name) for picture in new]
    _write(toml, Manifest(tuple(entries), {**held.origins, name: held.origins.get(name, origin)}))


def _write(toml: Path, manifest: Manifest) -> None:
    text = _edited(toml, manifest) if toml.is_file() else to_toml(manifest)
    write_toml(toml, text, overwrite=True)


def _edited(toml: Path, manifest: Manifest) -> str:
    """The text of a manifest with the sha256 and the origins of its entries, and with entries and origins behind those
    that it has."""
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    try:
        document = tomlkit.parse(read_text(toml))
        listed = document.setdefault("reference", tomlkit.aot())
        for table, entry in zip(listed, manifest.entries):
            if entry.sha256 and table.get("sha256", "").lower() != entry.sha256:
                _set(table, "sha256", entry.sha256)
            if table.get("origin", "") != entry.origin:
                _set(table, "origin", entry.origin)
        _append(listed, manifest.entries[len(listed) :])
        new = Manifest((), {k: v for k, v in manifest.origins.items() if k not in document.get("origin", {})})
        text = tomlkit.dumps(document)
        if new.origins:
            text = f"{text.rstrip()}\n\n{to_toml(new)}"
        if parse_manifest(text, str(toml)) == manifest:
            return text
    except (TOMLKitError, InputError) as error:
        log.debug("%s could not be edited: %s", toml, error)
    log.warning("%s is written anew, without its comments: it could not be edited as it stands", toml)
    return to_toml(manifest)


def _append(listed: Any, entries: Sequence[Entry]) -> None:
    """Add entries to a list of tables or of inline tables."""
    import tomlkit
    from tomlkit.items import AoT

    blocks, apart = isinstance(listed, AoT), len(listed) > 0  # tomlkit leaves lines between tables of its own only
    for entry in entries:
        table = tomlkit.table() if blocks else tomlkit.inline_table()
        for name in ("picture", "frame", "scope", "origin", "sha256"):
            if getattr(entry, name) not in (None, "", "film"):
                table[name] = getattr(entry, name)
        if blocks and apart:
            listed[-1].add(tomlkit.nl())
        listed.append(table)


def _set(table: Any, name: str, value: str | None) -> None:
    """Set a value of a table, above comments at its end: those speak of what follows."""
    from tomlkit.items import Table

    behind = []
    if isinstance(table, Table):
        body = table.value.body
        while body and body[-1][0] is None:
            behind.append(body.pop()[1])
    table[name] = value
    for item in reversed(behind):
        table.add(item)
