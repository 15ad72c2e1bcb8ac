"""Black point, white point and gamma: what they do, how they are found, and that they are those of whole shots."""

from __future__ import annotations

from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from tests.support.command_line import fails, run
from tests.support.job_films import FAST, heard_and_seen, write_film
from vs_remaster.color.matrices import ycbcr_to_rgb
from vs_remaster.errors import InputError
from vs_remaster.film.remastering import remaster_film
from vs_remaster.film.request import FilmRequest
from vs_remaster.film.shots import measure_levels
from vs_remaster.jobs.planning.appearance import Appearance
from vs_remaster.jobs.planning.options import JobOptions
from vs_remaster.jobs.planning.shot_settings import ShotSettings, parse_shots, shots_toml
from vs_remaster.jobs.planning.survey import Shot, Survey, survey_film
from vs_remaster.jobs.run import remaster_job
from vs_remaster.output.options import OutputOptions
from vs_remaster.remaster.colorizer import Colorizer
from vs_remaster.remaster.levels import (
    Ends,
    ShotLevels,
    find_levels,
    levelled_chroma,
    levelled_luma,
    levels_at,
    measure,
)
from vs_remaster.remaster.options import ColorizeOptions, Levels, RestoreOptions
from vs_remaster.remaster.pipeline import Picture, RemasterPipeline
from vs_remaster.remaster.restorer import Restorer
from vs_remaster.remaster.window import Window
from vs_remaster.video.reader import VideoReader

CPU = {"model": "fast", "device": "cpu"}
RESTORE = RestoreOptions(**CPU)
LOSSLESS = OutputOptions(codec="ffv1", overwrite=True)
LENGTHS = (14, 20, 16)
SHOTS = list(pairwise((0, 14, 34, 50)))
WINDOWS = (Window(before=8, after=8, block=16),)


@pytest.fixture(scope="module")
def movie(tmp_path_factory) -> Path:
    """A faded shot, one in colour that is not, and another faded one."""
    return write_film(
        tmp_path_factory.mktemp("film") / "film.mkv", LENGTHS, looks={0: "faded", 1: "coloured", 2: "faded"}
    )


@pytest.fixture(scope="module")
def found(movie) -> list[ShotLevels]:
    return measure_levels(movie)


def made(movie: Path, output: Path, **more) -> list[list[bytes]]:
    """The samples of every frame, without loss."""
    remaster_film(movie, output, **{"restore": RESTORE, "colorize": None, "write": LOSSLESS, **more})
    return samples(output)


def samples(path: Path) -> list[list[bytes]]:
    return [planes for _, planes in heard_and_seen(path)[0]]


@pytest.fixture(scope="module")
def whole(movie, tmp_path_factory) -> list[list[bytes]]:
    """The film with the levels that are found in each shot."""
    return made(movie, tmp_path_factory.mktemp("whole") / "out.mkv", auto_levels=True)


