"""Train our own networks: `python -m export.train restore|colorize --data DIR --damage DIR --out DIR`.

Reads top to bottom: settings, data, one batch of each task, validation, the loop. A run is cut off by `--minutes` or
`--steps`, whichever comes first; the learning rate follows a cosine over that budget. Checkpoints are written every
few minutes and `--resume` goes on from the
last; the exported weights are an exponential moving average in half precision.
"""

from __future__ import annotations

import argparse
import copy
import json
import logging
import math
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.damage import (
    VALIDATION_EDGE,
    VALIDATION_FRAMES,
    DamageSettings,
    damage_batch,
    load_templates,
    validation_clip,
)
from export.data import Clip, add_lines, cached_pack, load_clips, load_photos, photo_clip, sample_crops
from export.losses import colorize_loss, restore_loss
from export.metrics import fit_gain_and_offset, psnr
from vs_remaster.color import rgb_to_ycbcr, ycbcr_to_rgb
from vs_remaster.models import build
from vs_remaster.weights import load_weights, save_weights

log = logging.getLogger("train")


@dataclass
class Settings:
    """Everything that can be set; each is also a command line option of the same name."""

    data: str = "data"  # folder with video/train, video/val, photos
    damage: str = ""  # folder of damage masks; empty: procedural shapes only
    out: str = "runs/restore"  # checkpoints, weights, curves, pictures
    cache: str = ""  # decoded training clips as one file; empty: decoded into memory
    start_from: str = ""  # weights (.safetensors) to begin with
    backbone: str = ""  # efficientnet-lite0 *.pth for a fresh colorizer
    resume: bool = False
    minutes: float = 60.0
    steps: int = 1_000_000
    batch: int = 6
    frames: int = 7
    size: int = 128  # crop, pixels
    lines: int = 288  # short edge of the decoded clips
    lr: float = 6e-4
    lr_end: float = 1e-6
    warmup: int = 300  # steps
    weight_decay: float = 1e-4
    clip: float = 1.0  # gradient norm
    ema: float = 0.999
    density: float = 2.5  # structural damage, as a multiple of what real film has: rare damage teaches little
    scene_lines: float = 0.3  # share of clips with poles, wires or grids drawn in, that are no scratches
    photo: float = 0.15  # share of pseudo-clips from photographs
    references: int = 3  # most references a clip (colorize)
    freeze: bool = False  # leave the colorizer's ImageNet backbone as it is: twice the steps in the same time
    seed: int = 1
    device: str = "cuda" if torch.cuda.is_available() else "cpu"
    threads: int = 0  # CPU threads; 0: as torch likes
    save_minutes: float = 3.0
    validate_minutes: float = 12.0
    validate_every: int = 1  # use every n-th validation clip


# --------------------------------------------------------------------------- one batch of each task


