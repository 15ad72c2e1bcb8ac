"""A quick look at how far a network is, the same for every recipe; `export/evaluate.py` measures in full."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.damage import SETS, VALIDATION_EDGE, VALIDATION_FRAMES, load_templates, validation_clip
from export.material import load_clips
from export.scores.metrics import detail, fit_gain_and_offset, packed_lab, psnr, psnr_inside
from export.training.networks import network_in
from vs_remaster.color.matrices import rgb_to_ycbcr, ycbcr_to_rgb
from vs_remaster.models.network import ColorizerNetwork, Network
from vs_remaster.models.sharpener import SharpenerNet, enlarged

from .degrade import gauss_blur

COLOR_EDGE = 256
JOINT_FRAMES = 24
FEW_FRAMES = 12  # of a clip of the sets other than `frozen`: all sets together cost less than twice that one
WINDOW = 5  # frames
SHARP_FRAMES = 3


class Validation(Protocol):
    """Measures networks (`restorer`, `colorizer`), writes a picture of each clip, returns figures by name."""

    def __call__(self, nets: nn.ModuleDict, pictures: Path) -> dict[str, float]: ...


class RestoreValidation:
    """Whole frames of the validation sets, in short: all of `frozen`, and of the others the first `FEW_FRAMES` a clip.

    Of `frozen` PSNR of the input and of the result, raw (`input`, `raw`) and after one gain and offset a clip
    (`input_fitted`, `output`); of the others fitted alone (`paper_input`, `paper` and so on). Of all sets PSNR where
    damage lies (`inside`, `paper_inside`) and energy of detail as a share of the truth's (`detail`, `paper_detail`).
    `least_gain` is the smallest gain of fitted PSNR, in dB.
    """

    def __init__(self, data: Path, device: str, every: int) -> None:
        self.device = device
        self.clips = load_clips(data / "video/val", VALIDATION_EDGE, limit_frames=VALIDATION_FRAMES)[::every]
        self.templates = val_templates(data)

    def __call__(self, nets: nn.ModuleDict, pictures: Path) -> dict[str, float]:
        found = {kind: self.measured(nets, kind, pictures) for kind in SETS}
        gains = [figures["output"] - figures["input_fitted"] for figures in found.values()]
        result = found.pop("frozen")
        for kind, figures in found.items():
            result |= {f"{kind}_input": figures["input_fitted"], kind: figures["output"]}
            result |= {f"{kind}_{name}": figures[name] for name in ("inside", "detail") if name in figures}
        return result | {"least_gain": min(gains)}

    def measured(self, nets: nn.ModuleDict, kind: str, pictures: Path) -> dict[str, float]:
        """Means over the clips with the damage of one set."""
        found: dict[str, list[float]] = {}
        for clip in self.clips:
            frames = clip.frames if kind == "frozen" else clip.frames[:FEW_FRAMES]
            made = validation_clip(clip.name, frames[:, None].float() / 255, self.templates, kind)
            out = nets["restorer"](made.frames[None].to(self.device))
            luma, mask = (x[0].float().cpu().clamp(0, 1) for x in out[:2])
            scores = {
                "input": psnr(made.frames, made.target),
                "input_fitted": fitted(made.frames, made.target),
                "raw": psnr(luma, made.target),
                "output": fitted(luma, made.target),
                "inside": psnr_inside(luma, made.target, made.mask),
                "detail": detail(luma, made.target).energy,
            }
            for name, value in scores.items():
                if value is not None:
                    found.setdefault(name, []).append(value)
            middle = len(luma) // 2
            row = [x[middle, 0] for x in (made.frames, luma, made.target, mask)]
            name = clip.name if kind == "frozen" else f"{clip.name}-{kind}"
            save_picture(pictures / f"{name}.png", torch.cat(row, 1)[None])
        return {name: sum(values) / len(values) for name, values in found.items()}


class SharpenValidation:
    """Clean clips: how near they stay to themselves (`clean`, PSNR), what is gained where they are blurred with a
    Gaussian of sigma 0.8 and 1.2 (`blur_0.8`, `blur_1.2`, dB), and by enlarging those that were made half as large
    (`half`, dB above cubic interpolation). `output` is the mean of the gains, `clean` above 60 dB left out."""

    def __init__(self, data: Path, device: str, every: int) -> None:
        self.device = device
        self.clips = load_clips(data / "video/val", VALIDATION_EDGE, limit_frames=SHARP_FRAMES)[::every]

    def __call__(self, nets: nn.ModuleDict, pictures: Path) -> dict[str, float]:
        net, rows = network_in(nets, SharpenerNet), []
        for clip in self.clips:
            height, width = (side // 2 * 2 for side in clip.frames.shape[-2:])
            truth = clip.frames[:, None, :height, :width].to(self.device).float() / 255
            blurred = [gauss_blur(truth, sigma, sigma, 0.0) for sigma in (0.8, 1.2)]
            made = [x + net(x[None]).change[0].float() for x in (truth, *blurred)]
            half = F.avg_pool2d(truth, 2)
            large = enlarged(half)
            twice = large + net(half[None], scale=2).change[0].float()
            gains = [psnr(ours, truth) - psnr(before, truth) for ours, before in zip(made[1:], blurred)]
            rows.append([min(psnr(made[0], truth), 80.0), *gains, psnr(twice, truth) - psnr(large, truth)])
            save_picture(pictures / f"{clip.name}.png", torch.cat([large[1], twice[1], truth[1]], -1).cpu())
        result = means(("clean", "blur_0.8", "blur_1.2", "half"), rows)
        gained = sum(result[name] for name in ("blur_0.8", "blur_1.2", "half")) / 3
        return result | {"output": gained + min(result["clean"] - 60, 0.0)}


class ColorValidation:
    """RGB PSNR on clean luma with the first frame as only reference, at 5, 20 and 60 frames from it."""

    def __init__(self, data: Path, device: str, every: int) -> None:
        self.device = device
        self.clips = load_clips(data / "video/val", COLOR_EDGE, color=True)[::every]

    def __call__(self, nets: nn.ModuleDict, pictures: Path) -> dict[str, float]:
        net, rows = network_in(nets, ColorizerNetwork), []
        for clip in self.clips:
            gaps = [min(gap, len(clip.frames) - 1) for gap in (0, 5, 20, 60)]
            ycc = to_ycc(clip.frames[gaps], self.device, net.multiple_of)
            memory = net.encode_all([(ycc[:1, :1], ycc[:1, 1:])])
            chroma = torch.cat([self.chroma(net, memory, clip.frames, gap) for gap in gaps])
            true, made = to_rgb(ycc), to_rgb(torch.cat([ycc[:, :1], chroma.float()], 1))
            gray = ycc[:, :1].expand_as(true)
            rows.append([psnr(made[i], true[i]) for i in range(4)] + [psnr(gray[1:], true[1:])])
            save_picture(pictures / f"{clip.name}.png", torch.cat([true[3], made[2], made[3]], -1).cpu())
        result = means(("self", "at5", "at20", "at60", "gray"), rows)
        return result | {"output": (result["at5"] + result["at20"] + result["at60"]) / 3 + 0.1 * result["self"]}

    def chroma(self, net: Network, memory: object, frames: Tensor, time: int) -> Tensor:
        """The colours of the frame at `time`, seen among its neighbours: `[1, 2, H, W]`."""
        first = max(0, min(time - WINDOW // 2, len(frames) - WINDOW))
        luma = to_ycc(frames[first : first + WINDOW], self.device, net.multiple_of)[:, :1]
        return net(luma[None], [memory]).chroma[0, time - first, None]


class JointValidation:
    """Damaged gray clips in, restored and coloured ones out, the clean first frame as only reference: PSNR of L*, of
    ab and of all three as in DeepRemaster's table 4."""

    def __init__(self, data: Path, device: str, every: int) -> None:
        self.device = device
        self.clips = load_clips(data / "video/val", COLOR_EDGE, color=True, limit_frames=JOINT_FRAMES)[::every]
        self.templates = val_templates(data)

    def __call__(self, nets: nn.ModuleDict, pictures: Path) -> dict[str, float]:
        colorizer, rows = network_in(nets, ColorizerNetwork), []
        for clip in self.clips:
            ycc = to_ycc(clip.frames, self.device, colorizer.multiple_of)
            made = validation_clip(clip.name, ycc[:, :1].cpu(), self.templates, steady=True)
            luma = nets["restorer"](made.frames[None].to(self.device)).luma.float().clamp(0, 1)
            memory = colorizer.encode_all([(ycc[:1, :1], ycc[:1, 1:])])
            chroma = colorizer(luma, [memory]).chroma[0].float()
            rgb = to_rgb(torch.cat([luma[0], chroma], 1))
            true = to_rgb(torch.cat([made.target.to(self.device), ycc[:, 1:]], 1))
            ours, theirs = packed_lab(rgb[1:]), packed_lab(true[1:])
            rows.append([psnr(ours[:, :1], theirs[:, :1]), psnr(ours[:, 1:], theirs[:, 1:]), psnr(ours, theirs)])
            save_picture(pictures / f"{clip.name}.png", torch.cat([true[-1], rgb[-1]], -1).cpu())
        result = means(("L", "ab", "all"), rows)
        return result | {"output": result["all"]}


