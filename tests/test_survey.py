"""What a survey of a film tells."""

from __future__ import annotations

from itertools import pairwise

import pytest

from vs_remaster.jobs.planning.survey import Survey


def surveyed(low: int, high: int, cuts: tuple[int, ...]) -> Survey:
    seen = (0,) * (high - low)
    return Survey(
        start=low, end=high, low=low, times=seen, durations=seen, checks=seen, keys=(), cuts=cuts, shots=(),
        truncated=False, cut=False, end_pts=0,
    )  # fmt: skip


@pytest.mark.parametrize("cuts", [(), (5,), (4, 5, 9), (11,), tuple(range(4, 12))])
def test_the_scene_of_every_frame_is_the_one_between_its_cuts(cuts):
    survey = surveyed(3, 12, cuts)
    for frame in range(3, 12):
        wanted = [(a, b) for a, b in pairwise((3, *cuts, 12)) if a <= frame < b]
        assert [survey.scene(frame)] == wanted
    for frame in (2, 12):
        with pytest.raises(ValueError, match=f"frame {frame} was not looked at, only 3 to 12"):
            survey.scene(frame)
