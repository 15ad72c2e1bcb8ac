"""Image models that colour single pictures, in files that a person brings: nothing is downloaded."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..color.matrices import rgb_to_ycbcr
from ..engines import choose_device
from ..errors import InputError, RemasterError, UnsupportedError
from ..remaster.colorizer import Colorizer
from ..remaster.options import ColorizeOptions
from ..system.inputs import check_input
from ..weights import network_of, takes_references

Paint = Callable[[Tensor], Tensor]
"""From luma `[1, H, W]`, 0..1, to chroma `[2, H, W]`, Cb and Cr of BT.709."""


def load_image_model(path: Path, device: str = "auto") -> Paint:
    """An image model that colours gray pictures, in full precision: the same picture gets the same bits on one device.

    Args:
        path: weights that the package spandrel knows, such as those of DDColor; or a weight file of ours that takes no
            references.
        device: `auto`, `cpu`, `cuda`, `cuda:n`.

    Raises:
        InputError: no such file, no model that is known, or one that does not colour. UnsupportedError: spandrel is
            missing.
    """
    check_input(path)
    what, device = f"image model {str(path)!r}", choose_device(device)
    if not path.is_file():
        raise InputError(f"{what} is a folder: give the file of its weights")
    if _ours(path):
        return _of_ours(path, device, what)
    try:
        spandrel, extra = (import_module(name) for name in ("spandrel", "spandrel_extra_arches"))
    except ImportError as error:
        raise UnsupportedError(
            f"{what} needs the packages spandrel and spandrel-extra-arches: pip install 'vs-remaster[models]'"
        ) from error
    extra.install(ignore_duplicates=True)
    try:
        model: Any = spandrel.ModelLoader(device).load_from_file(path)
    except Exception as error:  # whatever a file that is no model makes a loader say
        why = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise InputError(
            f"{what} holds no model that spandrel knows ({why}): give the weights of DDColor, say"
        ) from error
    channels = getattr(model, "input_channels", 0), getattr(model, "output_channels", 0)
    if not isinstance(model, spandrel.ImageModelDescriptor) or model.scale != 1 or channels not in ((1, 3), (3, 3)):
        raise InputError(
            f"{what} is a {model.architecture.name}, which does not colour pictures: give one that makes R'G'B' of gray"
        )
    model.eval().float()

    @torch.inference_mode()
    def paint(luma: Tensor) -> Tensor:
        given = luma[None].float().expand(1, channels[0], -1, -1).contiguous().to(device)
        with torch.backends.cudnn.flags(deterministic=True, benchmark=False, allow_tf32=False):
            made = model(given)[0].float().cpu()
        return rgb_to_ycbcr(made.nan_to_num(0.0).clamp(0, 1))[1:]

    return paint


def _ours(path: Path) -> bool:
    try:
        network_of(path)
    except RemasterError:
        return False
    return True


def _of_ours(path: Path, device: str, what: str) -> Paint:
    if network_of(path) != "colorizer" or takes_references(str(path)):
        raise InputError(
            f"{what} does not guess colours: give the weights of an image model, or of colorizer-automatic"
        )
    colorizer = Colorizer(ColorizeOptions(model=str(path), device=device, precision="fp32"))
    memory = colorizer.encode_references(())
    return lambda luma: colorizer.colorize(luma[None], memory).chroma[0].cpu()