def val_templates(data: Path):
    """The damage masks kept for validation, or None."""
    folder = data / "damage/val"
    return load_templates(folder) if folder.is_dir() else None


def to_ycc(frames: Tensor, device: str, multiple: int) -> Tensor:
    """uint8 RGB `[T, 3, H, W]` as Y'CbCr, both sides cut to multiples of `multiple`."""
    height, width = (side // multiple * multiple for side in frames.shape[-2:])
    return rgb_to_ycbcr(frames[..., :height, :width].to(device).float() / 255)


def to_rgb(ycc: Tensor) -> Tensor:
    return ycbcr_to_rgb(ycc).clamp(0, 1)


def means(names: tuple[str, ...], rows: list[list[float]]) -> dict[str, float]:
    """The mean of each column by its name."""
    return dict(zip(names, torch.tensor(rows).mean(0).tolist(), strict=True))


def fitted(result: Tensor, truth: Tensor) -> float:
    """PSNR after the one gain and offset for the whole clip that fit best."""
    return psnr(fit_gain_and_offset(result, truth), truth)


def save_picture(path: Path, picture: Tensor) -> None:
    """Write `[1 or 3, H, W]` 0..1 as PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = (picture.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    cv2.imencode(".png", np.ascontiguousarray(pixels[..., ::-1]))[1].tofile(path)
