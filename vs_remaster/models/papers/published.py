"""Where the authors' weight files of DeepRemaster and RTN keep the parts of our networks."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from .deepremaster import DeepColorizer, DeepRestorer
from .flow import raft_name
from .rtn import RtnConfig, RtnRestorer

RTN = RtnConfig(flow="raft", rgb=True)
"""The configuration of the restorer that RTN's authors published."""

_AGGREGATION = {"project": "conv2d_projection_head", "guide": "conv2d_1", "mask": "conv2d_2"}
_SPATIAL = {
    "first": "conv_first", "halve": "conv_second", "norm_in": "patch_embed.norm", "norm_out": "norm",
    "after": "conv_after_body", "before_up": "conv_before_upsample.0", "up": "conv_up1", "last": "conv_last",
}  # fmt: skip
_BLOCK = {
    "attention.bias": "attn.relative_position_bias_table", "attention.qkv": "attn.qkv", "attention.out": "attn.proj",
    "mlp.0": "mlp.fc1", "mlp.2": "mlp.fc2", "norm1": "norm1", "norm2": "norm2",
}  # fmt: skip
_DECODER = {"0": "concate", "2": "up1.up_conv", "4": "up2.up_conv", "6": "conv_hr", "8": "conv_last"}
_COUNTED = ("relative_position_index", "attn_mask")  # stored there, but no weights


def _rtn_parts() -> dict[str, str]:
    parts = {"flow": "flow", **{f"decoder.{ours}": theirs for ours, theirs in _DECODER.items()}}
    for pass_, theirs in (("from_past", "forward"), ("from_future", "backward")):
        for ours, name in _AGGREGATION.items():
            parts[f"{pass_}.aggregation.{ours}"] = f"{theirs.title()}_Aggregation.{name}"
        for ours, name in _SPATIAL.items():
            parts[f"{pass_}.spatial.{ours}"] = f"{theirs}_resblocks.{name}"
        for i, depth in enumerate(RTN.depths):
            group, layer = f"{pass_}.spatial.groups.{i}", f"{theirs}_resblocks.layers.{i}"
            parts[f"{group}.conv"] = f"{layer}.conv"
            for j in range(depth):
                for ours, name in _BLOCK.items():
                    parts[f"{group}.blocks.{j}.{ours}"] = f"{layer}.residual_group.blocks.{j}.{name}"
    return parts


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
    RtnRestorer: _rtn_parts(),
}  # fmt: skip
"""Where the authors' file keeps the parts of each network: our name to theirs."""

_LEAVES = {"conv": "conv3d", "norm": "bn", "query": "query_conv", "key": "key_conv", "value": "value_conv"}


def published_name(net: nn.Module, key: str) -> str:
    """The authors' name for the entry `key` of a network's state."""
    parts = PUBLISHED[type(net)]
    part = next(ours for ours in parts if key == ours or key.startswith(ours + "."))
    if isinstance(net, RtnRestorer):
        return parts[part] + key.removeprefix(part)
    return ".".join([parts[part], *(_LEAVES.get(leaf, leaf) for leaf in key[len(part) + 1 :].split("."))])


def recognise(stored: object) -> str | None:
    """Whose networks a file of `torch.save` holds: `deepremaster`, `rtn`, `raft` (a flow network alone), or None."""
    if not isinstance(stored, Mapping):
        return None
    if "modelR" in stored or "modelC" in stored:
        return "deepremaster"
    names = [str(key).removeprefix("module.") for key in stored]
    if "netG" in stored or any(name.startswith(("Forward_Aggregation.", "forward_resblocks.")) for name in names):
        return "rtn"
    return "raft" if any(name.startswith("fnet.") for name in names) else None


def rtn_entries(stored: Mapping, flow: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
    """What RTN's file holds, with RAFT, its own or that of `flow`, under our names as `flow.`; without it if there is
    none.

    Raises:
        ValueError: no entry of `flow` belongs to RAFT.
    """
    own = {key.removeprefix("module."): value for key, value in stored.get("netG", stored).items()}
    entries = {key: x for key, x in own.items() if not key.startswith("spynet.") and not key.endswith(_COUNTED)}
    raft = {key: x for key, x in own.items() if key.startswith("spynet.")} if flow is None else flow
    named = {raft_name(key.removeprefix("module.").removeprefix("spynet.")): x for key, x in raft.items()}
    found = {f"flow.{name}": x for name, x in named.items() if name}
    if flow is not None and not found:
        raise ValueError("no entry is one of RAFT, such as fnet.conv1.weight")
    return {**entries, **found}


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