def texture(height: int = 96, width: int = 128, seed: int = 3) -> torch.Tensor:
    """Luma `[1, H, W]` from 0 to 1."""
    rough = torch.rand(1, 1, height // 8, width // 8, generator=torch.Generator().manual_seed(seed))
    smooth = F.interpolate(rough, (height, width), mode="bilinear")[0]
    return (smooth - smooth.min()) / (smooth.max() - smooth.min())


# ---- what they do


@pytest.mark.parametrize(
    ("levels", "values"),
    [
        ((0.25, 0.75), {0.25: 0, 0.375: 0.25, 0.5: 0.5, 0.75: 1, 0.0: 0, 1.0: 1, -0.1: 0, 1.2: 1}),
        ((0, 0.5), {0.0: 0, 0.125: 0.25, 0.5: 1}),
        ((0.5, 1), {0.5: 0, 0.75: 0.5, 1.0: 1}),
        ((0.25, 0.75, 2), {0.25: 0, 0.375: 0.5, 0.5: 0.5**0.5, 0.75: 1}),  # above 1 is brighter
        ((0, 1, 0.5), {0.0: 0, 0.5: 0.25, 1.0: 1}),
    ],
)
def test_black_and_white_lie_where_they_should_and_gamma_bends_between(levels, values):
    out = levelled_luma(torch.tensor(list(values)), Levels.of(levels))
    assert out.dtype == torch.float32
    assert torch.allclose(out, torch.tensor(list(values.values()), dtype=torch.float32), atol=1e-7)
    ends = torch.tensor([levels[0], levels[1]])
    assert levelled_luma(ends, Levels.of(levels)).tolist() == [0, 1], "not nearly"


def test_levels_that_change_nothing_are_none_and_leave_all_as_it_is():
    luma = torch.tensor([-0.05, 0.5, 1.07])
    assert Levels.of((0, 1)) is Levels.of([0.0, 1.0, 1.0]) is Levels.of(None) is Levels.parse(" ") is None
    assert levelled_luma(luma, None) is luma
    assert RestoreOptions(levels=(0, 1)) == RestoreOptions()


def test_colours_gain_the_contrast_of_the_luma_and_stay_possible():
    luma, chroma = torch.full((1, 2, 2), 0.5), torch.full((2, 2, 2), 0.05)
    luma[0, 1], levels = 0.25, Levels(0.25, 0.75)
    after = levelled_chroma(chroma, levelled_luma(luma, levels), levels)
    assert torch.equal(after[:, 0], torch.full((2, 2), 0.1)), "twice as much contrast"
    assert not after[:, 1].any(), "black has no colour"
    # as if R', G' and B' were stretched alike
    before = ycbcr_to_rgb(torch.cat((luma, chroma)))[:, 0]
    out = ycbcr_to_rgb(torch.cat((levelled_luma(luma, levels), after)))[:, 0]
    assert torch.allclose(out, (before - 0.25) / 0.5, atol=1e-6)


@pytest.mark.parametrize("strength", [0, 0.5, 1])
@pytest.mark.parametrize(
    "engine",
    ["torch", pytest.param("onnxruntime", marks=pytest.mark.skipif(not find_spec("onnxruntime"), reason="needs onnx"))],
)
def test_the_restored_luma_is_levelled_whatever_runs_the_network(engine, strength):
    luma = (0.2 + 0.5 * texture()).repeat(3, 1, 1, 1)
    how = {**CPU, "engine": engine, "precision": "fp32", "strength": strength}
    plain = Restorer(RestoreOptions(**how)).restore(luma)
    out = Restorer(RestoreOptions(**how, levels=(0.2, 0.7, 1.2))).restore(luma)
    assert torch.equal(out.luma, levelled_luma(plain.luma, Levels(0.2, 0.7, 1.2)))
    assert torch.equal(out.mask, plain.mask)
    assert out.luma.dtype == torch.float32 and out.luma.max() - out.luma.min() > 0.9


def test_colour_is_made_of_the_levelled_luma():
    colorizer = Colorizer(ColorizeOptions(model="automatic", device="cpu", lines=64, precision="fp32"))
    luma, levels = 0.2 + 0.5 * texture(64, 96), Levels(0.2, 0.7)
    options = RestoreOptions(**CPU, strength=0, levels=levels)
    (out,) = RemasterPipeline(options, colorizer, scenes="none").process([Picture(luma, None, 0)])
    (wanted,) = RemasterPipeline(None, colorizer, scenes="none").process(
        [Picture(levelled_luma(luma, levels), None, 0)]
    )
    assert torch.equal(out.luma, wanted.luma) and torch.equal(out.chroma, wanted.chroma)
    assert out.levels == levels


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((0.9, 0.1), "levels need LOW below HIGH, got 0.9 and 0.1"),
        ((0.5, 0.5), "LOW below HIGH"),
        ((-0.1, 0.9), "low of levels must be between 0 and 1, got -0.1"),
        ((0.1, 1.1), "high of levels must be between 0 and 1, got 1.1"),
        ((float("nan"), 0.9), "low of levels must be between 0 and 1, got nan"),
        ((0.1, float("inf")), "high of levels"),
        ((0.1, 0.9, 0), "gamma of levels must be between 0.1 and 10, got 0"),
        ((0.1, 0.9, -1), "gamma of levels must be between 0.1 and 10, got -1"),
        ((0.1, 0.9, float("nan")), "gamma of levels"),
        ((0.1,), r"two or three numbers, LOW, HIGH and GAMMA, got \(0.1,\)"),
        ((0.1, 0.9, 1, 1), "two or three numbers"),
        (0.5, "two or three numbers, LOW, HIGH and GAMMA, got 0.5"),
        ("0.1,0.9", "two or three numbers"),
        ((True, 1), "low of levels"),
        (("0.1", "0.9"), "low of levels must be between 0 and 1, got '0.1'"),
        ("auto", "auto, which looks at whole shots of a film on disk .* give LOW and HIGH"),
    ],
)
def test_bad_levels_are_named(given, words):
    with pytest.raises(InputError, match=words):
        RestoreOptions(levels=given)


