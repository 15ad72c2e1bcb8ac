"""The damage synthesiser: repeatable, honest about what it changed, as strong as promised."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from export.damage import (
    ALONE,
    CATEGORIES,
    SETS,
    STRUCTURAL,
    VALIDATION,
    VALIDATION_EDGE,
    VALIDATION_FRAMES,
    DamageSettings,
    Templates,
    damage,
    damage_batch,
    load_templates,
    validation_clip,
)
from export.damage.kinds import KINDS
from export.material import load_clips
from export.scores.metrics import psnr
from vs_remaster.errors import InputError

# of a made-up clip, with made-up masks: PSNR, mean of the mask
FROZEN = {
    "frozen": (24.074, 0.02142),
    "paper": (15.633, 0.13622),
    "blotches": (16.367, 0.13465),
    "blur-0.8": (52.510, 0.0),
    "blur-1.2": (46.911, 0.0),
    "grain-0.02": (33.977, 0.0),
    "grain-0.05": (26.034, 0.0),
    "grain-0.12": (18.453, 0.0),
}


def _seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _clean(frames: int = 5, height: int = 96, width: int = 128, batch: int | None = None) -> torch.Tensor:
    """A smooth moving pattern, mid gray on average."""
    t = torch.arange(frames)[:, None, None, None] * 1.5
    y = torch.arange(height)[None, None, :, None] / 9
    x = (torch.arange(width)[None, None, None, :] + t) / 13
    clip = (0.5 + 0.2 * torch.sin(y) * torch.cos(x) + 0.1 * torch.sin(3 * x + y)).float()
    return clip if batch is None else clip.expand(batch, -1, -1, -1, -1).contiguous()


@pytest.fixture(scope="module")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Templates:
    folder = tmp_path_factory.mktemp("masks")
    for number, category in enumerate(CATEGORIES):
        (folder / category).mkdir()
        for k in range(3):
            mask = np.zeros((120, 90 + 20 * k), np.uint8)
            cv2.ellipse(mask, (45, 60), (40, 5 + 4 * number), 20 * k, 0, 360, 255, -1)
            cv2.imwrite(str(folder / category / f"{k}.png"), mask)
    return load_templates(folder)


def test_same_seed_same_damage(templates: Templates) -> None:
    clean = _clean(batch=3)
    first = damage_batch(clean, _seeded(4), templates=templates)
    again = damage_batch(clean, _seeded(4), templates=templates)
    other = damage_batch(clean, _seeded(5), templates=templates)
    for a, b in zip(first, again, strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(first.frames, other.frames)
    assert not torch.equal(first.frames[0] - first.target[0], first.frames[1] - first.target[1]), "each its own"


def test_shapes_range_and_input_kept() -> None:
    clean = _clean(batch=2)
    before = clean.clone()
    made = damage_batch(clean, _seeded(1))
    assert torch.equal(clean, before)
    for part in made:
        assert part.shape == clean.shape
        assert part.dtype == torch.float32
        assert 0 <= float(part.min()) <= float(part.max()) <= 1
    single = damage(clean[0], _seeded(1))
    assert single.frames.shape == clean[0].shape
    with pytest.raises(InputError, match=r"\[B, T, 1, H, W\]"):
        damage_batch(clean[0], _seeded(1))


@pytest.mark.parametrize("kind", STRUCTURAL)
def test_outside_the_mask_nothing_changes(kind: str, templates: Templates) -> None:
    settings = DamageSettings(density=4.0, splice=0.5).only(kind)
    touched = 0.0
    for seed in range(6):
        made = damage(_clean(12), _seeded(seed), settings, templates)
        free = made.mask == 0
        assert torch.equal(made.frames[free], made.target[free])
        changed = (made.frames - made.target).abs() > 0.02
        assert bool((made.mask[changed] > 0).all())
        touched += float(changed.float().mean())
        assert float(free.float().mean()) > 0.3, "damage lies on the picture, it does not bury it"
    assert touched > 0, f"{kind} never appeared"


def test_template_shapes_are_only_drawn_when_given(templates: Templates) -> None:
    settings = DamageSettings(clusters=(2.0, 2.0)).only("clusters")
    assert float(damage(_clean(), _seeded(), settings).mask.max()) == 0
    assert float(damage(_clean(), _seeded(), settings, templates).mask.max()) > 0


def test_tone_grain_and_wear_leave_the_mask_empty() -> None:
    settings = DamageSettings().only("flicker", "uneven", "fade", "vignette", "grain", "blur", "halo", "blocks")
    made = damage(_clean(), _seeded(3), settings)
    assert float(made.mask.max()) == 0
    assert 15 < psnr(made.frames, made.target) < 40


def test_weave_moves_input_and_target_alike() -> None:
    clean = _clean(8)
    made = damage(clean, _seeded(2), DamageSettings(weave=(2.0, 2.0)).only("weave"), lines=400)
    assert torch.equal(made.frames, made.target)
    moved = (made.target - clean).abs().mean(dim=(1, 2, 3))
    assert float(moved.max()) > 5e-3
    assert float(moved.max()) < 0.1
    # moved, not blurred: as much detail as before
    detail = [float(torch.diff(part[..., 8:-8, 8:-8], dim=-1).std()) for part in (clean, made.target)]
    assert detail[1] == pytest.approx(detail[0], rel=0.03)


def test_repeated_frames_are_repeated_in_the_target_too() -> None:
    made = damage(_clean(40), _seeded(0), DamageSettings(repeat=0.5).only("repeat"))
    assert torch.equal(made.frames, made.target)
    same = [torch.equal(a, b) for a, b in zip(made.target[1:], made.target[:-1], strict=True)]
    assert 2 <= sum(same) <= 30


def test_share_of_clean_clips() -> None:
    clean = _clean(2, 32, 32, batch=400)
    settings = DamageSettings(clean=0.3).only("grain")
    made = damage_batch(clean, _seeded(7), DamageSettings(clean=0.3, sound=0.0, chance=settings.chance))
    untouched = (made.frames == made.target).flatten(1).all(dim=1)
    assert 0.23 < float(untouched.float().mean()) < 0.37


def test_some_clips_have_dirt_and_nothing_else() -> None:
    clean = _clean(2, 48, 48, batch=150)
    chance = dict.fromkeys(DamageSettings().chance, 1.0)
    made = damage_batch(clean, _seeded(7), DamageSettings(clean=0.0, sound=0.3, density=20.0, chance=chance))
    clear = made.mask == 0
    sound = ((made.frames == made.target) | ~clear).flatten(1).all(dim=1)
    assert 0.23 < float(sound.float().mean()) < 0.37
    assert bool((~clear[sound]).any()) and not torch.equal(made.frames[sound], made.target[sound])


def test_grain_has_the_strength_asked_for() -> None:
    gray = torch.full((20, 1, 64, 64), 0.5)
    settings = DamageSettings(grain=(0.04, 0.04), grain_size=(0.8, 0.8)).only("grain")
    made = damage(gray, _seeded(1), settings)
    noise = made.frames - made.target
    assert float(noise.std()) == pytest.approx(0.04, rel=0.08)
    assert abs(float(noise.mean())) < 2e-3
    pair = (noise[1:] * noise[:-1]).mean() / noise.var()
    assert abs(float(pair)) < 0.03, "new in every frame"
    beside = (noise[..., 1:] * noise[..., :-1]).mean() / noise.var()
    assert float(beside) > 0.2, "but neighbours belong together"


def test_flicker_does_not_change_the_mean_brightness() -> None:
    gray = torch.full((48, 1, 32, 32), 0.5)
    levels = damage(gray, _seeded(1), DamageSettings(flicker=(0.06, 0.06)).only("flicker")).frames.mean(dim=(1, 2, 3))
    assert float(levels.std()) > 0.01
    assert float(levels.mean()) == pytest.approx(0.5, abs=0.01)


def test_crops_are_as_dirty_as_whole_frames() -> None:
    """Counts go by area: a crop gets its share of a frame's dust, no more."""
    settings = DamageSettings(dust=(40.0, 40.0)).only("dust")
    gray = torch.full((1, 1, 1, 1, 1), 0.5)
    whole = damage_batch(gray.expand(4, 4, 1, 300, 400), _seeded(1), settings, lines=300)
    crop = damage_batch(gray.expand(60, 4, 1, 100, 100), _seeded(2), settings, lines=300)
    shares = [float((made.mask > 0.5).float().mean()) for made in (whole, crop)]
    assert shares[1] == pytest.approx(shares[0], rel=0.25)


