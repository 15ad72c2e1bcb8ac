"""Train networks: `python -m export.train restore|colorize|joint --data DIR --damage DIR --out DIR [--recipe NAME]`.

`--recipe` chooses what is trained and how: `ours` (the default), `flicker` (of our restorer only what takes flicker
away), `matching` (of our colorizer only how places are matched), `palette` (colour without references),
`deepremaster` or `rtn`, the two papers' networks as they trained them (`export/training/recipes/`). A run is cut off
by `--minutes` or `--steps`, whichever comes first. Checkpoints are written every few minutes; `--resume` goes on from
the last one (with `--minutes inf`, where the schedule follows steps and not the clock, and without `--workers` and
`--reuse`, bit for bit as if nothing had happened). On several GPUs: `torchrun --nproc-per-node 4 -m export.train
...`; each process then makes batches of its own. Several machines need a folder that they share for OUT.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import sys
import time
from dataclasses import asdict, fields, replace
from functools import reduce
from operator import add
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from export.training.parallel import Group
from export.training.recipes import RECIPES, TASKS, Recipe, Settings
from vs_remaster.errors import InputError, RemasterError
from vs_remaster.models.network import Network
from vs_remaster.system.process import take_over
from vs_remaster.weights import save_weights

log = logging.getLogger("train")

CRITIC_RATE = 1e-4

type Tensors = tuple[Tensor, ...] | list[Tensor]


class Run:
    """One training run: networks, their moving average, optimizers, and where it stands."""

    def __init__(self, recipe: Recipe, s: Settings, group: Group) -> None:
        self.recipe, self.s, self.group = recipe, s, group
        self.out = Path(s.out)
        self.nets = recipe.start().to(s.device).train().requires_grad_(True)
        for value in self.nets.parameters():
            if value.ndim == 4:
                value.data = value.data.contiguous(memory_format=torch.channels_last)
        self.average = AveragedModel(self.nets, multi_avg_fn=self.follow, use_buffers=True).eval().requires_grad_(False)
        self.average.n_averaged += 1  # what the networks begin with counts as the first
        self.optimizer = recipe.optimizer(self.nets)
        self.rates = [group["lr"] for group in self.optimizer.param_groups]
        self.critic = recipe.critic
        if self.critic:
            self.critic.to(s.device)
            self.critic_optimizer = torch.optim.Adam(self.critic.parameters(), CRITIC_RATE)
        self.generator = torch.Generator().manual_seed(s.seed + 1_000_003 * group.rank)
        self.step, self.spent, self.best = 0, 0.0, -math.inf

    @property
    def averaged(self) -> nn.ModuleDict:
        """The networks with the moving averages for weights."""
        nets = self.average.module
        assert isinstance(nets, nn.ModuleDict)
        return nets

    @property
    def checkpoint(self) -> Path:
        return self.out / "checkpoint.pt"

    def state(self) -> dict:
        """All that a later run needs to go on."""
        parts = {"nets": self.nets, "average": self.average.module, "optimizer": self.optimizer}
        if self.critic:
            parts |= {"critic": self.critic, "critic_optimizer": self.critic_optimizer}
        return {name: part.state_dict() for name, part in parts.items()}

    def save(self) -> None:
        """Write the checkpoint, whole or not at all, and the weights so far."""
        random = self.group.gather({"own": self.generator.get_state(), "torch": torch.get_rng_state()})
        if self.group.first:
            facts = {"run": self.kind(), "step": self.step, "spent": self.spent, "best": self.best, "random": random}
            part = self.checkpoint.with_suffix(".part")
            torch.save(self.state() | facts, part)
            part.replace(self.checkpoint)
            self.export("last")

    def kind(self) -> dict[str, str]:
        """What a run must share with the one that it goes on from."""
        critic = "with" if self.critic else "without"
        return {"recipe": self.s.recipe, "networks": ",".join(self.recipe.networks), "config": self.s.config,
                "critic": critic, "learn": self.s.learn}  # fmt: skip

    def resume(self) -> None:
        """Go on from the checkpoint; begin, where there is none.

        Raises:
            InputError: it is that of another kind of run.
        """
        if not self.checkpoint.is_file():
            return self.forget(0)
        state = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
        for name, value in self.kind().items():
            if (was := state["run"].get(name, "")) != value:
                raise InputError(
                    f"{self.checkpoint} is of a run with {name} {was!r}, not {value!r}; resume with the "
                    "same settings, or give another --out"
                )
        try:
            self.nets.load_state_dict(state["nets"])
            self.average.module.load_state_dict(state["average"])
            self.optimizer.load_state_dict(state["optimizer"])
        except (RuntimeError, ValueError) as error:
            raise InputError(
                f"{self.checkpoint} is of a run in which other parts learnt, or of an older version ({error}); resume "
                "with the same settings, or give another --out"
            ) from error
        if self.critic:
            self.critic.load_state_dict(state["critic"])
            self.critic_optimizer.load_state_dict(state["critic_optimizer"])
        self.step, self.spent, self.best = state["step"], state["spent"], state["best"]
        if len(state["random"]) == self.group.size:
            random = state["random"][self.group.rank]
            self.generator.set_state(random["own"])
            torch.set_rng_state(random["torch"])
        else:
            self.generator.manual_seed(self.s.seed + self.step + 1_000_003 * self.group.rank)
        self.forget(self.step)
        log.info("resumed at step %d after %.1f minutes", self.step, self.spent)

    def forget(self, step: int) -> None:
        """Drop what the curves in `out` say of later steps."""
        if self.group.first:
            for path in self.out.glob("*.jsonl"):
                lines = [line for line in path.read_text().splitlines(True) if json.loads(line)["step"] <= step]
                path.write_text("".join(lines) if step else "")

    def export(self, name: str) -> None:
        """Write the averaged weights, a file for each network: `restorer-NAME.safetensors`."""
        for what, net in self.averaged.items():
            assert isinstance(net, Network)
            save_weights(self.out / f"{what}-{name}.safetensors", net)

    def validate(self) -> None:
        """Measure, and keep the best."""
        if not self.group.first or not self.s.validates:
            return
        figures = self.recipe.validate(self.averaged, self.out / "pictures")
        log.info("validation %s", {k: round(v, 3) for k, v in figures.items()})
        self.record("validation", figures)
        if figures["output"] > self.best:
            self.best = figures["output"]
            self.export("best")

    def record(self, file: str, figures: dict[str, float]) -> None:
        """Append a line of figures to a curve: `training.jsonl` or `validation.jsonl`."""
        with (self.out / f"{file}.jsonl").open("a") as lines:
            lines.write(json.dumps({"step": self.step, "minutes": round(self.spent, 2), **figures}) + "\n")

    def learn(self, progress: float) -> dict[str, Tensor]:
        """One step; the terms of its loss."""
        factor = self.recipe.rate(progress, self.step)
        for group, rate in zip(self.optimizer.param_groups, self.rates):
            group["lr"] = rate * factor
        self.recipe.begin_step(self.nets, progress)
        terms = self.recipe.loss(self.nets, self.generator)
        total = reduce(add, terms.values())
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        self.group.average_gradients(self.nets)
        norm = nn.utils.clip_grad_norm_([p for p in self.nets.parameters() if p.grad is not None], self.s.clip)
        self.step += 1
        if not torch.isfinite(norm):
            log.warning("step %d: gradient is not finite, skipped", self.step)
            return {}
        self.optimizer.step()
        self.average.update_parameters(self.nets)
        terms = {name: value.detach() for name, value in terms.items()} | {"total": total.detach()}
        if self.critic:
            terms["critic"] = self.judge(self.critic)
        return terms

    def judge(self, critic: nn.Module) -> Tensor:
        """One step of the critic; its loss."""
        self.critic_optimizer.zero_grad(set_to_none=True)
        loss = self.recipe.critic_loss()
        loss.backward()
        self.group.average_gradients(critic)
        norm = nn.utils.clip_grad_norm_(critic.parameters(), math.inf)
        if torch.isfinite(norm):
            self.critic_optimizer.step()
        return loss.detach()

    def follow(self, averages: Tensors, values: Tensors, count: Tensor | int) -> None:
        """Move averages toward values, all of one type; counters of batch norm are copied. The younger the run, the
        sooner the average forgets."""
        decay = min(self.s.ema, (self.step + 1) / (self.step + 10)) if averages[0].is_floating_point() else 0.0
        get_ema_multi_avg_fn(decay)(averages, values, count)

    def go(self) -> None:
        """Train until the budget is spent."""
        clock = time.process_time if self.s.cpu_time else time.monotonic
        begun = clock() - 60 * self.spent
        saved = validated = clock()
        sums: dict[str, Tensor] = {}
        counted = 0
        while True:
            self.spent = self.group.agree((clock() - begun) / 60)
            progress = min(1.0, max(self.spent / max(self.s.minutes, 1e-3), self.step / max(self.s.steps, 1)))
            now = clock()
            last = self.spent >= self.s.minutes or self.step >= self.s.steps
            # The first process decides for all: what follows they do together.
            due = self.group.agree(now - validated > 60 * self.s.validate_minutes)
            full = self.group.agree(now - saved > 60 * self.s.save_minutes)
            if last or due:
                self.validate()
                validated = clock()
                begun += validated - now  # measuring is no training
            if last or full:
                self.save()
                saved = clock()
            if last:
                return
            terms = self.learn(progress)
            for name, value in terms.items():
                sums[name] = sums.get(name, 0.0) + value
            counted += bool(terms)
            if self.step % self.s.log_steps == 0 and sums:
                means = {name: float(value) / counted for name, value in sums.items()}
                if self.group.first:
                    self.record("training", means)
                    text = " ".join(f"{name} {mean:.4f}" for name, mean in means.items())
                    log.info("step %d  %.1f min  %s", self.step, self.spent, text)
                sums, counted = {}, 0


def main(arguments: list[str] | None = None) -> None:
    """Train as the command line says."""
    task, s = parse(arguments)
    group = Group.join(s.device)
    s = replace(s, device=group.device)
    level = logging.INFO if group.first else logging.WARNING
    logging.basicConfig(level=level, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    Path(s.out).mkdir(parents=True, exist_ok=True)
    if group.first:
        check_out(Path(s.out), s)
    if s.threads:
        torch.set_num_threads(s.threads)
    torch.manual_seed(s.seed)
    torch.set_float32_matmul_precision("high")  # TF32 on a GPU, also in matching and validation
    torch.backends.cudnn.benchmark = task == "restore"  # where all batches have one shape; validation pays for it
    if not group.first:
        group.wait()  # until the first one has written the cache of clips
    recipe = RECIPES[s.recipe][task](s)
    if group.first:
        group.wait()
    run = Run(recipe, s, group)
    if s.resume:
        run.resume()
    else:
        run.forget(0)
    group.same(run.nets)
    log.info("%s", json.dumps(asdict(s)))
    run.go()
    recipe.close()
    group.leave()


def check_out(out: Path, s: Settings) -> None:
    """Keep an earlier training: it is gone on with, or thrown away, only when that is said.

    Raises:
        InputError: there is one.
    """
    written = "checkpoint.pt", "*-last.safetensors", "*-best.safetensors", "*.jsonl"
    held = [path.name for pattern in written for path in sorted(out.glob(pattern))]
    if held and not (s.resume or s.overwrite):
        raise InputError(
            f"{out} holds a training already ({held[0]}): --resume goes on with it, --overwrite begins anew; or give "
            "another --out"
        )


def parse(arguments: list[str] | None) -> tuple[str, Settings]:
    """The command line: every field of `Settings` is an option; a recipe's defaults come before the general ones.

    Ends the program where an option is given that would do nothing.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=TASKS)
    for field in fields(Settings):
        name = "--" + field.name.replace("_", "-")
        if field.type == "bool":
            parser.add_argument(name, action="store_true", default=argparse.SUPPRESS)
        else:
            kind = {"int": int, "float": float}.get(field.type, str)
            choices = {"recipe": RECIPES, "synthesis": ("", "ours")}.get(field.name)
            text = f"default: {field.default!r}"
            own = [f"{n} {r[task].defaults[field.name]!r}" for n, r in RECIPES.items() for task in list(r)[:1]
                   if field.name in r[task].defaults]  # fmt: skip
            text += f" ({', '.join(own)})" if own else ""
            parser.add_argument(name, type=kind, choices=choices, default=argparse.SUPPRESS, help=text)
    given = vars(parser.parse_args(arguments))
    task = given.pop("task")
    recipes = RECIPES[given.get("recipe", Settings.recipe)]
    if task not in recipes:
        parser.error(f"the recipe {given['recipe']} has no task {task}; choose from {', '.join(recipes)}")
    recipe = recipes[task]
    standard = asdict(Settings(**recipe.defaults))
    changed = {name for name, value in given.items() if value != standard[name]}
    trained = {"backbone"} | (set() if recipe.grows else {"config"}) if given.get("start_from") else set()
    reasons = {
        f"in the recipe {given.get('recipe', Settings.recipe)}": recipe.ignored,
        "when it goes on with trained networks": trained,
        "when the backbone is frozen": {"backbone_rate"} if given.get("freeze") else set(),
        "when workers make batches: it misses their time": {"cpu_time"} if given.get("workers") else set(),
        "when nothing is validated": {"validate_every"} if given.get("validate_minutes") == math.inf else set(),
    }
    for why, idle in reasons.items():
        if useless := ["--" + name.replace("_", "-") for name in sorted(changed & idle)]:
            parser.error(f"{task} does not use {', '.join(useless)} {why}; leave it out")
    return task, Settings(**(recipe.defaults | given))


if __name__ == "__main__":
    take_over()
    try:
        main()
    except RemasterError as error:
        sys.exit(f"export.train: {error}")
