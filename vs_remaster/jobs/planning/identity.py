"""Whether a film, a picture or a way to work is still the one it was when a job was begun."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from ... import weights
from ...color.samples import Samples
from ...engines import choose_device, choose_precision
from ...errors import InputError
from ...references.reference import Reference
from ...remaster.options import AUTOMATIC, ColorizeOptions, RestoreOptions
from ...remaster.sharpening import sharpener_file
from ...remaster.worker import chosen_model
from ...system.inputs import sha256
from ...video.folder import files_of

_WHOLE_FILE = 1 << 30  # larger films are told apart by parts of them
_PIECE = 16 << 20


def computation(network: str, options: RestoreOptions | ColorizeOptions | None) -> dict[str, Any] | None:
    """What decides which numbers a network gives: its weights, options, and what it runs on.

    Raises:
        RemasterError: no such model or device.
    """
    if options is None:
        return None
    model, device = chosen_model(network, options), choose_device(options.device)
    precision = options.precision
    if options.engine in ("auto", "torch") or precision != "auto":
        precision = choose_precision(precision, device)
    told = asdict(options)
    if levels := told.pop("levels", None):  # a plan that was written before there were any says nothing of them
        told["levels"] = list(levels)
    if isinstance(options, ColorizeOptions):
        hues, lut = told.pop("saturation_hues"), told.pop("lut")
        told |= {"saturation_hues": [list(one) for one in hues]} if hues else {}
        told |= {"lut": lut.sha256} if lut else {}
    if isinstance(options, RestoreOptions):
        told["sharpener"] = sha256(sharpener_file(options))
    if told.pop("automatic", False):
        told["automatic"] = sha256(weights.find(network, AUTOMATIC))
    return {
        **told,
        "model": f"{'official ' if model.endswith('-official') else ''}{sha256(weights.find(network, model))}",
        "device": device.partition(":")[0],
        "engine": "torch" if options.engine == "auto" else options.engine,
        "precision": precision,
    }


def samples_of(out: Samples) -> dict[str, Any]:
    """What the samples of an output are, to be compared. Its size follows from the film and how it is restored."""
    told = {one.name: getattr(out, one.name) for one in fields(Samples)}
    return {**told, "subsampling": list(out.subsampling)}


def fingerprint(path: Path) -> str:
    """Tell a film from another, or from what it was before: the SHA-256 of the file.

    For a file of more than 1 GiB, which would take long to read: of its size, its time and 16 MiB each at its start,
    middle and end. For a folder: of the names, sizes and times of its pictures.
    """
    digest = hashlib.sha256()
    if path.is_dir():
        for file in sorted(files_of(path)):
            stat = file.stat()
            digest.update(f"{file.name} {stat.st_size} {stat.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()
    with path.open("rb") as file:
        stat = os.fstat(file.fileno())
        if stat.st_size <= _WHOLE_FILE:
            return hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(f"{stat.st_size} {stat.st_mtime_ns}\n".encode())
        for place in (0, stat.st_size // 2, stat.st_size - _PIECE):
            file.seek(place)
            digest.update(file.read(_PIECE))
    return digest.hexdigest()


def digest(reference: Reference) -> str:
    """SHA-256 of a reference's pixels at their full size and of the size they have now, whatever its file or name, and
    of when and how much it acts; and whether it shows a frame of the film."""
    shape, likeness = tuple(reference.rgb.shape), float(reference.likeness or 0)
    told: tuple[object, ...] = (shape, float(reference.weight), reference.scope, likeness)
    if reference.nearest is not None:  # where it acts depends on its frame
        told = (*told, reference.frame, reference.origin, reference.nearest)
    shows = _FILM if reference.frame is not None or reference.time is not None else ""
    if not shows and reference.likeness is None:
        shows = _NOTHING
    return hashlib.sha256(f"{told!r} {reference.digest}".encode()).hexdigest() + shows


_FILM, _NOTHING = " of the film", " of nothing in it"


def together(digests: Sequence[str]) -> list[str]:
    """What decides about the colours that some references give: which of them show no frame of the film matters where
    others do, see `ReferenceSet.chosen`."""
    if all(any(name.endswith(shows) for name in digests) for shows in (_FILM, _NOTHING)):
        return list(digests)
    return [name.removesuffix(_FILM).removesuffix(_NOTHING) for name in digests]


def compare(begun: dict[str, Any], now: dict[str, Any], folder: Path) -> None:
    """Refuse to go on with a job that was begun otherwise.

    Raises:
        InputError: with what differs.
    """
    differing = [f"{name} was {old}, is {new}" for name, old, new in _differences(begun, now)]
    if differing:
        raise InputError(
            f"the job in {folder} was begun otherwise ({'; '.join(differing)}): run it as it was begun, or remove that "
            "folder or name another with --job to begin anew"
        )


def _differences(begun: Any, now: Any, name: str = "") -> Iterator[tuple[str, Any, Any]]:
    if isinstance(begun, dict) and isinstance(now, dict):
        for key in dict.fromkeys((*begun, *now)):
            yield from _differences(begun.get(key), now.get(key), f"{name} {key}".strip())
    elif begun != now:
        yield name, _shown(begun), _shown(now)


def _shown(value: Any) -> Any:
    if isinstance(value, str) and len(value) >= 64:
        return value[:12] + "..."
    return "none" if value is None else "on" if isinstance(value, dict) else value
