"""The chooser of frames worth colouring, on pictures whose sharpness and shots are known."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from itertools import pairwise

import pytest
import torch
from torch.nn import functional as F

from vs_remaster.errors import InputError
from vs_remaster.stills.focus import FilmSharpness, choose, sharpness, survey_sharpness


def picture(seed: int, height: int = 96, width: int = 128) -> torch.Tensor:
    """A picture `[1, H, W]` with edges, another one for each seed."""
    generator = torch.Generator().manual_seed(seed)
    coarse = F.interpolate(torch.rand(1, 1, 9, 12, generator=generator), (height, width))[0]
    return 0.2 + 0.6 * coarse


def blurred(luma: torch.Tensor, radius: int) -> torch.Tensor:
    return F.avg_pool2d(luma[None], 2 * radius + 1, 1, radius, count_include_pad=False)[0]


def dirty(luma: torch.Tensor) -> torch.Tensor:
    specks = torch.rand(luma.shape, generator=torch.Generator().manual_seed(1)) < 0.02
    return torch.where(specks, 1.0, luma)


def film() -> list[torch.Tensor]:
    """Two shots of 20 and 14 frames, all soft but for some."""
    frames = [blurred(picture(1), 3)] * 20 + [blurred(picture(2), 3)] * 14
    for n in (8, 9, 10, 11, 12):
        frames[n] = blurred(picture(1), 1)
    for n in (26, 27, 28):
        frames[n] = picture(2)
    return frames


def test_a_blurred_picture_is_less_sharp_at_any_size():
    for size in ((96, 128), (540, 720)):
        values = [sharpness(blurred(picture(1, *size), size[0] * radius // 96)) for radius in (0, 1, 2, 4)]
        assert values == sorted(values, reverse=True)
        assert values[0] > 3 * values[-1] > 0
    assert sharpness(torch.full((1, 20, 30), 0.4)) == 0


def test_grain_is_no_sharpness_of_a_tall_picture():
    soft = blurred(picture(1, 1080, 1440), 20)
    grainy = soft + 0.03 * torch.randn(soft.shape, generator=torch.Generator().manual_seed(0))
    assert sharpness(grainy) < sharpness(blurred(picture(1, 1080, 1440), 5))


def test_one_frame_of_each_shot_and_the_sharpest_stretch_of_it():
    seen = survey_sharpness(film())
    assert seen.cuts == [20]
    first, second = choose(seen)
    assert 8 <= first <= 12 and 26 <= second <= 28


def test_a_dirty_frame_is_not_taken_for_a_sharp_one():
    frames = film()
    frames[16] = dirty(frames[16])
    frames[10] = dirty(frames[10])
    seen = survey_sharpness(frames)
    assert max(range(20), key=seen.sharpness.__getitem__) in (10, 16)
    assert choose(seen)[0] in (8, 9, 11, 12)


def test_the_ends_of_a_shot_are_avoided():
    """There the sharpest frames lie, whole stretches of them."""
    values = [9.0] * 3 + [1.0] * 14 + [9.0] * 6 + [1.0] * 14 + [9.0] * 3
    first, second = choose(FilmSharpness(values, [20]))
    assert 4 <= first < 16 and 24 <= second < 36


def test_few_are_taken_from_the_longest_shots():
    seen = FilmSharpness([1.0] * 100, [10, 50, 55])
    one = choose(seen, 1)
    assert len(one) == 1 and 55 <= one[0] < 100
    two = choose(seen, 2)
    assert 10 <= two[0] < 50 and 55 <= two[1] < 100


def test_many_are_spread_over_the_longer_shots():
    chosen = choose(FilmSharpness([1.0] * 100, [10]), 10)
    assert len(chosen) == 10 == len(set(chosen)) and chosen == sorted(chosen)
    assert sum(n < 10 for n in chosen) == 1
    gaps = [b - a for a, b in pairwise(chosen[1:])]
    assert max(gaps) <= 12 and min(gaps) >= 8


@pytest.mark.parametrize(("length", "cuts"), [(1, []), (2, [1]), (3, []), (7, [1, 2, 6])])
@pytest.mark.parametrize("count", [0, 1, 2, 5, 50])
def test_short_films_give_what_they_have(length, cuts, count):
    chosen = choose(FilmSharpness([0.5] * length, cuts), count)
    assert len(chosen) == min(length, count or len(cuts) + 1)
    assert len(set(chosen)) == len(chosen) and 0 <= min(chosen) and max(chosen) < length


def test_a_survey_takes_frames_one_by_one():
    """A film does not fit into memory."""
    frames: list[weakref.ref] = []
    most = 0

    def lumas() -> Iterator[torch.Tensor]:
        nonlocal most
        for n in range(30):
            luma = picture(n // 10, 24, 32)
            frames.append(weakref.ref(luma))
            yield luma
            del luma
            most = max(most, sum(frame() is not None for frame in frames))

    assert len(survey_sharpness(lumas()).sharpness) == 30
    assert most <= 1


def test_what_cannot_be_picked_from_is_said():
    with pytest.raises(InputError, match="no frames"):
        choose(survey_sharpness([]))
    with pytest.raises(InputError, match="-1"):
        choose(FilmSharpness([1.0], []), -1)
    with pytest.raises(InputError, match=r"\[1, H, W\].*\(3, 4, 5\)"):
        sharpness(torch.zeros(3, 4, 5))
