"""Training end to end on a handful of made-up clips: it learns, resumes, and its weights load in the engine."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import cv2
import pytest
import torch
from torch import nn

from export.damage import Damaged
from export.material import Clip
from export.train import parse
from export.training.losses import colorize_loss, restore_loss, temporal, to_be_done
from export.training.recipes import RECIPES, Settings
from export.training.recipes.blotches import add_blotches
from export.training.recipes.deepremaster import DeepColorize
from export.training.recipes.degrade import add_softness, jpeg, view
from export.training.recipes.material import Material, draw_samples, from_clip, from_photo
from export.training.recipes.recipe import half_precision
from export.training.recipes.supply import Pool, Supply
from export.training.recipes.validation import RestoreValidation
from tests.support.training import NARROW, arguments, command, curve, refused, train, write_clips, write_flow
from vs_remaster.color.matrices import rgb_to_ycbcr
from vs_remaster.errors import InputError
from vs_remaster.models import build
from vs_remaster.models.colorizer import ColorizerNet, ColorizerOutput
from vs_remaster.models.layers import Halo
from vs_remaster.models.restorer import RestorerOutput
from vs_remaster.models.sharpener import SharpenerConfig, SharpenerNet
from vs_remaster.references.reference import Reference
from vs_remaster.remaster.colorizer import Colorizer
from vs_remaster.remaster.options import ColorizeOptions, RestoreOptions
from vs_remaster.remaster.restorer import Restorer
from vs_remaster.weights import load_weights, save_weights

ROOT = Path(__file__).parent.parent
UNMEASURED = "--validate-minutes inf".split()
LARGE = "--size 64 --lines 96".split()


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Clips to train on and to validate with."""
    return write_clips(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    """The same, smaller and shorter."""
    return write_clips(tmp_path_factory.mktemp("small"), (64, 48), 6)


@pytest.fixture(scope="module")
def flow(tmp_path_factory) -> Path:
    """Random weights for RTN's flow."""
    return write_flow(tmp_path_factory.mktemp("flow") / "spynet.pth")


@pytest.mark.parametrize(
    ("recipe", "task"), [(recipe, task) for recipe, tasks in RECIPES.items() for task in tasks if task != "joint"]
)
@pytest.mark.parametrize("large", [False, pytest.param(True, marks=pytest.mark.release)])
def test_every_recipe_writes_weights_that_the_library_runs(task, recipe, large, request, flow, tmp_path):
    data, steps = request.getfixturevalue("data" if large else "small"), 1 + large
    more = ["--recipe", recipe, *NARROW[recipe], "--steps", str(steps), *(LARGE if large else [])]
    if recipe == "rtn":
        more += ["--flow", str(flow), "--perceptual-weight", "0"]
    if recipe == "matching":
        save_weights(tmp_path / "begun.safetensors", build("colorizer"))
        more += ["--start-from", str(tmp_path / "begun.safetensors")]
    train(task, data, tmp_path, *more)
    network = {"restore": "restorer", "colorize": "colorizer", "sharpen": "sharpener"}[task]
    path = tmp_path / f"{network}-last.safetensors"
    assert all(v.isfinite().all() for v in load_weights(path, network).state_dict().values())
    assert [row["step"] for row in curve(tmp_path)] == [1, 2][:steps]
    assert curve(tmp_path, "validation")[-1]["step"] == steps
    assert any((tmp_path / "pictures").iterdir())
    luma = torch.rand(3, 1, 32, 48)
    if task == "restore":
        made = Restorer(RestoreOptions(model=str(path))).restore(luma).luma
    elif task == "sharpen":
        made = Restorer(RestoreOptions(sharpener=str(path), scale=2)).restore(luma).luma[..., ::2, ::2]
    else:
        colorizer = Colorizer(ColorizeOptions(model=str(path), lines=64))
        given = [Reference(name="r", rgb=torch.rand(3, 48, 48), frame=None)] if recipe != "palette" else []
        memory = colorizer.encode_references(given)
        made = colorizer.colorize(luma, memory).chroma
    assert made.shape[-2:] == luma.shape[-2:] and made.isfinite().all()


def test_what_only_enlarges_learns_alone(small, tmp_path):
    """A sharpener gets the part for scale 2, and only that learns: at scale 1 it stays the one it was."""
    torch.manual_seed(1)
    old = SharpenerNet(SharpenerConfig(finer=0)).eval()
    save_weights(tmp_path / "old.safetensors", old)
    told = f"--start-from {tmp_path / 'old.safetensors'} --learn twice,finer --halved 1 --steps 2 --lr 1e-2 --warmup 1"
    train("sharpen", small, tmp_path / "out", *told.split(), "--config", '{"finer": 2}', *UNMEASURED, "--size", "32")
    new = load_weights(tmp_path / "out" / "sharpener-last.safetensors", "sharpener")
    was = load_weights(tmp_path / "old.safetensors", "sharpener")
    luma = torch.rand(1, 3, 1, 32, 48)
    assert torch.equal(new(luma).change, was(luma).change)
    assert not torch.equal(new(luma, scale=2).change, was(luma, scale=2).change)


@pytest.mark.parametrize("recipe", ["ours", "deepremaster"])
def test_both_networks_train_jointly(recipe, small, tmp_path):
    for task in ("restore", "colorize"):
        train(task, small, tmp_path / task, "--recipe", recipe, *NARROW[recipe], "--steps", "1", *UNMEASURED)
    alone = {"restorer": tmp_path / "restore", "colorizer": tmp_path / "colorize"}
    starts = ",".join(str(folder / f"{name}-last.safetensors") for name, folder in alone.items())
    out = tmp_path / "joint"
    train("joint", small, out, "--recipe", recipe, "--steps", "2", "--start-from", starts)
    for name, folder in alone.items():
        before, after = (dict(load_weights(x / f"{name}-last.safetensors").named_parameters()) for x in (folder, out))
        assert sum(not torch.equal(before[key], after[key]) for key in before) > len(before) / 2
    assert {"L", "ab", "all"} <= set(curve(out, "validation")[-1])


@pytest.mark.parametrize(
    "arguments, message",
    [
        ("restore --references 2 --freeze", "does not use --freeze, --references in the recipe ours"),
        ("restore --recipe flicker --density 2", "does not use --density in the recipe flicker"),
        ("colorize --recipe deepremaster --weight-decay 0.1", "does not use --weight-decay in the recipe deepremaster"),
        ("restore --recipe rtn --learn flow", "does not use --learn in the recipe rtn"),
        ("restore --recipe deepremaster --learn x", "does not use --learn in the recipe deepremaster"),
        ("colorize --recipe rtn --damage masks", "does not use --damage in the recipe rtn"),
        ("colorize --freeze --backbone-rate 0.1", "does not use --backbone-rate when the backbone is frozen"),
        ("restore --workers 2 --cpu-time", "does not use --cpu-time when workers make batches"),
        (
            "restore --validate-minutes inf --validate-every 2",
            "does not use --validate-every when nothing is validated",
        ),
        ("joint --start-from a,b --config {}", "does not use --config when it goes on with trained networks"),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(arguments, message, capsys):
    with pytest.raises(SystemExit):
        parse(arguments.split())
    assert message in capsys.readouterr().err


def test_an_option_at_its_default_is_no_mistake():
    assert parse("colorize --recipe deepremaster --photo 0 --adversarial-weight 0.01".split())[1].photo == 0


def test_a_restorer_may_learn_for_the_eye(data, tmp_path):
    weights = {f"lin{i}": torch.rand(1, c, 1, 1) for i, c in enumerate((64, 192, 384, 256, 256))}
    sizes = [(64, 3, 11, 11), (192, 64, 5, 5), (384, 192, 3, 3), (256, 384, 3, 3), (256, 256, 3, 3)]
    for i, size in enumerate(sizes):
        weights |= {f"conv{i}.weight": torch.randn(size) / 30, f"conv{i}.bias": torch.zeros(size[0])}
    s = Settings(data=str(data), size=64, frames=5, batch=2, lines=96, perceptual_weight=0.5, photo=0.0, device="cpu")
    with patch("export.scores.perceptual.read_weights", lambda path, network: weights):
        recipe = RECIPES["ours"]["restore"](replace(s, perceptual=str(tmp_path)))
    net = recipe.start()
    terms = recipe.loss(net, torch.Generator().manual_seed(1))
    assert terms["perceptual"] > 0
    terms["perceptual"].backward()
    assert net["restorer"].head.weight.grad.abs().sum() > 0
    assert "perceptual" not in RECIPES["ours"]["restore"](replace(s, perceptual_weight=0.0)).loss(
        net, torch.Generator().manual_seed(1)
    )


@pytest.mark.parametrize(
    ("task", "network", "recipe", "parts"),
    [("restore", "restorer", "flicker", {"tone", "far"}), ("colorize", "colorizer", "matching", {"key"})],
)
def test_a_recipe_for_parts_changes_these_alone(task, network, recipe, parts, small, tmp_path):
    begun = tmp_path / "begun.safetensors"
    save_weights(begun, build(network))
    more = ["--recipe", recipe, "--steps", "3", "--start-from", str(begun), *UNMEASURED]
    train(task, small, tmp_path, *more)
    last = tmp_path / f"{network}-last.safetensors"
    before, after = (dict(load_weights(x).named_parameters()) for x in (begun, last))
    assert {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])} == parts


def test_matching_learns_to_find_the_same_colour(small, tmp_path):
    save_weights(tmp_path / "begun.safetensors", build("colorizer"))
    more = [
        "--recipe",
        "matching",
        "--steps",
        "40",
        "--lines",
        "64",
        "--start-from",
        str(tmp_path / "begun.safetensors"),
    ]
    train("colorize", small, tmp_path, *more, *UNMEASURED, "--log-steps", "10")
    terms = [row["match"] for row in curve(tmp_path)]
    assert terms[-1] < terms[0] - 0.05


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ("", "goes on with a trained colorizer; name it with --start-from"),
        ("--learn fine_key", "teaches key, got learn 'fine_key'"),
        ("--frames 1", "frames must be 2 or more, got 1"),
        ("--approach 0.5", "approach must be 1 to 8, got 0.5"),
    ],
)
def test_matching_says_what_it_needs(told, said, small, tmp_path):
    more = ["--start-from", str(ROOT / "weights" / "colorizer-fast.safetensors"), *told.split()] if told else []
    assert said in refused(*arguments("colorize", small, tmp_path, "--recipe", "matching", *more))


