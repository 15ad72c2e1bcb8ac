"""Makes a trained network of ours wider and deeper without changing what it does, so that training goes on from there.

Source: Net2Net (Chen, Goodfellow & Shlens, ICLR 2016). What is new there begins at random, is not yet listened to, and
learns to be; a new residual block begins by adding nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable

import torch
from torch import Tensor

from vs_remaster.errors import InputError
from vs_remaster.models import build, config_json, network_name
from vs_remaster.models.network import Network

type Channels = Tensor | None
"""Where the channels of a small layer lie in the large one; None: all of them where they were."""


def grow(net: Network, config: str) -> Network:
    """A larger network that returns the same as `net`.

    Args:
        net: a restorer (`widths` and numbers of blocks can grow; where 1/8 is widened, what is to be done is found a
            little differently; `need` where it was 0, with which 1/400 less is done; `far` where it was 0, which begins
            as a copy of the near tone part and takes more flicker away), a sharpener (`finer` where it was 0) or a
            colorizer (`width8`, `width4`; `half` where it was 0, else it stays; `search` may be another, which changes
            the matching a little).
        config: its new hyper-parameters as JSON; those not named stay.

    Raises:
        InputError: a network of another kind, or a hyper-parameter that cannot grow so.
    """
    name = network_name(net)
    if name not in _LAYOUTS:
        raise InputError(f"a {name} cannot be grown; choose a {' or a '.join(_LAYOUTS)}, or train a fresh one")
    small = json.loads(config_json(net))
    try:
        wanted = small | json.loads(config)
    except (ValueError, TypeError) as error:
        raise InputError(
            f'{config!r} is no JSON of hyper-parameters ({error}); give such as {{"middle": 5}}'
        ) from error
    large = build(name, json.dumps(wanted))
    if parts := [key for key, value in small.items() if isinstance(value, bool) and wanted[key] != value]:
        raise InputError(f"cannot grow to {config}: {parts[0]} would be {wanted[parts[0]]}; only widths and numbers of "
                         "blocks can grow")  # fmt: skip
    if small.get("far") and wanted["far"] != small["far"]:
        raise InputError(f"cannot grow to {config}: far is {small['far']} and would be {wanted['far']}; leave it out")
    layout = _LAYOUTS[name](small, wanted)
    state = large.state_dict()
    old = net.state_dict()
    for key, value in state.items():
        if key not in old:
            if key.startswith(("detail.", "finer.")):
                continue  # a fresh one changes next to nothing
            if key.startswith("far."):
                value.copy_(old[key.replace("far.", "tone.", 1)])
                continue
            if key.startswith("need."):
                if key == "need.4.bias":
                    value.fill_(6.0)
                continue
            if ".blocks." not in key:
                raise InputError(f"cannot grow to {config}: the trained network has no {key}")
            if ".conv2." in key:
                value.zero_()
            continue
        outputs, inputs = next((found for part, found in layout.items() if key.startswith(part + ".")), (None, None))
        try:
            _put(value, old[key], outputs, inputs)
        except (IndexError, RuntimeError) as error:
            raise InputError(
                f"cannot grow to {config}: {key} would be {tuple(value.shape)} and is {tuple(old[key].shape)}; "
                "only widths and numbers of blocks can grow"
            ) from error
    if missing := old.keys() - state.keys():
        raise InputError(f"cannot grow to {config}: it has no {min(missing)}; give at least as many blocks")
    return large


@torch.no_grad()
def _put(large: Tensor, small: Tensor, outputs: Channels, inputs: Channels) -> None:
    """Write a small layer's kernel or bias into the large one; its outputs do not listen to any new input."""
    if outputs is None and inputs is None:
        large.copy_(small)
        return
    rows = torch.arange(len(large)) if outputs is None else outputs
    if large.ndim == 1:
        large[rows] = small
        return
    columns = torch.arange(large.shape[1]) if inputs is None else inputs
    large[rows] = 0
    large[rows[:, None], columns] = small


def _spread(small: int, large: int) -> Tensor:
    """Where the channels of a stage lie in a wider one: its first quarter is taken from the frame before, the second
    from the frame after."""
    if large < small:
        raise InputError(f"a width of {small} cannot become {large}; a network can only grow")
    quarter, wider = small // 4, large // 4
    k = torch.arange(small)
    return torch.where(k < quarter, k, torch.where(k < 2 * quarter, k + wider - quarter, k + 2 * (wider - quarter)))


def _shuffled(channels: Tensor) -> Tensor:
    """The same before a pixel shuffle by 2."""
    return (4 * channels[:, None] + torch.arange(4)).flatten()


def _after(first: int, *groups: tuple[Tensor, int]) -> Tensor:
    """Where concatenated channels lie: `first` that do not grow, then groups of channels, each of a width."""
    parts, start = [torch.arange(first)], first
    for channels, width in groups:
        parts.append(start + channels)
        start += width
    return torch.cat(parts)


def _restorer(small: dict, large: dict) -> dict[str, tuple[Channels, Channels]]:
    one, two, three = (_spread(a, b) for a, b in zip(small["widths"], large["widths"]))
    return {
        "stem": (one, None), "enc1": (one, one), "down1": (two, one), "enc2": (two, two), "down2": (three, two),
        "middle": (three, three), "need.0": (None, three), "up2": (_shuffled(two), three), "dec2": (two, two),
        "up1": (_shuffled(one), two), "dec1": (one, one), "head": (None, one),
    }  # fmt: skip


def _colorizer(small: dict, large: dict) -> dict[str, tuple[Channels, Channels]]:
    four, eight = (_spread(small[name], large[name]) for name in ("width4", "width8"))
    w4, w8 = large["width4"], large["width8"]
    pixels = torch.arange(16)
    deep = _after(152, (four, w4))  # the backbone's channels at 1/8 and 1/16 come first
    return {
        "fine_in": (four, None), "fine_body": (four, four), "fine_key": (None, four), "key": (None, deep),
        "coarse_in": (eight, deep), "value.0": (None, _after(8, (eight, w8))),
        "mix8": (eight, _after(4 + large["value"], (eight, w8))), "stage8a": (eight, eight), "stage8b": (eight, eight),
        "up": (_shuffled(four), eight), "mix4": (four, _after(6, (four, w4), (four, w4))), "stage4": (four, four),
        "head": (None, four), "convex.0": (four, _after(0, (four, w4), (pixels, 16))), "convex.2": (None, four),
        "detail.up": (None, four), "detail.up_hidden": (None, four),
    }  # fmt: skip


def _sharpener(small: dict, large: dict) -> dict[str, tuple[Channels, Channels]]:
    return {}  # what it has stays as it is


_LAYOUTS: dict[str, Callable[[dict, dict], dict[str, tuple[Channels, Channels]]]] = {
    "restorer": _restorer,
    "colorizer": _colorizer,
    "sharpener": _sharpener,
}