def test_levels_are_read_as_they_are_written():
    assert Levels.parse("0.1,0.9") == Levels.parse(" .1 , .9, 1") == Levels.of(np.array([0.1, 0.9])) == Levels(0.1, 0.9)
    assert Levels.parse(".1,.9,1.5") == Levels(0.1, 0.9, 1.5)
    for text in ("a,b", "0.1;0.9", "0.1,", "0,1,1,"):
        with pytest.raises(InputError, match=r"LOW,HIGH or LOW,HIGH,GAMMA, such as 0\.1,0\.85, got"):
            Levels.parse(text)


# ---- how they are found


def ends(*shots: tuple[int, float, float]) -> list[Ends]:
    return [Ends(dark, bright) for count, dark, bright in shots for _ in range(count)]


@pytest.mark.parametrize("gain", [0.55, 0.6, 0.7])
def test_a_faded_picture_gets_the_contrast_of_a_good_one(gain):
    good = 0.03 + 0.87 * texture()
    levels = find_levels([measure(0.18 + gain * good)])
    after = levelled_luma(0.18 + gain * good, levels)
    assert (after - good).abs().max() < 0.065
    assert ((after == 0) | (after == 1)).float().mean() < 0.005
    assert levels.gamma == 1


@pytest.mark.parametrize(
    ("frames", "levels"),
    [
        (ends((20, 0.04, 0.88)), None),  # a good print
        (ends((20, 0.0, 1.0)), None),
        (ends((20, 0.02, 0.3)), None),  # night
        (ends((20, 0.02, 0.1)), None),  # a black shot
        (ends((20, 0.45, 0.95)), None),  # snow
        (ends((20, 0.5, 0.5)), None),  # gray, and nothing else
        (ends((20, 0.2, 0.7)), Levels(0.175, 0.758)),
        (ends((20, 0.2, 0.65), (60, 0.0, 0.0)), Levels(0.175, 0.703)),  # black frames,
        (ends((20, 0.2, 0.65), *((1, 0.2 * k / 20, 0.65 * k / 20) for k in range(17))), Levels(0.175, 0.703)),  # fades
        (ends((30, 0.2, 0.65), (2, 0.0, 1.0)), Levels(0.175, 0.703)),  # and flashes do not count
        (ends((60, 0.2, 0.65), (40, 0.02, 0.95)), None),  # a title does
    ],
)
def test_what_may_be_meant_stays(frames, levels):
    assert find_levels(frames) == levels


def test_no_shot_is_stretched_beyond_bounds():
    """More fog or more night never moves a point further, and contrast is doubled at most."""
    for dark in np.linspace(0, 1, 41):
        for bright in np.linspace(dark, 1, 41):
            low, high, gamma = find_levels([Ends(dark, bright)]) or (0, 1, 1)
            assert high - low >= 0.499 and gamma == 1
            assert low <= max(0, dark - 0.02) and high >= bright, "what is seen is not clipped"
            assert low == 0 or dark < 0.4
            assert high > 0.97 or bright > 0.45


def test_bars_round_corners_dust_scratches_and_grain_do_not_count():
    random = np.random.default_rng(0)
    picture = 0.2 + 0.45 * texture(192, 256)
    wanted = find_levels([measure(picture)])
    letterbox, pillars = F.pad(picture, (0, 0, 40, 41)), F.pad(picture, (50, 30, 0, 0), value=0.05)
    corners = picture.clone()
    down, across = (torch.arange(side).clamp_max(side - 1 - torch.arange(side)) for side in (192, 256))
    outside = torch.hypot((14 - down[:, None]).clamp_min(0).float(), (14 - across).clamp_min(0).float()) > 14
    corners[0, outside] = 0
    big = F.interpolate(picture[None], scale_factor=4, mode="bilinear")[0]
    dirty = big.clone()
    for number in range(60):
        top, left = random.integers(0, 760), random.integers(0, 1016)
        dirty[0, top : top + 6, left : left + 6] = number % 2
    dirty[0, :, 500] = 1
    grainy = big + 0.05 * torch.from_numpy(random.normal(size=big.shape)).float()
    for other in (letterbox, pillars, corners, dirty, grainy):
        levels = find_levels([measure(other)])
        assert np.allclose(levels, wanted, atol=0.015), (levels, wanted)


def test_the_levels_of_a_frame_are_those_of_its_shot():
    shots = [ShotLevels(4, 9, Levels(0.1, 0.9)), ShotLevels(9, 12, None), ShotLevels(12, 13, Levels(0.2, 1))]
    assert [levels_at(shots, n) for n in (3, 4, 8, 9, 12, 13)] == [
        None, Levels(0.1, 0.9), Levels(0.1, 0.9), None, Levels(0.2, 1), None,
    ]  # fmt: skip
    assert levels_at((), 0) is None