@pytest.mark.parametrize("recipe, task, multiple", [("ours", "colorize", 16), ("rtn", "restore", 32)])
def test_a_crop_that_does_not_fit_the_network_is_refused(recipe, task, multiple, small, flow, tmp_path):
    more = ["--recipe", recipe, *NARROW[recipe], "--size", "72"]
    more += ["--flow", str(flow), "--perceptual-weight", "0"] if recipe == "rtn" else []
    said = refused(*arguments(task, small, tmp_path, *more))
    assert f"size must be a multiple of {multiple} for this " in said and "72" in said


@pytest.fixture(scope="module")
def demo(small, tmp_path_factory) -> Path:
    """The sample film as video/train, and a smaller one to validate with."""
    root = tmp_path_factory.mktemp("demo")
    (root / "video" / "train").mkdir(parents=True)
    (root / "video" / "train" / "sample.mkv").symlink_to(ROOT / "tests" / "data" / "sample.mkv")
    (root / "video" / "val").symlink_to(small / "video" / "val")
    return root


def test_twenty_steps_on_the_demo_clip_lower_the_loss_and_resuming_changes_no_bit(demo, tmp_path, caplog):
    more = [*"--steps 20 --minutes inf --warmup 4 --lr 2e-3 --batch 4 --cache".split(), str(tmp_path / "cache")]
    train("restore", demo, tmp_path / "whole", *more)
    # The same batches seen by a network that learns nothing tell what learning did.
    train("restore", demo, tmp_path / "idle", *more, "--lr", "1e-12", "--lr-end", "0", *UNMEASURED)
    losses, idle = ([row["total"] for row in curve(tmp_path / name)] for name in ("whole", "idle"))
    assert len(losses) == len(idle) == 20 and losses[0] == idle[0]
    assert all(trained < untrained for trained, untrained in zip(losses[-8:], idle[-8:]))

    # The same again as a program, killed on the way: it writes a checkpoint at every step.
    out = tmp_path / "killed"
    program = command("restore", demo, out, *more, "--save-minutes", "0")
    process = subprocess.Popen(program, cwd=ROOT, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while process.poll() is None and time.monotonic() < deadline:
        if (out / "training.jsonl").is_file() and len(curve(out)) >= 7:
            process.kill()
        time.sleep(0.02)
    process.wait()
    state = torch.load(out / "checkpoint.pt", weights_only=True)
    assert process.returncode != 0 and 6 <= state["step"] < 20
    with caplog.at_level("INFO", "train"):
        train("restore", demo, out, *more, "--resume")
    assert f"resumed at step {state['step']}" in caplog.text
    ends = [torch.load(tmp_path / name / "checkpoint.pt", weights_only=True) for name in ("whole", "killed")]
    for part in ("nets", "average"):
        assert all(torch.equal(value, ends[1][part][key]) for key, value in ends[0][part].items()), part
    whole, killed = (load_weights(tmp_path / name / "restorer-last.safetensors") for name in ("whole", "killed"))
    assert all(torch.equal(a, b) for a, b in zip(whole.state_dict().values(), killed.state_dict().values()))


def test_workers_make_batches_and_a_network_grows(small, tmp_path):
    more = ["--steps", "5", "--workers", "2", *UNMEASURED]
    shipped = ROOT / "weights" / "restorer-fast.safetensors"
    wide = ["--start-from", str(shipped), "--config", json.dumps({"widths": [28, 48, 96]}), "--reuse", "2"]
    train("restore", small, tmp_path / "restore", *more, *wide)
    train("colorize", small, tmp_path / "colorize", *more)
    assert load_weights(tmp_path / "restore" / "restorer-last.safetensors").config.widths == (28, 48, 96)
    for task in ("restore", "colorize"):
        assert [row["step"] for row in curve(tmp_path / task)] == [1, 2, 3, 4, 5]
        assert not (tmp_path / task / "validation.jsonl").exists()


@pytest.mark.parametrize("recipe", ["deepremaster", "rtn"])
@pytest.mark.parametrize("synthesis", ["", "ours"])
def test_workers_make_batches_for_the_papers_restorers(recipe, synthesis, small, flow, tmp_path):
    more = ["--recipe", recipe, *NARROW[recipe], "--steps", "3", "--workers", "1", "--reuse", "2"]
    more += [*UNMEASURED, *(["--synthesis", synthesis] if synthesis else [])]
    if recipe == "rtn":
        more += ["--flow", str(flow), "--perceptual-weight", "0"]
    train("restore", small, tmp_path, *more)
    assert [row["step"] for row in curve(tmp_path)] == [1, 2, 3]


def test_photographs_are_coloured_from_a_later_view_of_them(data):
    photo = (torch.rand(3, 150, 180, generator=torch.Generator().manual_seed(0)) * 255).byte()
    s = Settings(data=str(data), lines=96, size=64, frames=3, batch=2, photo=1.0, device="cpu")
    material = Material.load(s, color=True)._replace(photos=[photo])
    generator = torch.Generator().manual_seed(3)
    for side in (48, 64, 80):
        frames, (reference,) = from_photo(material, s, side, generator)
        assert frames.shape == (3, 3, 64, 64) and reference.shape == (3, side, side)
    for sample in draw_samples(material, s, generator) + draw_samples(material, s, generator):
        assert torch.stack(sample.references).shape[-1] in (48, 64, 80) and len(sample.references) in (1, 2, 4)


def test_a_backbone_may_learn_slowly_or_not_at_all(data):
    common = {"data": str(data), "lines": 96, "photo": 0.0, "validate_minutes": math.inf, "device": "cpu", "lr": 1e-3}
    for more, rates in (({"backbone_rate": 0.2}, [1e-3, 2e-4]), ({"freeze": True}, [1e-3])):
        recipe = RECIPES["ours"]["colorize"](Settings(**common, **more))
        nets = recipe.start()
        groups = recipe.optimizer(nets).param_groups
        assert [group["lr"] for group in groups if group["params"]] == pytest.approx(rates)
        assert all(p.requires_grad == ("freeze" not in more) for p in nets["colorizer"].backbone.parameters())


def test_some_parts_may_learn_alone(data):
    s = Settings(data=str(data), lines=96, photo=0.0, validate_minutes=math.inf, device="cpu", learn="need,head")
    recipe = RECIPES["ours"]["restore"](s)
    nets = recipe.start()
    learning = sum(len(group["params"]) for group in recipe.optimizer(nets).param_groups)
    named = dict(nets["restorer"].named_parameters())
    assert learning == 8 and all(p.requires_grad == name.startswith(("need.", "head.")) for name, p in named.items())
    colour = RECIPES["ours"]["colorize"](replace(s, learn="backbone", freeze=True))
    with pytest.raises(InputError, match="nothing learns with learn 'backbone' and a backbone that does not"):
        colour.optimizer(colour.start())
    recipe.s = replace(s, learn="knees")
    with pytest.raises(InputError, match=r"no part 'knees' that could learn; choose from dec1, .*, tone, up1, up2"):
        recipe.optimizer(nets)


def test_some_clips_are_soft_and_the_others_as_they_were():
    clips = torch.rand(40, 2, 1, 24, 24, generator=torch.Generator().manual_seed(0))
    made = [add_softness(clips, torch.Generator().manual_seed(1), share) for share in (0.0, 0.5, 0.5)]
    assert torch.equal(made[0], clips) and torch.equal(made[1], made[2])
    soft = [not torch.equal(a, b) for a, b in zip(made[1], clips)]
    assert 10 < sum(soft) < 30
    for before, after, blurred in zip(clips, made[1], soft):
        assert not blurred or 0.1 < float(after.std() / before.std()) < 0.95


class Counted(NamedTuple):
    number: torch.Tensor


def test_processes_make_other_batches_and_the_same_ones_in_every_run():
    s = Settings(workers=2, device="cpu")

    def drawn() -> list[float]:
        supply = Supply(lambda generator: Counted(torch.rand(1, generator=generator)), s)
        numbers = [float(supply(torch.Generator().manual_seed(4)).number) for _ in range(6)]
        supply.close()
        return numbers

    first = drawn()
    assert len(set(first)) == 6 and first == drawn()


def test_a_pool_shows_clips_as_often_as_asked_on_average(monkeypatch):
    monkeypatch.setattr("export.training.recipes.supply.POOL", 4)
    made = iter(range(10_000))

    def make(generator: torch.Generator) -> Counted:
        ids = torch.tensor([next(made) for _ in range(4)], dtype=torch.float32)
        return Counted(8 * ids.view(4, 1, 1, 1, 1) + torch.arange(6.0).view(3, 1, 1, 2))  # by time and by column

    s = Settings(batch=4, reuse=3, device="cpu")
    pool, generator = Pool(Supply(make, s), s), torch.Generator().manual_seed(1)
    shown, turns = Counter(), set()
    for _ in range(180):
        (clips,) = pool(generator)
        shown.update((clips.amin((1, 2, 3, 4)) / 8).int().tolist())
        turns.add(tuple((clips[0].flatten() % 8).int().tolist()))
    assert next(made) == 4 * 180 / 3
    times = [shown[i] for i in range(20, 220)]  # those that have come and gone
    assert abs(sum(times) / len(times) - 3) < 0.3 and max(times) < 15
    assert turns == {(0, 1, 2, 3, 4, 5), (1, 0, 3, 2, 5, 4), (4, 5, 2, 3, 0, 1), (5, 4, 3, 2, 1, 0)}


@pytest.mark.parametrize("config", ["", '{"half": 24}'])
def test_a_batch_of_clips_to_colour_is_worked_on_at_once(data, config, monkeypatch):
    """All clips have as many references; what training makes of them is what the network makes of each, by itself."""
    monkeypatch.setattr(ColorizerNet, "registers", property(lambda net: False))
    s = Settings(
        config=config,
        data=str(data),
        size=64,
        frames=3,
        batch=3,
        lines=96,
        photo=0.0,
        references=3,
        validate_minutes=math.inf,
        device="cpu",
    )
    recipe = RECIPES["ours"]["colorize"](s)
    torch.manual_seed(0)
    nets, generator = recipe.start(), torch.Generator().manual_seed(2)
    scenes = [recipe.batch(generator) for _ in range(12)]
    assert {len(scene.reference_luma) // 3 for scene in scenes} == {1, 2, 4}
    assert len({scene.reference_luma.shape[-1] for scene in scenes}) == 3
    scene = next(x for x in scenes if len(x.reference_luma) == 12)
    with torch.no_grad():
        together = recipe.colored(nets.train(), scene, scene.luma)
        for i in range(3):
            own = zip(scene.reference_luma[4 * i : 4 * i + 4, None], scene.reference_chroma[4 * i : 4 * i + 4, None])
            alone = nets["colorizer"].eval()(scene.luma[i : i + 1], [nets["colorizer"].encode_all(own)])
            # where two places are equally alike rounding decides, and it is not the same on every machine
            difference = (together.chroma[i] - alone.chroma[0]).abs()
            assert difference.quantile(0.95) < 1e-4 < 1e-2 < together.chroma[i].std()
            assert torch.allclose(together.shares[i], alone.shares[0], atol=1e-4)
            if config:
                difference = (together.detail[i] - alone.detail[0]).abs()
                assert difference.quantile(0.95) < 1e-4 < 1e-2 < together.detail[i].std()


@pytest.mark.parametrize(
    "wrong, told",
    [
        ({"zoom": 0.5}, "zoom must be 0.55 to 8, got 0.5"),
        ({"approach": 0.9}, "approach must be 1 to 8, got 0.9"),
        ({"stride": 0}, "stride must be 1 to 64 frames, got 0"),
    ],
)
def test_clips_to_colour_that_cannot_be_drawn_are_refused(data, wrong, told):
    with pytest.raises(InputError, match=re.escape(told)):
        RECIPES["ours"]["colorize"](Settings(data=str(data), photo=0.0, **wrong))


def test_fast_motion_is_drawn_from_frames_far_apart_and_from_long_exposures():
    bright = torch.arange(64, dtype=torch.uint8)[:, None, None, None].expand(64, 3, 48, 48).contiguous()
    clips, generator = Material([Clip("brighter", bright)], []), torch.Generator().manual_seed(3)
    s = Settings(frames=3, size=32, photo=0.0, stride=8, approach=3.0)
    drawn = [255 * from_clip(clips, s, 32, 1, generator)[0].mean((1, 2, 3)) for _ in range(200)]
    steps = torch.stack([frames.diff().max() for frames in drawn])
    assert steps.max() > 7.5 and (steps < 2.5).float().mean() > 0.3
    blurred = torch.stack([(frames[0] - frames[0].round()).abs() > 0.2 for frames in drawn])
    assert 0.02 < blurred.float().mean() < 0.2  # means of two or four frames lie between two of them


@pytest.mark.release
def test_two_processes_share_their_gradients(data, tmp_path):
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    run += command("restore", data, tmp_path, "--steps", "6", "--minutes", "inf", *LARGE)[1:]
    run += ["--save-minutes", "0.01", "--cache", str(tmp_path / "cache")]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert [row["step"] for row in curve(tmp_path)] == [1, 2, 3, 4, 5, 6]  # written once, not by each
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert len(state["random"]) == 2
    assert not torch.equal(*(random["own"] for random in state["random"]))  # each made batches of its own


def test_gradients_are_averaged_over_processes_and_missing_ones_count_as_zero():
    code = """
import os, socket, sys, torch
from export.training.parallel import Group
with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0))
    port = probe.getsockname()[1]
os.environ |= {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
other = os.fork()  # what torchrun starts twice
os.environ["RANK"] = "0" if other else "1"
group = Group.join("cpu")
net = torch.nn.Linear(2, 2)
group.same(net)
net.weight.grad = torch.full((2, 2), 1.0 + group.rank)
net.bias.grad = torch.ones(2) if group.first else None
group.average_gradients(net)
assert (net.weight.grad == 1.5).all() and (net.bias.grad == 0.5).all()
values = group.gather(net.weight.detach())
assert torch.equal(*values)
assert group.agree(float(group.rank)) == 0
group.leave()
if other:
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(other, 0)[1]))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


def test_batch_norm_sees_the_whole_batch():
    net = build("deepremaster-colorizer", json.dumps({"width": 0.125})).train()
    net.predict(torch.rand(3, 2, 1, 32, 32), [net.encode_all([])] * 3)
    for part in (net.source, net.flat, net.deep, net.mix, net.join, net.up):
        assert all(unit.norm.num_batches_tracked == 1 for unit in part)


def test_deepremaster_s_colors_are_learnt_from_the_film_s_gray(data):
    s = Settings(**DeepColorize.defaults | {"data": str(data), "size": 32, "batch": 2, "lines": 96, "photo": 0.0})
    seen = []
    net = build("deepremaster-colorizer", json.dumps({"width": 0.125}))
    net.predict = lambda light, memories: seen.append(light) or light.expand(-1, -1, 2, -1, -1)
    made = DeepColorize(s)
    made.clips = lambda generator: (torch.tensor([1.0, 0, 0]).view(3, 1, 1).expand(2, 5, 3, 32, 32), [])
    made.references = lambda *_: []
    made.loss({"colorizer": net}, torch.Generator())
    gray = rgb_to_ycbcr(torch.tensor([1.0, 0, 0]).view(3, 1, 1))[0]
    assert torch.allclose(seen[0], net.lightness(gray), atol=1e-6)  # what a film of this colour gives


def test_rtn_s_flow_is_still_at_first_and_learns_later(data, flow):
    config = NARROW["rtn"][1]
    s = Settings(
        recipe="rtn", data=str(data), lines=96, flow=str(flow), config=config, perceptual_weight=0.0, photo=0.0
    )
    recipe = RECIPES["rtn"]["restore"](s)
    nets = recipe.start().train()
    optimizer = recipe.optimizer(nets)
    assert [group["lr"] / s.lr for group in optimizer.param_groups] == [1, 0.125]
    for progress, learns in ((0.0, False), (0.24, False), (0.25, True), (0.9, True)):
        recipe.begin_step(nets, progress)
        assert all(p.requires_grad == learns for p in nets["restorer"].flow.parameters())
        assert not nets["restorer"].flow.training
    assert [recipe.rate(progress, 9) for progress in (0.0, 0.5, 0.75)] == [10 / s.warmup, 10 / s.warmup, 10 / s.warmup]
    assert recipe.rate(0.75, 10_000) == 0.5


def test_settings_that_do_not_fit_are_refused_in_a_line(small, tmp_path, capsys):
    assert "--start-from RESTORER,COLORIZER" in refused(*arguments("joint", small, tmp_path))
    assert refused(*arguments("joint", small, tmp_path, "--recipe", "rtn")) == 2
    assert "rtn has no task joint" in capsys.readouterr().err
    other = tmp_path / "deep.safetensors"
    save_weights(other, build("deepremaster-restorer", json.dumps({"width": 0.125})))
    said = refused(*arguments("restore", small, tmp_path, "--start-from", str(other)))
    assert "holds a deepremaster-restorer; the recipe ours trains a restorer" in said and "\n" not in said


@pytest.mark.parametrize("part", ["shift", "mask", "skip"])
def test_parts_of_the_restorer_can_be_left_out(part):
    net = build("restorer", json.dumps({part: False})).eval()
    luma = torch.rand(1, 7, 1, 32, 48)
    with torch.inference_mode():
        whole = net(luma)
        assert whole.luma.shape == luma.shape
        assert net(luma, halo=Halo(2, 3)).luma.shape[1] == 2
        if part == "mask":
            assert not whole.mask.any()
        if part == "skip":
            assert torch.equal(whole.luma, whole.fill)
        if part == "shift":
            net.tone.forward = lambda thumbs, edges: (thumbs.new_zeros(7, 1, 5, 6), thumbs.new_zeros(7, 4, 1, 1))
            alone = net(luma[:, 3:4].expand(-1, 7, -1, -1, -1)).luma[:, 3]
            assert torch.allclose(net(luma).luma[:, 3], alone, atol=1e-6)  # neighbours do not matter


@pytest.mark.parametrize("part", ["shift", "local"])
def test_parts_of_the_colorizer_can_be_left_out(part):
    net = build("colorizer", json.dumps({part: False})).eval()
    luma = torch.rand(1, 5, 1, 32, 48)
    with torch.inference_mode():
        memory = net.encode_all([(torch.rand(1, 1, 32, 48), torch.rand(1, 2, 32, 48) - 0.5)])
        whole = net(luma, [memory])
        kept = net(luma, [memory], Halo(1, 1))
    assert whole.chroma.shape == (1, 5, 2, 32, 48) and kept.chroma.shape[1] == 3
    if part == "shift":
        assert torch.allclose(whole.chroma[:, 1:4], kept.chroma, atol=1e-6)
    else:
        upsampled = torch.nn.functional.interpolate(whole.coarse[0], scale_factor=2, mode="bilinear")
        assert torch.allclose(whole.refined[0], upsampled)


def test_views_lie_inside_of_the_picture_and_keep_its_values():
    generator = torch.Generator().manual_seed(3)
    y = torch.linspace(0, 1, 90)[:, None].expand(90, 160)
    clip = (torch.stack([y, torch.full_like(y, 0.25)]) * 255).byte()[None].repeat(4, 1, 1, 1)
    for _ in range(20):
        made = view(clip, 32, generator, (256, 400), turn=5)
        assert made.shape == (4, 2, 32, 32)
        assert torch.equal(made[0], made[3])  # the same for all frames
        assert (made[:, 1] - 0.25).abs().max() < 0.01
        share = float(made[0, 0].amax() - made[0, 0].amin())
        assert 256 / 400 * 0.9 < share <= 1.0  # of the short edge


def test_jpeg_is_close_to_the_real_one():
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(1, 1, 8, 8, generator=generator)
    picture = torch.nn.functional.interpolate(coarse, size=(64, 64), mode="bicubic").clamp(0, 1)
    pixels = (picture[0, 0] * 255).round().byte().numpy()
    for quality in (15, 40, 90):
        real = cv2.imdecode(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_GRAYSCALE)
        made = jpeg(picture, torch.tensor([float(quality)]))[0, 0]
        assert (made - torch.from_numpy(real).float() / 255).abs().mean() < 0.01


@pytest.mark.parametrize("recipe", ["deepremaster", "rtn"])
def test_degradations_of_the_papers_leave_a_picture(recipe, data, tmp_path):
    s = Settings(data=str(data), size=64, frames=5, batch=2, lines=96, perceptual_weight=0.0, photo=0.0)
    made = RECIPES[recipe]["restore"](s)
    generator = torch.Generator().manual_seed(1)
    clean = torch.full((2, 5, 1, 64, 64), 0.5)
    worn = made.deteriorate(clean, generator)[0] if recipe == "deepremaster" else made.damage(clean, generator).frames
    assert worn.shape == clean.shape and 0 <= float(worn.min()) and float(worn.max()) <= 1
    assert 0.005 < float((worn - clean).abs().mean()) < 0.3
    assert not torch.equal(worn[0, 0], worn[0, 1])


def test_an_unknown_setting_is_refused(capsys):
    assert refused("restore", "--speed", "9") == 2
    assert "--speed" in capsys.readouterr().err


def test_a_perfect_restoration_has_almost_no_loss_and_a_bad_one_more():
    target, mask = torch.rand(1, 4, 1, 16, 16), (torch.rand(1, 4, 1, 16, 16) > 0.9).float()
    logits = 40 * (mask - 0.5)
    perfect = RestorerOutput(target, mask, target, logits, target)
    good = {k: float(v) for k, v in restore_loss(perfect, target, target, mask).items()}
    bad = {k: float(v) for k, v in restore_loss(perfect._replace(luma=target.flip(1)), target, target, mask).items()}
    assert sum(good.values()) < 0.01
    assert bad["pixel"] > 0.1 and bad["temporal"] > 0.05 and bad["mask"] == good["mask"]


def test_what_is_to_be_done_is_where_a_frame_differs_from_what_it_should_be():
    target = torch.full((1, 2, 1, 72, 96), 0.5)
    frames = target.clone()
    frames[0, 0, 0, 40, 70] += 0.2  # a speck
    frames[0, 1, 0, 64:] += 2 / 255  # less than counts in full
    due = to_be_done(frames, target)
    assert due.shape == (1, 2, 1, 3, 3) and due[0, 0].sum() == 1 and due[0, 0, 0, 1, 2] == 1
    assert torch.allclose(due[0, 1, 0], torch.tensor([[0.0], [0.0], [0.5]]).expand(3, 3))
    made = build("restorer")(target)
    assert made.need_logits.shape == due.shape
    terms = restore_loss(made, frames, target, torch.zeros_like(target))
    terms["need"].backward()
    assert made.need_logits.grad_fn and build("restorer", '{"need": 0}')(target).need_logits is None


def test_colour_that_is_not_in_the_references_is_not_asked_of_the_matching():
    target = torch.rand(2, 2, 2, 16, 16) - 0.5
    small = [torch.zeros(2, 2, 2, s, s) for s in (4, 2, 4)]
    out = ColorizerOutput(target, *small, torch.zeros(2, 2, 1, 2, 2), [], torch.zeros(2, 2, 2, 8, 8))
    both = colorize_loss(out, target, torch.ones(2))
    none = colorize_loss(out, target, torch.zeros(2))
    assert float(none["coarse"]) == float(none["refined"]) == float(none["detail"]) == 0
    assert float(both["coarse"]) > 0 and float(both["detail"]) > 0
    assert float(both["pixel"]) < 0.05


def test_temporal_loss_of_a_constant_error_is_zero():
    error = torch.full((1, 5, 1, 8, 8), 0.2)
    assert float(temporal(error)) < 1e-6
    assert float(temporal(error[:, :1])) == 0


def test_grain_costs_as_much_under_a_wrong_brightness_as_under_the_right_one():
    """Were both in one absolute error, taking grain away would gain nothing where the brightness is off by more."""
    clean, mask = torch.rand(1, 4, 1, 48, 48), torch.zeros(1, 4, 1, 48, 48)
    grain = 0.02 * torch.randn(clean.shape)

    def cost(luma):
        return float(sum(restore_loss(RestorerOutput(luma, mask, clean, mask - 9, clean), luma, clean, mask).values()))

    gained = cost(clean + grain) - cost(clean)
    assert gained > 0.04
    assert cost(clean + grain + 0.1) - cost(clean + 0.1) > 0.8 * gained


def test_large_opaque_shapes_over_a_share_of_the_clips():
    """`--blotches`: they hide what is under them, are marked, and the frames beside them show it."""
    clean = torch.full((8, 7, 1, 64, 64), 0.5)
    plain = Damaged(clean, clean, torch.zeros_like(clean))
    assert add_blotches(plain, torch.Generator().manual_seed(1), 0.0) is plain
    made = add_blotches(plain, torch.Generator().manual_seed(1), 1.0)
    again = add_blotches(plain, torch.Generator().manual_seed(1), 1.0)
    assert all(torch.equal(x, y) for x, y in zip(made, again)) and torch.equal(made.target, clean)
    changed = (made.frames - clean).abs() > 0.02
    assert not changed[made.mask < 0.01].any() and 0.01 < changed.float().mean() < 0.4
    lives = (made.mask > 0.5).flatten(2).any(2).sum(1)
    assert lives.max() <= 3 * 3 and lives.min() >= 0
    some = add_blotches(plain, torch.Generator().manual_seed(1), 0.3)
    assert 0 < (some.mask.flatten(1).amax(1) > 0).sum() < 8


def test_batches_may_be_worn_as_rtn_s_authors_do(data):
    """`--worn 1`: nothing of `export/damage/`; the mask says where the dirt lies."""
    s = Settings(data=str(data), lines=96, size=64, frames=3, batch=2, photo=0.0, worn=1.0, validate_minutes=math.inf)
    recipe = RECIPES["ours"]["restore"](s)
    made = recipe.batch(torch.Generator().manual_seed(3))
    assert made.frames.shape == made.target.shape == made.mask.shape == (2, 3, 1, 64, 64)
    assert 0 <= made.frames.min() and made.frames.max() <= 1 and 0 <= made.mask.min() and made.mask.max() <= 1
    assert (made.frames - made.target).abs().mean() > 0.01
    again = recipe.batch(torch.Generator().manual_seed(3))
    assert torch.equal(made.frames, again.frames)
    recipe.close()


def test_a_restorer_that_does_nothing_gains_nothing_on_any_validation_set(small, tmp_path):
    def nothing(frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return frames, torch.zeros_like(frames)

    figures = RestoreValidation(small, "cpu", 1)(nn.ModuleDict({"restorer": Does(nothing)}), tmp_path)
    pairs = {"output": "input_fitted", "raw": "input", "paper": "paper_input", "blotches": "blotches_input"}
    assert all(figures[made] == figures[given] for made, given in pairs.items()) and figures["least_gain"] == 0
    assert len({figures[name] for name in pairs}) == 4
    assert {f"{kind}{name}" for kind in ("", "paper_", "blotches_") for name in ("inside", "detail")} < set(figures)
    assert {path.name for path in tmp_path.iterdir()} == {"c.png", "c-paper.png", "c-blotches.png"}


class Does(nn.Module):
    """A network that is a function."""

    def __init__(self, function):
        super().__init__()
        self.forward = function


@pytest.mark.parametrize("fast", [True, False])
def test_half_precision_only_where_it_is_fast(fast, monkeypatch):
    monkeypatch.setattr("export.training.recipes.recipe.has_fast_bf16", lambda: fast)
    product = torch.float32 if not fast else torch.bfloat16
    with half_precision("cpu"):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == product
