"""The networks and how a weight file finds its own."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Any

from ..errors import InputError
from .colorizer import ColorizerConfig, ColorizerNet
from .network import Network
from .palette import PaletteColorizer, PaletteConfig
from .papers.deepremaster import DeepColorizer, DeepRemasterConfig, DeepRestorer
from .papers.rtn import RtnColorizer, RtnConfig, RtnRestorer
from .restorer import RestorerConfig, RestorerNet
from .sharpener import SharpenerConfig, SharpenerNet


@dataclass(frozen=True)
class ModelInfo:
    """What a caller must know of a loaded network.

    Attributes:
        network: what it does, `restorer`, `sharpener` or `colorizer`.
        before, after: frames of context on each side.
        sees: so many of them are looked at themselves, and of the others thumbnails only; None: all of them.
        block: frames made at once.
        multiple_of: of both sides of a picture.
        fixed_block: another `block` would change the picture.
        scales_references: references are handed over at their own size.
        needs_references: it cannot do without any.
        takes_references: it has a use for some.
        weighs_references: it knows weights of references, and how much frames resemble them.
        lines: the height at which it sees every picture; None: any.
        marks_damage: its mask shows damage, as it was taught to; others' masks show what helps them.
        sharpens: what it made may be sharpened and enlarged; the papers' networks stay as they were published.
    """

    network: str
    before: int
    after: int
    block: int
    multiple_of: int
    sees: int | None
    fixed_block: bool
    scales_references: bool
    needs_references: bool
    takes_references: bool
    weighs_references: bool
    lines: int | None
    marks_damage: bool
    sharpens: bool


NETWORKS: dict[str, tuple[type[Network], type]] = {
    "restorer": (RestorerNet, RestorerConfig),
    "sharpener": (SharpenerNet, SharpenerConfig),
    "colorizer": (ColorizerNet, ColorizerConfig),
    "palette-colorizer": (PaletteColorizer, PaletteConfig),
    "deepremaster-restorer": (DeepRestorer, DeepRemasterConfig),
    "deepremaster-colorizer": (DeepColorizer, DeepRemasterConfig),
    "rtn-restorer": (RtnRestorer, RtnConfig),
    "rtn-colorizer": (RtnColorizer, RtnConfig),
}
"""What a weight file may hold, by the name in its header: what the network does, after whose network it is."""

_LARGEST_SIZE = 1024  # of anything in a configuration: channels, blocks, frames


def task(network: str) -> str:
    """What a network of the registry does: `restorer`, `sharpener` or `colorizer`."""
    return network.rpartition("-")[2]


def build(network: str, config: str | None = None) -> Network:
    """Make a network by name; `config`: its hyper-parameters as JSON, as stored in a weight file.

    Raises:
        InputError: the name or a hyper-parameter is unknown.
    """
    if network not in NETWORKS:
        raise InputError(f"unknown network {network!r}; this version has {', '.join(NETWORKS)}")
    make, settings = NETWORKS[network]
    try:
        values = json.loads(config) if config else {}
        for name, value in values.items():
            _check_size(name, value)
        told = settings(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})
        _check_kinds(told)
        return make(told)
    except (TypeError, ValueError, AttributeError, RuntimeError, ZeroDivisionError, IndexError) as error:
        # RuntimeError: also of brackets without end
        shown = config if config is None or len(config) < 300 else config[:300] + "..."
        raise InputError(
            f"cannot build network {network!r} from {shown!r}: {error}; the weights need another version"
        ) from error


def _check_size(name: str, value: object) -> None:
    """No network has sizes beyond these: they come from a file, and would only use up memory or time."""
    values = value if isinstance(value, list) else [value]
    numbers = [one for one in values if not isinstance(one, str)]
    if len(values) > 16 or not all(isinstance(one, int | float) and abs(one) <= _LARGEST_SIZE for one in numbers):
        raise ValueError(f"{name} must be numbers of {_LARGEST_SIZE} or less, 16 at most")


def _check_kinds(told: Any) -> None:
    """Refuse hyper-parameters that are of another kind than the defaults, or no size of a network: one that shapes no
    tensor would be noticed in mid-film only."""
    for one in fields(told):
        value, kind = getattr(told, one.name), type(one.default)
        parts = value if kind is tuple and isinstance(value, tuple) else [value]
        kinds = (int,) if kind is tuple else (int, float) if kind is float else (kind,)
        sound = all(type(part) in kinds and (kind is str or part >= 0) for part in parts)
        if not sound or (kind is tuple) != isinstance(value, tuple):
            raise ValueError(f"{one.name} = {value!r:.80}")


def config_json(net: Network) -> str:
    """The hyper-parameters of a network as JSON."""
    return json.dumps(asdict(net.config))


def network_name(net: Network) -> str:
    """The registry's name for a network."""
    for name, (make, _) in NETWORKS.items():
        if isinstance(net, make):
            return name
    raise InputError(f"{type(net).__name__} is not in the registry; add it to NETWORKS")


def info(net: Network) -> ModelInfo:
    """Facts about a network that the window and the hosts need."""
    told = {one.name: getattr(net, one.name) for one in fields(ModelInfo) if one.name != "network"}
    return ModelInfo(network=task(network_name(net)), **told)