class Restore:
    """Damaged crops in, clean crops out."""

    network = "restorer"

    def __init__(self, s: Settings) -> None:
        self.s = s
        root = Path(s.data)
        self.clips = clips_of(root / "video/train", s, color=False)
        self.photos = load_photos(root / "photos") if s.photo and (root / "photos").is_dir() else []
        self.templates = load_templates(Path(s.damage)).to(s.device) if s.damage else None
        self.settings = DamageSettings(density=s.density)
        self.val = load_clips(root / "video/val", VALIDATION_EDGE, limit_frames=VALIDATION_FRAMES)[:: s.validate_every]
        masks = root / "damage/val"
        self.val_templates = load_templates(masks) if masks.is_dir() else None
        log.info("%d clips, %d photographs, %d validation clips", len(self.clips), len(self.photos), len(self.val))

    def fresh(self) -> nn.Module:
        return build(self.network)

    def batch(self, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        s = self.s
        clean = sample_crops(
            self.clips, self.photos, s.batch, s.frames, s.size, generator, device=s.device, photo_probability=s.photo
        )
        clean = add_lines(clean, generator, s.scene_lines)
        made = damage_batch(clean, generator, self.settings, self.templates)
        return made.frames, made.target, made.mask

    def loss(self, net: nn.Module, generator: torch.Generator) -> dict[str, Tensor]:
        frames, target, mask = self.batch(generator)
        with torch.autocast(self.s.device.split(":")[0], torch.bfloat16):
            out = net(frames)
        return restore_loss(out, target, mask)

    @torch.no_grad()
    def validate(self, net: nn.Module, pictures: Path) -> dict[str, float]:
        """PSNR on whole frames of the frozen validation damage: raw, and after one gain and offset a clip."""
        rows = []
        for clip in self.val:
            made = validation_clip(clip.name, clip.frames[:, None].float() / 255, self.val_templates)
            with torch.autocast(self.s.device.split(":")[0], torch.bfloat16):
                out = net(made.frames[None].to(self.s.device))
            luma = out.luma[0].float().cpu().clamp(0, 1)
            rows.append([psnr(made.frames, made.target), fitted(made.frames, made.target)])
            rows[-1] += [psnr(luma, made.target), fitted(luma, made.target)]
            middle = len(luma) // 2
            row = [x[middle, 0] for x in (made.frames, luma, made.target, out.mask[0].float().cpu())]
            save_picture(pictures / f"{clip.name}.png", torch.cat(row, 1)[None])
        names = ("input", "input_fitted", "output", "output_fitted")
        return dict(zip(names, torch.tensor(rows).mean(0).tolist()))


class Colorize:
    """Gray crops and colour references in, chroma out."""

    network = "colorizer"

    def __init__(self, s: Settings) -> None:
        self.s = s
        root = Path(s.data)
        self.clips = clips_of(root / "video/train", s, color=True)
        self.photos = load_photos(root / "photos", color=True) if s.photo and (root / "photos").is_dir() else []
        self.val = load_clips(root / "video/val", short_edge=256, color=True)[:: s.validate_every]
        log.info("%d clips, %d photographs, %d validation clips", len(self.clips), len(self.photos), len(self.val))

    def fresh(self) -> nn.Module:
        net = build(self.network)
        if self.s.backbone:
            net.backbone.load_imagenet(torch.load(self.s.backbone, weights_only=True))
            start_keys(net, self.clips)
        return net

    def loss(self, net: nn.Module, generator: torch.Generator) -> dict[str, Tensor]:
        s = self.s
        lumas, chromas, memories, shown = [], [], [], []
        with torch.autocast(s.device.split(":")[0], torch.bfloat16):
            for _ in range(s.batch):
                frames, references, known = self.sample(generator)
                ycc = rgb_to_ycbcr(frames.to(s.device))
                angle = (rand(generator) * 2 * math.pi) if rand(generator) < 0.3 else 0.0
                tone = film_tone(generator)
                lumas.append(tone(ycc[:, :1]))
                chromas.append(turn_hue(ycc[:, 1:], angle))
                pictures = []
                for reference in references:
                    r = rgb_to_ycbcr(reference.to(s.device))[None]
                    pictures.append((film_tone(generator)(r[:, :1]), turn_hue(r[:, 1:], angle)))
                memories.append(net.encode_all(pictures))
                shown.append(known)
            out = net(torch.stack(lumas), memories)
        return colorize_loss(out, torch.stack(chromas), torch.tensor(shown, device=s.device))

    def sample(self, generator: torch.Generator) -> tuple[Tensor, list[Tensor], float]:
        """Frames `[T, 3, S, S]`, references `[3, h, w]` (sizes multiples of 16), and whether the references show the
        scene."""
        s = self.s
        references: list[Tensor] = []
        known = 1.0
        if self.photos and rand(generator) < s.photo:
            photo = self.photos[integer(generator, len(self.photos))]
            far = 4 + integer(generator, 24)
            moving = photo_clip(photo, s.frames + far, s.size, generator)
            frames, references = moving[: s.frames], [moving[-1]]
        else:
            clip = self.clips[integer(generator, len(self.clips))].frames
            total, (height, width) = clip.shape[0], clip.shape[-2:]
            factor = 0.55 + 0.45 * rand(generator)
            region = min(round(s.size / factor), height, width)
            step = 1 + integer(generator, 2)
            first = integer(generator, max(1, total - (s.frames - 1) * step))
            times = [min(first + k * step, total - 1) for k in range(s.frames)]
            top, left = integer(generator, height - region + 1), integer(generator, width - region + 1)
            frames = crop(clip[times], top, left, region, s.size)
            count = 1 + integer(generator, s.references)
            for k in range(count):
                reach = 8 if k == 0 and rand(generator) < 0.4 else total
                low, high = max(0, first - reach), min(total - 1, times[-1] + reach)
                at = low + integer(generator, high - low + 1)
                size = min(round(region * (0.8 + 0.7 * rand(generator))), height, width)
                y = min(
                    max(0, top + (region - size) // 2 + round((rand(generator) - 0.5) * 0.4 * region)), height - size
                )
                x = min(
                    max(0, left + (region - size) // 2 + round((rand(generator) - 0.5) * 0.4 * region)), width - size
                )
                picture = crop(clip[at : at + 1], y, x, size, 16 * round(s.size * (0.8 + 0.45 * rand(generator)) / 16))[
                    0
                ]
                references.append(picture.flip(-1) if rand(generator) < 0.1 else picture)
            others = 0 if rand(generator) < 0.4 else 1 + integer(generator, 2)
            if rand(generator) < 0.04:  # nothing but pictures of something else
                references, known, others = [], 0.0, others + 1
            for _ in range(others):  # pictures of other scenes among them
                other = self.clips[integer(generator, len(self.clips))].frames
                side = min(other.shape[-2:])
                at = integer(generator, len(other))
                references.append(crop(other[at : at + 1], 0, 0, side, s.size)[0])
        if rand(generator) < 0.5:
            frames, references = frames.flip(-1), [r.flip(-1) for r in references]
        return frames, references, known

    @torch.no_grad()
    def validate(self, net: nn.Module, pictures: Path) -> dict[str, float]:
        """RGB PSNR on clean luma with the first frame as only reference, at 5, 20 and 60 frames from it."""
        rows = []
        for clip in self.val:
            gaps = [min(gap, len(clip.frames) - 1) for gap in (0, 5, 20, 60)]
            rgb = clip.frames[gaps].float().to(self.s.device) / 255
            height, width = (side // 16 * 16 for side in rgb.shape[-2:])
            ycc = rgb_to_ycbcr(rgb[..., :height, :width])
            with torch.autocast(self.s.device.split(":")[0], torch.bfloat16):
                memory = net.encode_all([(ycc[:1, :1], ycc[:1, 1:])])
                # One frame at a time: these frames are far apart, so their neighbours would be no neighbours.
                chroma = torch.cat([net(ycc[None, i : i + 1, :1], [memory]).chroma[0] for i in range(len(gaps))])
            true = ycbcr_to_rgb(ycc).clamp(0, 1)
            made = ycbcr_to_rgb(torch.cat([ycc[:, :1], chroma.float()], 1)).clamp(0, 1)
            gray = ycc[:, :1].expand_as(true)
            rows.append([psnr(made[i], true[i]) for i in range(4)] + [psnr(gray[1:], true[1:])])
            save_picture(pictures / f"{clip.name}.png", torch.cat([true[3], made[2], made[3]], -1).cpu())
        names = ("self", "at5", "at20", "at60", "gray")
        result = dict(zip(names, torch.tensor(rows).mean(0).tolist()))
        return result | {"output": (result["at5"] + result["at20"] + result["at60"]) / 3 + 0.1 * result["self"]}


TASKS = {"restore": Restore, "colorize": Colorize}


# --------------------------------------------------------------------------- pieces


def clips_of(folder: Path, s: Settings, color: bool) -> list[Clip]:
    """The training clips, through the cache where one is named, on the training device."""
    if s.cache:
        clips = cached_pack(folder, Path(s.cache), s.lines, color)
    else:
        clips = load_clips(folder, s.lines, color)
    return [Clip(c.name, c.frames.to(s.device)) for c in clips] if s.device != "cpu" else clips


def rand(generator: torch.Generator) -> float:
    return float(torch.rand((), generator=generator))


def integer(generator: torch.Generator, below: int) -> int:
    return int(torch.randint(max(1, below), (), generator=generator))


def crop(frames: Tensor, top: int, left: int, region: int, size: int) -> Tensor:
    """A square of uint8 frames `[T, C, H, W]` as float 0..1, resized to `size`."""
    part = frames[..., top : top + region, left : left + region].float() / 255
    return part if region == size else F.interpolate(part, (size, size), mode="bilinear", antialias=True)


def turn_hue(chroma: Tensor, angle: float) -> Tensor:
    """Rotate `[N, 2, H, W]` chroma by an angle in radians: colour must then come from the reference, not from habit."""
    if not angle:
        return chroma
    cos, sin = math.cos(angle), math.sin(angle)
    cb, cr = chroma.split(1, 1)
    return torch.cat([cos * cb - sin * cr, sin * cb + cos * cr], 1)


def film_tone(generator: torch.Generator):
    """A random tone curve with a little grain or softness, as old stock and other scans have; the same for all frames
    of a clip."""
    if rand(generator) < 0.4:
        return lambda luma: luma
    gamma = math.exp(0.35 * (2 * rand(generator) - 1))
    gain, lift = 0.85 + 0.2 * rand(generator), 0.05 * rand(generator)
    grain = 0.02 * rand(generator) if rand(generator) < 0.5 else 0.0
    soft = 1 + 1.5 * rand(generator) if rand(generator) < 0.3 else 1.0

    def apply(luma: Tensor) -> Tensor:
        if soft > 1:
            small = F.interpolate(luma, scale_factor=1 / soft, mode="bilinear", antialias=True)
            luma = F.interpolate(small, luma.shape[-2:], mode="bicubic")
        toned = lift + gain * luma.clamp(0, 1) ** gamma
        return toned + grain * torch.randn(luma.shape, generator=generator).to(luma.device) if grain else toned

    return apply


@torch.no_grad()
def start_keys(net: nn.Module, clips: list[Clip]) -> None:
    """Start the matching features as the principal components of what the backbone sees, so that matching works from
    step one."""
    step = max(1, len(clips) // 24)
    samples = []
    for clip in clips[::step]:
        rgb = clip.frames[:1].float() / 255
        height, width = (side // 16 * 16 for side in rgb.shape[-2:])
        luma = rgb_to_ycbcr(rgb[..., :height, :width])[:, :1].cpu()
        _, f8, f16 = net.backbone(luma)
        f16 = F.interpolate(f16, scale_factor=2, mode="bilinear", align_corners=False)
        samples.append(torch.cat([0.1 * f8, 0.2 * f16], 1).flatten(2)[0])
    x = torch.cat(samples, 1)
    mean = x.mean(1, keepdim=True)
    whitened = (x - mean) / x.std(1, keepdim=True)
    directions = torch.linalg.svd(whitened @ whitened.t() / whitened.shape[1]).U[:, : net.key.out_channels]
    weight = directions.t() / x.std(1)
    net.key.weight.zero_()
    net.key.weight[:, : weight.shape[1], 0, 0] = weight
    net.key.bias.copy_(-(weight @ mean)[:, 0])


def fitted(result: Tensor, truth: Tensor) -> float:
    """PSNR after the one gain and offset for the whole clip that fit best."""
    return psnr(fit_gain_and_offset(result, truth), truth)


def save_picture(path: Path, picture: Tensor) -> None:
    """Write `[1 or 3, H, W]` 0..1 as PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = (picture.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    cv2.imencode(".png", np.ascontiguousarray(pixels[..., ::-1]))[1].tofile(path)


# --------------------------------------------------------------------------- the loop


def main() -> None:
    s, task_name = parse()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    out = Path(s.out)
    out.mkdir(parents=True, exist_ok=True)
    if s.threads:
        torch.set_num_threads(s.threads)
    torch.manual_seed(s.seed)
    generator = torch.Generator().manual_seed(s.seed)
    task = TASKS[task_name](s)
    net = load_weights(Path(s.start_from), task.network) if s.start_from else task.fresh()
    net = net.to(s.device, memory_format=torch.channels_last).train().requires_grad_(True)
    if s.freeze and task_name == "colorize":
        net.backbone.requires_grad_(False)
    average = copy.deepcopy(net).eval().requires_grad_(False)
    optimizer = torch.optim.AdamW(
        [p for p in net.parameters() if p.requires_grad], s.lr, betas=(0.9, 0.95), weight_decay=s.weight_decay
    )
    step, spent, best = 0, 0.0, -math.inf
    checkpoint = out / "checkpoint.pt"
    if s.resume and checkpoint.is_file():
        state = torch.load(checkpoint, map_location=s.device, weights_only=True)
        net.load_state_dict(state["net"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        step, spent, best = state["step"], state["spent"], state["best"]
        generator.manual_seed(s.seed + step)
        log.info("resumed at step %d after %.1f minutes", step, spent)
    log.info("%s", json.dumps(asdict(s)))

    begun, saved, validated = time.monotonic() - 60 * spent, time.monotonic(), time.monotonic()
    sums: dict[str, Tensor] = {}
    counted = 0
    while True:
        spent = (time.monotonic() - begun) / 60
        progress = max(spent / max(s.minutes, 1e-3), step / max(s.steps, 1))
        last = progress >= 1
        if last or time.monotonic() - validated > 60 * s.validate_minutes:
            save_weights(out / f"{task.network}-last.safetensors", net, average.state_dict())
            figures = task.validate(average, out / "pictures")
            log.info("validation %s", {k: round(v, 3) for k, v in figures.items()})
            with (out / "validation.jsonl").open("a") as file:
                file.write(json.dumps({"step": step, "minutes": round(spent, 1), **figures}) + "\n")
            if figures["output"] > best:
                best = figures["output"]
                save_weights(out / f"{task.network}-best.safetensors", net, average.state_dict())
            validated = time.monotonic()
        if last or time.monotonic() - saved > 60 * s.save_minutes:
            state = {"net": net.state_dict(), "average": average.state_dict(), "optimizer": optimizer.state_dict()}
            torch.save(state | {"step": step, "spent": spent, "best": best}, checkpoint.with_suffix(".part"))
            checkpoint.with_suffix(".part").replace(checkpoint)
            saved = time.monotonic()
        if last:
            break

        rate = s.lr_end + (s.lr - s.lr_end) * 0.5 * (1 + math.cos(math.pi * progress))
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / max(1, s.warmup))
        terms = task.loss(net, generator)
        total = sum(terms.values())
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        norm = nn.utils.clip_grad_norm_(net.parameters(), s.clip)
        if not torch.isfinite(norm):
            log.warning("step %d: gradient is not finite, skipped", step)
            continue
        optimizer.step()
        step += 1
        decay = min(s.ema, (step + 1) / (step + 10))
        with torch.no_grad():
            torch._foreach_lerp_(list(average.parameters()), list(net.parameters()), 1 - decay)
        for name, value in (terms | {"total": total.detach()}).items():
            sums[name] = sums.get(name, 0.0) + value.detach()
        counted += 1
        if step % 100 == 0:
            means = " ".join(f"{k} {float(v) / counted:.4f}" for k, v in sums.items())
            log.info("step %d  %.1f min  lr %.1e  %s", step, spent, rate, means)
            sums, counted = {}, 0


def parse() -> tuple[Settings, str]:
    """The command line: every field of `Settings` is an option."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("task", choices=TASKS)
    for field in fields(Settings):
        name = "--" + field.name.replace("_", "-")
        if field.type == "bool":
            parser.add_argument(name, action="store_true", help=" ")
        else:
            kind = {"int": int, "float": float}.get(field.type, str)
            parser.add_argument(name, type=kind, default=field.default, help=" ")
    values = vars(parser.parse_args())
    return Settings(**{f.name: values[f.name] for f in fields(Settings)}), values["task"]


if __name__ == "__main__":
    main()
