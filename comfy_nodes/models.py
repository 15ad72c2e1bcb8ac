"""Which model a node works with, and the workers that are kept between runs."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .library import errors, remaster, weights

FOLDER = "remaster"
"""The folder of weight files in ComfyUI's `models`."""
_KEPT = 4  # workers; each takes a few dozen MB
_WORKING = {"restorer": 5400, "colorizer": 4000}  # bytes a pixel that a network of `quality` sees, in fp32
_MOST = 1_300_000  # pixels it sees at once: larger frames are cut into tiles
_WEIGHTS = ".safetensors"


@dataclass(frozen=True)
class ModelChoice:
    """What the nodes that load models hand on.

    Attributes:
        name: as chosen on the page, for messages.
        network: what it does, `restorer` or `colorizer`.
        model: for the `model` of the options: a shipped variant or a path.
        device: `auto` (ComfyUI's) or `cpu`.
        precision: as in the options.
    """

    name: str
    network: str
    model: str
    device: str = "auto"
    precision: str = "auto"


def register_folder() -> None:
    """Make `models/remaster` known to ComfyUI, beside what `extra_model_paths.yaml` names; it is not created."""
    import folder_paths

    folder_paths.add_model_folder_path(FOLDER, str(Path(folder_paths.models_dir) / FOLDER))


def names(network: str | None = None) -> list[str]:
    """What can be chosen: the shipped weights, those the user has imported, then the files in `models/remaster`.

    Args:
        network: only those that are one, `restorer` or `colorizer`; a file that tells nothing is left in.
    """
    import folder_paths

    try:
        shipped = [name for name in weights.manifest() if name.partition("-")[0] in _WORKING]
    except errors.RemasterError:
        shipped = []
    found = folder_paths.get_filename_list(FOLDER) if FOLDER in folder_paths.folder_names_and_paths else []
    every = shipped + weights.imported() + [name for name in found if name.endswith(_WEIGHTS)]
    return every if network is None else [name for name in every if _kind(name) in (network, "")]


def _kind(name: str) -> str:
    """What the network of a name does; empty where that cannot be told."""
    if not name.endswith(_WEIGHTS):
        return name.partition("-")[0]
    try:
        return weights.network_of(path_of(name)).rpartition("-")[2]
    except (errors.RemasterError, OSError):
        return ""


def check(name: str, network: str | None) -> None:
    """What ComfyUI asks of a choice, but for a name from before that means other weights now.

    Raises:
        InputError: no such model, or one that is no `network`.
    """
    path_of(name)
    kind = _kind(name)
    if network is not None and kind not in (network, ""):
        raise errors.InputError(f"the model {name} is a {kind}: choose a {network}, or use Load {kind.capitalize()}")


def choose(name: str, device: str, precision: str) -> ModelChoice:
    """The choice that a name on the page stands for; looks into the file, but does not load it.

    Raises:
        InputError: no such file, or none of ours.
    """
    path = path_of(name)
    if name.endswith(_WEIGHTS):
        network = weights.network_of(path).rpartition("-")[2]  # what it does stands after whose it is
        return ModelChoice(name, network, str(path), device, precision)
    network, _, variant = name.partition("-")
    return ModelChoice(name, network, variant, device, precision)


def path_of(name: str) -> Path:
    """The file that a name stands for.

    Raises:
        InputError: it is not there, or damaged.
    """
    if not name.endswith(_WEIGHTS):
        network, _, variant = name.partition("-")
        return weights.find(network, variant)
    import folder_paths

    path = folder_paths.get_full_path(FOLDER, name)
    if path is None:
        folders = " or ".join(folder_paths.get_folder_paths(FOLDER))
        raise errors.InputError(f"no model {name!r} in {folders}: put the file there and reload the page (R)")
    return Path(path)


def restorer(choice: ModelChoice | None, **options: Any) -> remaster.Restorer:
    """A restorer, to be made ready with `bring`; see `RestoreOptions`."""
    wanted = remaster.RestoreOptions(**_how(choice, "restorer"), **options)
    # with all that any options may ask for, so that whoever works with it after this has it
    return _worker("restorer", remaster.Restorer, replace(wanted, strength=1.0, sharpness=1.0, scale=1)).like(wanted)


def colorizer(choice: ModelChoice | None, **options: Any) -> remaster.Colorizer:
    """A colorizer, to be made ready with `bring`; see `ColorizeOptions`."""
    wanted = remaster.ColorizeOptions(**_how(choice, "colorizer"), **options)
    return _worker("colorizer", remaster.Colorizer, wanted).like(wanted)


def bring(workers: Sequence[remaster.Restorer | remaster.Colorizer], height: int, width: int) -> None:
    """Bring networks to their devices, where ComfyUI may have moved them away from, and free the memory there that
    frames of `height` x `width` will take at work. All that work together come at once: one could push out another."""
    import comfy.model_management as management

    nets = [engine.net for worker in workers for engine in _engines(worker)]
    patchers = [one for kept in _kept.values() for one in kept.patchers if any(one.model is net for net in nets)]
    needed = [_WORKING[w.info.network] * min(_MOST, math.prod(w.size(height, width))) for w in workers]
    # all of it: left to itself ComfyUI leaves parameters that lie beside other modules where they are
    management.load_models_gpu(patchers, memory_required=max(needed), force_full_load=True)


def _how(choice: ModelChoice | None, network: str) -> dict[str, Any]:
    """The part of the options that a choice settles.

    Raises:
        InputError: it is for another network.
    """
    if choice is None:
        return {"device": device_name("auto")}
    if choice.network != network:
        raise errors.InputError(
            f"the model {choice.name} is a {choice.network}, this input takes a {network}: choose one that begins with "
            f"{network}, or plug nothing in"
        )
    return {"model": choice.model, "device": device_name(choice.device), "precision": choice.precision}


def device_name(device: str) -> str:
    """The library's name for the device that ComfyUI works on; `cpu` where that is neither NVIDIA's nor AMD's."""
    import comfy.model_management as management

    if device != "auto":
        return device
    torch_device = management.get_torch_device()
    if torch_device.type != "cuda":
        return "cpu"
    return "cuda" if torch_device.index is None else f"cuda:{torch_device.index}"


@dataclass(frozen=True)
class _Kept:
    """The worker that was made with loaded networks, and ComfyUI's handles that move these between memories."""

    worker: Any
    patchers: list[Any]


_kept: OrderedDict[tuple, _Kept] = OrderedDict()


def _worker(network: str, make: type, options: Any) -> Any:
    """A worker with such options; networks are loaded once, also for options that differ in other things."""
    file = Path(options.model)
    changed = file.stat().st_mtime_ns if file.suffix == _WEIGHTS and file.is_file() else None
    automatic = getattr(options, "automatic", False)
    key = network, options.model, changed, options.device, options.precision, options.engine, automatic
    if key not in _kept:
        worker = make(options)
        _kept[key] = _Kept(worker, [_patcher(engine) for engine in _engines(worker)])
        while len(_kept) > _KEPT:
            _kept.popitem(last=False)
    _kept.move_to_end(key)
    return _kept[key].worker


def _engines(worker: remaster.Restorer | remaster.Colorizer) -> list[Any]:
    """What runs the networks of a worker."""
    beside = worker.sharpener if isinstance(worker, remaster.Restorer) else worker.guesser
    return [worker.engine, *([beside.engine] if beside else [])]


def _patcher(engine: Any) -> Any:
    import torch
    from comfy.model_patcher import ModelPatcher

    return ModelPatcher(engine.net, load_device=torch.device(engine.device), offload_device=torch.device("cpu"))