def test_levels_are_those_of_the_whole_shot_whatever_the_part(movie, found):
    assert [(shot.first, shot.last) for shot in found] == SHOTS
    low, high, _ = found[0].levels
    assert 0.15 < low < 0.2 and 0.65 < high < 0.75
    for start, end, shots in ((0, None, found), (20, 25, found[1:2]), (13, 15, found[:2]), (40, None, found[2:])):
        assert measure_levels(movie, start, end) == shots
    assert [(shot.first, shot.last) for shot in measure_levels(movie, 0, 25, [30])] == [(0, 30)]
    assert [(shot.first, shot.last) for shot in measure_levels(movie, 5, 6, "none")] == [(0, 50)]


# ---- films


def test_a_shot_has_its_levels_in_all_of_its_frames(tmp_path, movie, found, whole):
    for number in (0, 2):
        shot = found[number]
        options = RestoreOptions(**CPU, levels=shot.levels)
        given = made(movie, tmp_path / "given.mkv", restore=options)
        assert whole[shot.first : shot.last] == given[shot.first : shot.last]
        assert whole[20] != given[20]


@pytest.mark.parametrize(("start", "end"), [(5, 20), (20, 40)])
def test_a_part_has_the_frames_of_the_whole(tmp_path, movie, whole, start, end):
    assert made(movie, tmp_path / "out.mkv", auto_levels=True, start=start, end=end) == whole[start:end]


@pytest.mark.parametrize("part", [{}, {"start": 5, "end": 40}])
def test_a_job_has_the_frames_of_a_direct_run(tmp_path, movie, whole, part):
    output = tmp_path / "out.mkv"
    options = JobOptions(chunk_frames=16, folder=tmp_path / "job")
    how = {"restore": RESTORE, "colorize": None, "write": LOSSLESS, "auto_levels": True}
    remaster_job(movie, output, options=options, **how, **part)
    assert samples(output) == whole[part.get("start", 0) : part.get("end")]
    assert (tmp_path / "job/shots.toml").read_text().count(": proposed\n") == 4, "three times levels, once a colour"


def test_colours_of_a_restored_film_are_levelled_where_they_are(tmp_path, movie, whole):
    """With gray frames chroma stays gray; in colour it is that of the film with more contrast."""
    plain = made(movie, tmp_path / "plain.mkv", restore=RestoreOptions(**CPU, strength=0))
    assert [frame[1:] for frame in whole[:14]] == [frame[1:] for frame in plain[:14]]
    strong = made(movie, tmp_path / "strong.mkv", restore=RestoreOptions(**CPU, strength=0, levels=(0, 0.5)))
    source, out = (
        np.stack([np.frombuffer(plane, np.uint8) for plane in frames[20][1:]]).astype(float) - 128
        for frames in (plain, strong)
    )
    luma = np.frombuffer(strong[20][0], np.uint8).reshape(64, 96)[::2, ::2].ravel()
    inside = (luma > 80) & (luma < 170) & (np.abs(source).max(0) < 20)
    off = np.abs(out - 2 * source)[:, inside]  # beside colours that had to be made paler it is more
    assert inside.sum() > 20 and np.quantile(off, 0.9) <= 2 and off.max() < 8
    assert np.abs(source[:, luma > 234]).max() > 40 and np.abs(out[:, luma > 234]).max() < 25, "white has no colour"


def test_a_direct_run_with_levels_of_its_own_and_found_ones_is_refused(movie, tmp_path):
    how = {"source": movie, "output": tmp_path / "out.mkv", "auto_levels": True}
    with pytest.raises(InputError, match="levels are of restored luma, and restoring is off"):
        FilmRequest(**how, restore=None)
    with pytest.raises(InputError, match=r"levels are auto and .*0\.1.*leave one of them out"):
        FilmRequest(**how, restore=RestoreOptions(levels=(0.1, 0.9)))


# ---- jobs


def test_shots_propose_levels_and_take_them(movie, found):
    survey = survey_film(movie, 0, None, WINDOWS, "auto")
    assert [shot.levels for shot in survey.shots] == [shot.levels for shot in found]
    assert Survey.from_json(survey.to_json()) == survey
    text = shots_toml(survey.shots, "film.mkv")
    low, high, _ = found[0].levels
    line = f"# levels = [{low}, {high}, 1.0]  # the picture has faded: proposed"
    assert line in text
    assert parse_shots(text, survey.shots, Path("s")) == [ShotSettings()] * 3
    taken = parse_shots(text.replace(line, line[2:]), survey.shots, Path("s"))
    assert taken == [ShotSettings(levels=found[0].levels), ShotSettings(), ShotSettings()]


