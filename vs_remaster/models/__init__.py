"""The networks and how a weight file finds its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, is_dataclass

from torch import nn

from ..errors import InputError
from .colorizer import ColorizerConfig, ColorizerNet
from .restorer import RestorerConfig, RestorerNet


@dataclass(frozen=True)
class ModelInfo:
    """What a caller must know of a loaded network: frames of context on each side, frames a block, size multiple."""

    network: str
    before: int
    after: int
    block: int
    multiple_of: int


NETWORKS: dict[str, tuple[Callable[..., nn.Module], type]] = {
    "restorer": (RestorerNet, RestorerConfig),
    "colorizer": (ColorizerNet, ColorizerConfig),
}


def build(network: str, config: str | None = None) -> nn.Module:
    """Make a network by name; `config`: its hyper-parameters as JSON, as stored in a weight file.

    Raises:
        InputError: the name or a hyper-parameter is unknown.
    """
    if network not in NETWORKS:
        raise InputError(f"unknown network {network!r}; this version has {', '.join(NETWORKS)}")
    make, settings = NETWORKS[network]
    try:
        values = json.loads(config) if config else {}
        return make(settings(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}))
    except (TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise InputError(
            f"cannot build network {network!r} from {config!r}: {error}; the weights need another version"
        ) from error


def config_json(net: nn.Module) -> str:
    """The hyper-parameters of a network as JSON."""
    return json.dumps(asdict(net.config) if is_dataclass(net.config) else {})


def network_name(net: nn.Module) -> str:
    """The registry's name for a network."""
    for name, (make, _) in NETWORKS.items():
        if isinstance(net, make):
            return name
    raise InputError(f"{type(net).__name__} is not in the registry; add it to NETWORKS")


def info(net: nn.Module) -> ModelInfo:
    """Facts about a network that the window and the hosts need."""
    return ModelInfo(network_name(net), net.before, net.after, net.block, net.multiple_of)
