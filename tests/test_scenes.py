"""Cut detection on made and on real shots; the made ones say what must and what must not count as a cut."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import pytest
import torch
import torch.nn.functional as F

from vs_remaster.errors import InputError
from vs_remaster.remaster import scenes

LENGTH = 12


def random(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def shot(seed: int, length: int = LENGTH, speed: float = 1.5, height: int = 96, width: int = 128) -> torch.Tensor:
    """A pan over a landscape of blobs `[T, 1, H, W]`, 0..1; `speed` in thumbnail pixels a frame."""
    room = round(2 * speed * length) + width
    coarse = torch.rand(1, 1, 9, 9 * room // width, generator=random(seed))
    fine = torch.rand(1, 1, 33, 33 * room // width, generator=random(seed + 1000))
    wide = sum(gain * F.interpolate(x, size=(height, room), mode="bicubic") for gain, x in ((0.7, coarse), (0.3, fine)))
    return torch.stack([wide[0, :, :, (at := round(2 * speed * t)) : at + width] for t in range(length)]).clamp(0, 1)


def thumbs(film: torch.Tensor) -> torch.Tensor:
    return torch.stack([scenes.thumbnail(frame) for frame in film])


def stream(film: torch.Tensor, first: int = 0) -> list[int]:
    """Cuts as the streaming detector gives them, each checked to come as late as promised and no later."""
    detector = scenes.CutDetector(first)
    found = []
    for n, frame in enumerate(film, first):
        assert detector.decided == max(first, n - scenes.AFTER)
        found += detector.push(frame)
    found += detector.finish()
    assert found == detector.cuts and detector.decided == first + len(film)
    return found


def flicker(film: torch.Tensor) -> torch.Tensor:
    """Gain of +-15 %, a slope across the picture and an offset, new for every frame."""
    gain, slope, offset = (
        s * (2 * torch.rand(len(film), 1, 1, 1, generator=random(5)) - 1) for s in (0.15, 0.08, 0.03)
    )
    return (film * (1 + gain + slope * torch.linspace(-1, 1, film.shape[-1])) + offset).clamp(0, 1)


def dust(film: torch.Tensor) -> torch.Tensor:
    film, rolls = film.clone(), torch.rand(len(film), 5, 5, generator=random(6))
    height, width = film.shape[-2:]
    for frame, spots in zip(film, rolls, strict=True):
        for y, x, h, w, value in spots.tolist():
            top, left = int(y * height), int(x * width)
            frame[:, top : top + 1 + int(h * height / 6), left : left + 1 + int(w * width / 6)] = round(value)
    return film


def noise(film: torch.Tensor) -> torch.Tensor:
    return film + 0.08 * torch.randn(film.shape, generator=random(7))


def flash(film: torch.Tensor) -> torch.Tensor:
    """One white, one black, one washed-out frame and one of another shot, none next to a cut."""
    film = film.clone()
    film[3], film[7] = 1.0, 0.0
    film[LENGTH + 3] = film[LENGTH + 3] * 0.2 + 0.8
    film[LENGTH + 7] = shot(77, 1)[0]
    return film


def weave(film: torch.Tensor) -> torch.Tensor:
    shifts = torch.randint(-3, 4, (len(film), 2), generator=random(8)).tolist()
    return torch.stack([frame.roll(shift, (-2, -1)) for frame, shift in zip(film, shifts, strict=True)])


def untouched(film: torch.Tensor) -> torch.Tensor:
    return film


DAMAGE: list[Callable[[torch.Tensor], torch.Tensor]] = [untouched, flicker, dust, noise, flash, weave]


# across a lost frame motion is twice as fast, so flashes have their own limit
@pytest.mark.parametrize(
    ("damage", "speed"),
    [(d, speed) for d in DAMAGE for speed in ((0, 2) if d is flash else (0, 3.5))],
)
def test_cuts_are_found_and_nothing_else_is(damage, speed):
    film = damage(torch.cat([shot(seed, speed=speed) for seed in (1, 2, 3)]))
    cuts = scenes.detect_cuts(thumbs(film))
    assert cuts == [LENGTH, 2 * LENGTH]
    assert stream(film) == cuts


def test_all_kinds_of_damage_at_once():
    film = noise(dust(flicker(weave(torch.cat([shot(1), shot(2)])))))
    assert scenes.detect_cuts(thumbs(film)) == [LENGTH]


@pytest.mark.parametrize("times", [2, 3])
def test_repeated_frames(times):
    film = torch.cat([shot(1), shot(2)]).repeat_interleave(times, 0)
    assert scenes.detect_cuts(thumbs(film)) == [LENGTH * times]


def test_flash_next_to_a_cut_does_not_hide_it():
    for at in (LENGTH - 1, LENGTH, LENGTH + 1):
        film = torch.cat([shot(1), shot(2)])
        film[at] = film[at] * 0.1 + 0.9
        assert len(scenes.detect_cuts(thumbs(film))) == 1, at


@pytest.mark.parametrize("length", [1, 2, 3, 4])
def test_short_shots_have_their_cuts(length):
    film = torch.cat([shot(1), shot(2, length), shot(3)])
    assert scenes.detect_cuts(thumbs(film)) == [LENGTH, LENGTH + length]


@pytest.mark.parametrize(("length", "cuts"), [(1, []), (2, []), (3, [5, 8]), (4, [5, 9])])
def test_one_or_two_foreign_frames_inside_of_a_shot_are_no_scene(length, cuts):
    film = shot(1)
    film[5 : 5 + length] = shot(2, length)
    assert scenes.detect_cuts(thumbs(film)) == cuts


def test_fades_and_dissolves_are_no_cuts():
    ramp = torch.linspace(0, 1, 25)[:, None, None, None]
    film, other = shot(1, 25, 0.2), shot(2, 25, 0.2)
    black = torch.zeros(8, *film.shape[1:])
    assert scenes.detect_cuts(thumbs(torch.cat((black, film * ramp, film.flip(0))))) == []
    assert scenes.detect_cuts(thumbs(torch.cat((film, film.flip(0) * (1 - ramp), black)))) == []
    assert scenes.detect_cuts(thumbs(film * (1 - ramp) + other * ramp)) == []
    assert scenes.detect_cuts(thumbs(torch.cat((black, film)))) == [8]


def test_flat_frames_of_any_brightness_belong_together():
    film = torch.ones(9, 1, 48, 64) * torch.tensor([0, 0, 0, 1, 1, 1, 0.5, 0.5, 0.5]).view(9, 1, 1, 1)
    assert scenes.detect_cuts(thumbs(film)) == []


def test_a_decision_depends_on_the_stated_frames_only():
    film = thumbs(torch.cat([shot(1), shot(2), shot(3)]))
    cuts = scenes.detect_cuts(film)
    for n in range(1, len(film)):
        start, stop = max(0, n - scenes.BEFORE), n + scenes.AFTER + 1
        assert scenes.is_cut(film[start:stop], n - start) == (n in cuts)
        # what lies further away does not matter, even where it is given
        other = film.flip(0).clone()
        other[start:stop] = film[start:stop]
        assert scenes.is_cut(other, n) == (n in cuts)
    # what lies inside does: with three more frames like those before, the cut is gone
    healed = film.clone()
    healed[LENGTH + scenes.AFTER] = film[LENGTH - 1]
    assert not scenes.is_cut(healed, LENGTH) and scenes.is_cut(film, LENGTH)
    healed = film.clone()
    healed[LENGTH - scenes.BEFORE] = film[LENGTH]
    assert not scenes.is_cut(healed, LENGTH)


@pytest.mark.parametrize("start", [0, 1, 5, LENGTH - 3, LENGTH - 4])
def test_a_start_in_mid_film_agrees_from_before_frames_on(start):
    film = torch.cat([shot(1), shot(2), shot(3)])
    expected = [n for n in scenes.detect_cuts(thumbs(film)) if n >= start + scenes.BEFORE]
    assert [n for n in stream(film[start:], start) if n >= start + scenes.BEFORE] == expected


@pytest.mark.parametrize("length", [0, 1, 2, 3, 7])
def test_films_of_a_few_frames(length):
    film = shot(1, 7)[:length]
    assert stream(film) == []
    assert scenes.detect_cuts(thumbs(film) if length else torch.zeros(0, 48, 64)) == []
    if length > 1:
        film = torch.cat((film, shot(2, 7)))
        assert stream(film) == scenes.detect_cuts(thumbs(film)) == [length]


def test_frames_and_thumbnails_may_be_pushed():
    film = torch.cat([shot(1), shot(2)])
    assert stream(thumbs(film)) == stream(film) == [LENGTH]


def test_thumbnail_is_the_mean_of_areas_at_any_size():
    frame = torch.rand(1, 96, 128, generator=random(1))
    expected = frame[0].reshape(48, 2, 64, 2).mean((1, 3))
    assert (scenes.thumbnail(frame) - expected).abs().max() < 1e-6
    assert scenes.thumbnail(frame.double()).dtype == torch.float32
    for size in ((1, 1), (30, 500), (481, 853)):
        thumb = scenes.thumbnail(torch.full((1, *size), 0.3))
        assert thumb.shape == (48, 64) and (thumb - 0.3).abs().max() < 1e-6


def test_difference_forgives_gain_offset_and_motion_only():
    a, moved, other = thumbs(torch.cat((shot(1, 2, speed=3.0), shot(2, 1))))
    assert scenes.difference(a, a) == 0
    assert scenes.difference(a, a * 0.5 + 0.3) < 0.005
    assert scenes.difference(a, moved) < 0.1
    assert (a - moved).abs().mean() > 0.05
    assert scenes.difference(a, other) > 0.5
    assert scenes.difference(a, other) == scenes.difference(other, a)


def test_mistakes_are_named():
    with pytest.raises(InputError, match=r"\[1, H, W\], got \(3, 4, 4\)"):
        scenes.thumbnail(torch.zeros(3, 4, 4))
    with pytest.raises(InputError, match="uint8"):
        scenes.thumbnail(torch.zeros(1, 4, 4, dtype=torch.uint8))
    with pytest.raises(InputError, match="position = 7"):
        scenes.is_cut(torch.zeros(7, 48, 64), 7)
    with pytest.raises(InputError, match=r"\(7, 20, 20\)"):
        scenes.is_cut(torch.zeros(7, 20, 20), 3)


def test_cuts_by_hand(tmp_path):
    file = tmp_path / "cuts 1.txt"
    file.write_text("\ufeff# reel 1\n240\n\n  12  # after the title\r\n0\n12\n", encoding="utf-8")
    assert scenes.parse_cuts(file) == [12, 240]
    file.write_text("# nothing\n")
    assert scenes.parse_cuts(str(file)) == []


@pytest.mark.parametrize("line", ["-4", "1.5", "12 13", "00:01:02", "twelve", "²", "١٢"])
def test_a_line_that_is_no_frame_number_is_named(tmp_path, line):
    file = tmp_path / "cuts.txt"
    file.write_text(f"1\n2\n{line}\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"cuts\.txt', line 3: '.*' is not a frame number"):
        scenes.parse_cuts(file)


def test_an_unreadable_scenes_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.txt': No such file"):
        scenes.parse_cuts(tmp_path / "none.txt")
    with pytest.raises(InputError, match="is no file"):
        scenes.parse_cuts(tmp_path)
    (tmp_path / "video.txt").write_bytes(bytes(range(256)))
    with pytest.raises(InputError, match="not UTF-8"):
        scenes.parse_cuts(tmp_path / "video.txt")


@pytest.fixture(scope="module")
def real_shots(request: pytest.FixtureRequest) -> list[torch.Tensor]:
    """The first 40 frames of each validation clip, at half size."""
    folder: Path = request.getfixturevalue("data_folder") / "video" / "val"
    shots = []
    for path in sorted(folder.glob("*.mp4")):
        with av.open(str(path)) as container:
            frames = [f.to_ndarray(format="gray") for f, _ in zip(container.decode(video=0), range(40), strict=False)]
        shots.append(F.avg_pool2d(torch.stack([torch.from_numpy(f) for f in frames])[:, None] / 255, 2))
    assert len(shots) == 14
    return shots


@pytest.mark.data
@pytest.mark.parametrize("damage", [untouched, flicker, noise, dust, weave])
def test_real_shots_joined(real_shots, damage):
    film = torch.cat([thumbs(damage(shot)) for shot in real_shots])
    starts = torch.tensor([len(shot) for shot in real_shots]).cumsum(0).tolist()[:-1]
    assert scenes.detect_cuts(film) == starts
