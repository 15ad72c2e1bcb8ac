"""Where DeepRemaster's weight file keeps the parts of our networks."""

from __future__ import annotations

from torch import Tensor, nn

from .deepremaster import DeepColorizer, DeepRestorer

PUBLISHED: dict[type[nn.Module], dict[str, str]] = {
    DeepRestorer: {
        "head": "layers.13",
        **{f"down.{i}": f"layers.{i + 1}" for i in range(8)},
        **{f"up.{i}": f"layers.{i + 9}" for i in range(4)},
    },
    DeepColorizer: {
        **{f"source.{i}": f"down1.{i + 1}" for i in range(9)},
        **{f"reference.{i}": f"reffeatnet1.{i}" for i in range(9)},
        **{f"reference_deep.{i}": f"reffeatnet2.{i}" for i in range(3)},
        **{f"{chain}.{i}": f"{theirs}.{i}" for chain, theirs in (("flat", "flat"), ("deep", "down2")) for i in (0, 1)},
        "match8": "stattn1", "match16": "stattn2", "self16": "selfattn1", "self8": "selfattn2",
        "mix.0": "conv1", "join.0": "up1.conv3d",
        "up.0": "conv2", "up.1": "up2.0", "up.2": "up2.1", "up.3": "up3.0", "up.4": "up3.1", "up.5": "up4.0",
        "head": "up4.1",
    },
}  # fmt: skip
"""Where the authors' file keeps the parts of each network: our name to theirs."""

_LEAVES = {"conv": "conv3d", "norm": "bn", "query": "query_conv", "key": "key_conv", "value": "value_conv"}


def published_name(net: nn.Module, key: str) -> str:
    """The authors' name for the entry `key` of a network's state."""
    parts = PUBLISHED[type(net)]
    part = next(ours for ours in parts if key.startswith(ours + "."))
    return ".".join([parts[part], *(_LEAVES.get(leaf, leaf) for leaf in key[len(part) + 1 :].split("."))])


def published_state(net: nn.Module, theirs: dict[str, Tensor]) -> dict[str, Tensor]:
    """The authors' state of a network under our names and in our shapes.

    Raises:
        ValueError: an entry is missing, left over, or has another shape; the message says which.
    """
    theirs = {key.removeprefix("module."): value for key, value in theirs.items()}
    state = {}
    for key, own in net.state_dict().items():
        name = published_name(net, key)
        value = theirs.pop(name, own if key.endswith("num_batches_tracked") else None)
        if value is None:
            raise ValueError(f"{name} is missing")
        # One frame's kernel is 1x3x3 there and 3x3 here, a point's 1x1x1 and none.
        if [n for n in value.shape if n > 1] != [n for n in own.shape if n > 1]:
            raise ValueError(f"{name} has the shape {list(value.shape)} and not one of {list(own.shape)}")
        state[key] = value.reshape(own.shape)
    if theirs:
        raise ValueError(f"{next(iter(theirs))} belongs to another network")
    return state