def test_of_a_part_only_whole_shots_are_looked_at_unless_levels_are_wanted(movie, found):
    of = [shot.levels for shot in found]
    assert [shot.levels for shot in survey_film(movie, 5, 40, WINDOWS, "auto").shots] == [None, of[1], None]
    assert [shot.levels for shot in survey_film(movie, 5, 40, WINDOWS, "auto", levels=True).shots] == of
    assert [shot.levels for shot in survey_film(movie, 14, 50, WINDOWS, "auto").shots] == of[1:]


@pytest.mark.parametrize(
    "value", ["[0.9, 0.1]", "[0.1]", "0.5", '"auto"', "[0.1, 0.9, 0]", "[nan, 0.9]", '"0.1,0.9"', "true", "[]"]
)
def test_mistakes_in_the_levels_of_a_shot_are_named(value):
    shots = [Shot(0, 20, Appearance("gray", 0, 0))]
    words = r"shot 1: levels must be \[LOW, HIGH\] or \[LOW, HIGH, GAMMA\] with 0 <= LOW < HIGH <= 1 .*, got"
    with pytest.raises(InputError, match=words):
        parse_shots(f"[[shot]]\nnumber = 1\nlevels = {value}", shots, Path("shots.toml"))


def test_a_shot_may_have_other_levels_than_its_film(tmp_path, movie, whole, capsys):
    output, folder = tmp_path / "out.mkv", tmp_path / "job"
    command = ["run", movie, "-o", output, "--job", folder, "--chunk", 16, "--codec", "ffv1", *FAST, "--levels", "auto"]
    assert run(capsys, *command)[0] == 0
    stamps = {path.name: path.stat().st_mtime_ns for path in (folder / "chunks").glob("*.json")}
    assert samples(output) == whole
    shots = folder / "shots.toml"
    text = shots.read_text()
    shots.write_text(text.replace("last = 14\n", "last = 14\nlevels = [0, 1]\n"))
    assert run(capsys, *command, "--overwrite")[0] == 0
    changed = {path.name for path in (folder / "chunks").glob("*.json") if path.stat().st_mtime_ns != stamps[path.name]}
    assert changed == {path for path in stamps if int(path[:6]) < 14} and len(changed) < len(stamps)
    plain = made(movie, tmp_path / "plain.mkv")
    assert samples(output) == plain[:14] + whole[14:], "those that change nothing leave a shot as it is"


@pytest.mark.parametrize(
    ("levels", "words"),
    [
        ([], "restore levels was auto, is none"),
        (["--levels", "0.1,0.9"], r"restore levels was auto, is [0.1, 0.9, 1.0]"),
    ],
)
def test_a_job_goes_on_with_the_levels_it_was_begun_with(tmp_path, movie, capsys, levels, words):
    command = ["run", movie, "-o", tmp_path / "out.mkv", "--job", tmp_path / "job", "--plan", *FAST]
    assert run(capsys, *command, "--levels", "auto")[0] == 0
    assert run(capsys, *command, "--levels", "auto")[0] == 0
    assert words in fails(capsys, *command, *levels)


# ---- the command line


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--levels", "0.9,0.1"], "levels need LOW below HIGH"),
        (["--levels", "dark"], "LOW,HIGH or LOW,HIGH,GAMMA, such as 0.1,0.85, got 'dark'"),
        (["--levels", "nan,1"], "low of levels must be between 0 and 1, got nan"),
        (["--levels", "auto", "--no-restore", "--automatic"], "levels are of restored luma, and restoring is off"),
        (["--levels", "0.1,0.9", "--no-restore", "--automatic"], "levels are of restored luma, and restoring is off"),
    ],
)
def test_mistakes_on_the_command_line_are_one_line(tmp_path, movie, capsys, arguments, words):
    assert words in fails(capsys, "run", movie, "-o", tmp_path / "out.mkv", *arguments)
    assert not list(tmp_path.iterdir())


def test_levels_of_the_command_line_are_those_of_the_library(tmp_path, movie, capsys):
    output = tmp_path / "out.mkv"
    how = ["--model", "fast", "--device", "cpu", "--codec", "ffv1", "--end", 12]
    assert run(capsys, "run", movie, "-o", output, *how, "--levels", "0.2,0.7,1.3")[0] == 0
    wanted = made(movie, tmp_path / "wanted.mkv", restore=RestoreOptions(**CPU, levels=(0.2, 0.7, 1.3)), end=12)
    assert samples(output) == wanted
    with VideoReader(output) as reader:
        assert min(frame.planes[0].min() for frame in reader) == 16, "black, in the film's own range"
