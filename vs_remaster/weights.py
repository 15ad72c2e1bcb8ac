"""Weight files: safetensors in half precision, a manifest with their hashes, found in the wheel or in the checkout."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from .errors import InputError
from .models import build, config_json, network_name

_PACKAGED = Path(__file__).parent / "_weights"
_CHECKOUT = Path(__file__).parent.parent / "weights"


def folder() -> Path:
    """Where the shipped weights lie: inside the installed package, or `weights/` of a checkout."""
    return _PACKAGED if (_PACKAGED / "manifest.json").is_file() else _CHECKOUT


def manifest() -> dict[str, dict]:
    """The shipped weights: name (`restorer-fast`) to file, sha256, network, licence and training record."""
    path = folder() / "manifest.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"no weights are installed: {path} is missing; install the package again") from error


def find(network: str, model: str) -> Path:
    """The file for `model` of `network`: a shipped variant (`fast`, `quality`), or the path of a weight file.

    Raises:
        InputError: there is no such variant or file, or a shipped file is damaged.
    """
    if Path(model).suffix == ".safetensors":
        if not Path(model).is_file():
            raise InputError(f"no weight file {model!r}; give the path of one, or the name of a shipped model")
        return Path(model)
    entry = manifest().get(f"{network}-{model}")
    if entry is None:
        names = " or ".join(variants(network))
        raise InputError(f"no {network} model {model!r}; use {names}, or the path of a .safetensors file")
    path = folder() / entry["file"]
    if not path.is_file() or sha256(path) != entry["sha256"]:
        raise InputError(f"the weights {path} are missing or damaged (sha256 differs); install the package again")
    return path


def variants(network: str) -> list[str]:
    """Names of the shipped variants of a network."""
    return [name.removeprefix(network + "-") for name in manifest() if name.startswith(network + "-")]


def network_of(path: Path) -> str:
    """The name of the network that a weight file holds.

    Raises:
        InputError: not a file written by `save_weights`.
    """
    return _read(path, tensors=False)[0]["network"]


def _read(path: Path, tensors: bool = True) -> tuple[dict[str, str], dict[str, torch.Tensor]]:
    """Header and, if wanted, tensors of a weight file."""
    try:
        with safe_open(str(path), "pt") as file:
            header = file.metadata() or {}
            state = {key: file.get_tensor(key).float() for key in file.keys()} if tensors else {}
    except (OSError, SafetensorError) as error:
        raise InputError(f"cannot read weights {str(path)!r}: {error}; give a .safetensors file") from error
    if "network" not in header:
        raise InputError(f"{str(path)!r} does not name its network; give a file written by export/train.py")
    return header, state


def load_weights(path: Path, network: str | None = None) -> nn.Module:
    """Load a weight file into the network that its header names, in float32, ready for inference.

    Args:
        path: a `.safetensors` file written by `save_weights`.
        network: refuse the file when it holds another network than this.

    Raises:
        InputError: not a weight file, another network, or tensors that do not fit.
    """
    header, state = _read(path)
    if network and header["network"] != network:
        raise InputError(f"{str(path)!r} holds a {header['network']}, not a {network}; give weights of a {network}")
    net = build(header["network"], header.get("config"))
    try:
        net.load_state_dict(state)
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise InputError(f"weights {str(path)!r} do not fit network {header['network']!r}: {first}") from error
    return net.eval().requires_grad_(False)


def save_weights(path: Path, net: nn.Module, state: dict[str, torch.Tensor] | None = None) -> None:
    """Write a network (or `state`, such as an EMA of it) in half precision, atomically."""
    state = state or net.state_dict()
    half = {key: value.detach().to("cpu", torch.float16).contiguous() for key, value in state.items()}
    part = path.with_suffix(".part")
    save_file(half, str(part), {"network": network_name(net), "config": config_json(net)})
    part.replace(path)


def sha256(path: Path) -> str:
    """Hex digest of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