def test_unknown_kind_is_refused() -> None:
    with pytest.raises(InputError, match="sparkles"):
        DamageSettings().only("sparkles")


def test_missing_masks_are_reported(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no damage masks"):
        load_templates(tmp_path)


@pytest.mark.parametrize("kind", [*SETS, *ALONE])
def test_validation_damage_is_frozen(kind: str, templates: Templates) -> None:
    """If these figures move, validation figures can no longer be compared with earlier ones."""
    clean = _clean(8, 72, 96)
    made = validation_clip("frozen", clean, templates, kind)
    assert psnr(made.frames, made.target) == pytest.approx(FROZEN[kind][0], abs=0.02)
    assert float(made.mask.mean()) == pytest.approx(FROZEN[kind][1], rel=0.01)
    assert all(torch.equal(a, b) for a, b in zip(made, validation_clip("frozen", clean, templates, kind), strict=True))
    shorter = validation_clip("frozen", clean[:5], templates, kind)
    # repeats and drops apart, the length given does not change the damage
    assert torch.allclose(shorter.mask[:3], made.mask[:3], atol=1e-6)
    if not kind.startswith("blur"):
        assert not torch.equal(made.frames, validation_clip("other", clean, templates, kind).frames)
    if kind != "frozen":
        assert torch.equal(made.target, clean) and torch.equal(shorter.frames, made.frames[:5])


@pytest.mark.parametrize("kind", SETS)
def test_what_training_draws_leaves_validation_damage_as_it_is(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = validation_clip("clip", _clean(3), None, kind)
    dust = KINDS["dust"]
    monkeypatch.setitem(KINDS, "dust", dust._replace(diameter=(40.0, 60.0), alpha=(1.0, 1.0)))
    monkeypatch.setitem(KINDS, "new", dust)
    assert torch.equal(before.frames, validation_clip("clip", _clean(3), None, kind).frames)
    trained = DamageSettings(dust=(20.0, 20.0), chance=DamageSettings().chance | {"new": 0.0}).only("dust")
    assert float(damage(_clean(3), _seeded(), trained).mask.mean()) > 0.1


@pytest.mark.parametrize("masks", [True, False])
def test_blotches_are_opaque_and_as_large_and_as_short_lived_as_promised(masks: bool, templates: Templates) -> None:
    clean = _clean(40, 96, 128)
    found = [validation_clip(name, clean, templates if masks else None, "blotches") for name in "abcd"]
    covered = torch.stack([(made.mask > 0.5).float().mean((1, 2, 3)) for made in found])
    assert 0.015 < float(covered.min()) and float(covered.max()) < 0.21
    assert float(covered.std()) > 0.02
    hidden = torch.cat([made.frames[made.mask == 1] for made in found])
    # black, white and gray, a little textured; what lies beneath shows nowhere
    assert all(0.05 < float(share) for share in ((hidden < 0.2).float().mean(), (hidden > 0.8).float().mean()))
    assert float(((hidden > 0.25) & (hidden < 0.75)).float().mean()) > 0.05
    truth = torch.cat([made.target[made.mask == 1] for made in found])
    assert abs(float(torch.corrcoef(torch.stack([hidden, truth]))[0, 1])) < 0.2
    life = torch.stack([made.mask > 0.5 for made in found]).float()
    assert float((life[:, :-3] * life[:, 1:-2] * life[:, 2:-1] * life[:, 3:]).mean()) < 0.2 * float(life.mean())
    grain = [float((made.frames - made.target)[made.mask == 0].std()) for made in found]
    assert min(grain) == 0 or max(grain) < 0.05


def test_half_of_the_blotches_lie_where_the_scene_moves() -> None:
    clean = torch.full((30, 1, 96, 128), 0.5)
    clean[::2, :, 60:90, 80:120] = 0.9  # a corner that blinks
    masks = torch.stack([validation_clip(name, clean, None, "blotches").mask for name in "abcdef"])
    moving, elsewhere = masks[..., 60:90, 80:120].mean(), masks[..., :48, :64].mean()
    assert float(moving) > 2 * float(elsewhere)


def test_paper_damage_is_one_set_of_parameters_a_clip(templates: Templates) -> None:
    gray = torch.full((6, 1, 96, 128), 0.5)
    made = [validation_clip(f"clip {k}", gray, templates, "paper") for k in range(12)]
    frames = torch.stack([m.frames.flatten(1) for m in made])
    levels = frames.median(2).values
    noise = (frames - levels[..., None]).abs().median(2).values  # dirt is less than half of a frame
    for values in (levels, noise):
        assert float(values.mean(1).std()) > 3 * float(values.std(1).mean()) > 0  # clips differ, frames a little
    assert 0.35 < float(levels.min()) < 0.47 and 0.53 < float(levels.max()) < 0.65
    assert float(noise.min()) < 0.01 and 0.05 < float(noise.max()) < 0.14  # 0.67 of sigma
    assert all(not torch.equal(m.mask[0], m.mask[1]) for m in made)  # and dirt is new in every frame
    dirty = torch.cat([(m.frames - m.target)[m.mask > 0.9] for m in made])
    assert float((dirty > 0.15).float().mean()) > 0.1 and float((dirty < -0.15).float().mean()) > 0.3


def test_blur_and_grain_alone_are_as_strong_as_their_names_say() -> None:
    step = (torch.arange(64) >= 32).float().expand(2, 1, 48, 64)
    for sigma in (0.8, 1.2):
        edge = validation_clip("edge", step, None, f"blur-{sigma}").frames[0, 0, 20].diff()
        spread = float((edge * (torch.arange(63) - 31) ** 2).sum() ** 0.5)
        assert spread == pytest.approx(sigma, rel=0.05)
    gray = torch.full((4, 1, 64, 64), 0.5)
    for sigma in (0.02, 0.05, 0.12):
        noise = validation_clip("gray", gray, None, f"grain-{sigma}").frames - gray
        assert float(noise.std()) == pytest.approx(sigma, rel=0.03)
        assert abs(float((noise[..., 1:] * noise[..., :-1]).mean() / noise.var())) < 0.03, "white"


def test_wrong_validation_sets_are_refused() -> None:
    with pytest.raises(InputError, match="no validation set 'rust'; choose from frozen, paper, blotches, blur"):
        validation_clip("clip", _clean(), None, "rust")
    with pytest.raises(InputError, match="'paper' cannot be taken apart"):
        validation_clip("clip", _clean(), None, "paper", only=["dust"])


@pytest.mark.gpu
def test_runs_where_the_clip_lies(templates: Templates) -> None:
    clean = _clean(batch=2).cuda()
    made = damage_batch(clean, _seeded(3), templates=templates.to("cuda"))
    assert all(part.is_cuda and part.shape == clean.shape for part in made)
    free = made.mask == 0
    structural = damage_batch(clean, _seeded(3), DamageSettings().only(*STRUCTURAL), templates.to("cuda"))
    free = structural.mask == 0
    assert torch.equal(structural.frames[free], structural.target[free])


@pytest.mark.data
@pytest.mark.parametrize(("kind", "least", "most"), [("frozen", 21, 23), ("paper", 18.5, 21.5), ("blotches", 16, 18.5)])
def test_validation_damage_is_as_strong_as_promised(kind: str, least: float, most: float, data_folder: Path) -> None:
    masks = load_templates(data_folder / "damage" / "val")
    values, covered = [], []
    for clip in load_clips(data_folder / "video" / "val", VALIDATION_EDGE, limit_frames=VALIDATION_FRAMES):
        made = validation_clip(clip.name, clip.frames[:, None].float() / 255, masks, kind)
        values.append(psnr(made.frames, made.target))
        covered.append((made.mask > 0.5).float().mean((1, 2, 3)))
    assert VALIDATION.clean == 0
    assert least < sum(values) / len(values) < most
    if kind == "blotches":
        shares = torch.cat(covered)
        assert 0.017 < float(shares.min()) and float(shares.max()) < 0.205
