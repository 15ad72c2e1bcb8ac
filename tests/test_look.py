"""The look of made colours: single hues, and look-up tables."""

from __future__ import annotations

import colorsys
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support.colored_scenes import CPU, RED, film, painted
from tests.support.job_films import write_film
from vs_remaster import cli
from vs_remaster.color.look import HueGain, Lut, hues_of, looked_up, read_cube, strengthened
from vs_remaster.color.matrices import rgb_to_ycbcr, ycbcr_to_rgb
from vs_remaster.errors import InputError
from vs_remaster.jobs.planning.identity import computation
from vs_remaster.jobs.planning.shot_settings import parse_shots
from vs_remaster.jobs.planning.survey import Appearance, Shot
from vs_remaster.remaster.colorizer import Colorizer
from vs_remaster.remaster.options import ColorizeOptions
from vs_remaster.video.reader import VideoReader


def wheel(count: int = 720) -> torch.Tensor:
    """Chroma of all hues, `[2, 1, count]`."""
    rgb = [colorsys.hsv_to_rgb(i / count, 0.5, 0.6) for i in range(count)]
    return rgb_to_ycbcr(torch.tensor(rgb).t()[:, None])[1:]


def cube(path: Path, size: int, make, head: str = "", kind: str = "3D") -> Path:
    """A table of what `make` makes of R'G'B' `[..., 3]`, red first as the format wants it."""
    at = np.linspace(0, 1, size)
    if kind == "3D":
        blue, green, red = np.meshgrid(at, at, at, indexing="ij")
        rows = make(np.stack((red, green, blue), -1)).reshape(-1, 3)
    else:
        rows = make(np.stack((at, at, at), -1))
    text = "\n".join(f"{r:.7f} {g:.7f} {b:.7f}" for r, g, b in rows)
    path.write_text(f'TITLE "a look"\n# made by a test\n\nLUT_{kind}_SIZE {size}\n{head}{text}\n')
    return path


def warmer(rgb: np.ndarray) -> np.ndarray:
    return rgb * [1.0, 0.8, 0.5] + [0.0, 0.05, 0.1]


def turned(rgb: np.ndarray) -> np.ndarray:
    return rgb[..., [2, 0, 1]]


# Hues -----------------------------------------------------------------------------------------------------------------


def test_hues_are_those_of_hsv():
    found = hues_of(wheel())[0]
    assert torch.allclose(found, torch.arange(720) / 2, atol=1e-2)
    assert hues_of(torch.zeros(2, 1, 1)).tolist() == [[0]]


@pytest.mark.parametrize("text", ["330-30:1.5", "330-30 : 1.5", ((330, 30, 1.5),)])
def test_a_range_acts_on_its_hues_with_soft_borders(text):
    chroma = wheel()
    (reds,) = HueGain.all_of(text)
    gain = (strengthened(chroma, [reds]).norm(dim=0) / chroma.norm(dim=0))[0]
    assert torch.allclose(gain[[0, 30, 690]], torch.tensor(1.5)) and gain[60].item() == pytest.approx(1.25, abs=1e-3)
    assert torch.allclose(gain[82:638], torch.tensor(1.0))
    assert (gain.roll(1) - gain).abs().max() < 0.02  # nothing bands
    assert torch.allclose(hues_of(strengthened(chroma, [reds])), hues_of(chroma), atol=1e-2)


def test_ranges_that_meet_act_alike_at_their_border():
    chroma = wheel()
    made = strengthened(chroma, HueGain.all_of("0-60:1.3,60-140:1.3"))
    assert torch.allclose((made / chroma).nan_to_num(1.3)[:, 0, 40:240], torch.tensor(1.3), atol=1e-4)
    whole = strengthened(chroma, HueGain.all_of("0-360:0.5"))
    assert torch.allclose(whole, chroma / 2)
    assert torch.equal(strengthened(chroma, HueGain.all_of("0-360:0,0-180:0")), torch.zeros_like(chroma))
    assert HueGain.all_of("10-20:1") == HueGain.all_of("") == ()


@pytest.mark.parametrize(
    "given", ["330-30", "a-b:1", "10-370:1.2", "20-20:1.2", "0-60:-1", "0-60:nan", ",", ((1, 2),), ((1, 2, True),), 5]
)
def test_bad_ranges_are_one_line(given):
    with pytest.raises(InputError, match=r"^saturation_hues must be FROM-TO:N,.* got .*") as error:
        ColorizeOptions(saturation_hues=given)
    assert "\n" not in str(error.value)


# Tables ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [2, 5, 17])
@pytest.mark.parametrize("make", [warmer, turned])
def test_a_cube_does_what_it_was_made_of(tmp_path, size, make):
    lut = read_cube(cube(tmp_path / "a.cube", size, make))
    rgb = torch.rand(3, 9, 11, generator=torch.Generator().manual_seed(1))
    expected = torch.from_numpy(make(rgb.permute(1, 2, 0).double().numpy())).permute(2, 0, 1).float()
    assert torch.allclose(lut(rgb), expected, atol=1e-5)
    beyond = torch.tensor([-0.2, 1.3, 0.5])[:, None, None]
    assert torch.allclose(lut(beyond), lut(beyond.clamp(0, 1)))


def test_three_curves_and_another_domain(tmp_path):
    square = cube(tmp_path / "a.cube", 1025, lambda rgb: rgb**2, kind="1D")
    rgb = torch.rand(3, 9, 11, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(read_cube(square)(rgb), rgb**2, atol=1e-5)
    for head in ("DOMAIN_MIN -1 -1 -1\nDOMAIN_MAX 3 3 3\n", "LUT_3D_INPUT_RANGE -1 3\n"):
        wide = read_cube(cube(tmp_path / "b.cube", 9, lambda at: 4 * at - 1, head))
        assert torch.allclose(wide(rgb), rgb, atol=1e-5) and wide(rgb + 1.5).max() > 1.6


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("\x00\x01PNG", "is no .cube: its line 1 is neither"),
        ("# nothing\n", "is no .cube: it has neither LUT_1D_SIZE nor LUT_3D_SIZE"),
        ("LUT_3D_SIZE 1\n", "line 1: LUT_3D_SIZE must be a whole number of 2 to 256, got '1'"),
        ("LUT_1D_SIZE two\n", "line 1: LUT_1D_SIZE must be a whole number of 2 to 65536, got 'two'"),
        ("LUT_1D_SIZE 3\n0 0 0\n1 1 1\n", "line 3: it ends after 2 of the 3 rows that LUT_1D_SIZE 3 says"),
        ("LUT_1D_SIZE 2\n0 0 0\n1 1 1\n1 1 1\n", "line 4: there are more than the 2 rows that LUT_1D_SIZE 2 says"),
        ("LUT_1D_SIZE 2\n0 0 0\n1 1 x\n", "line 3: there must be 3 numbers, got '1 1 x'"),
        ("LUT_1D_SIZE 2\n0 0\n1 1 1\n", "line 2: there must be 3 numbers, got '0 0'"),
        ("LUT_1D_SIZE 2\n0 0 nan\n1 1 1\n", "line 2: there must be 3 numbers"),
        ("LUT_1D_SIZE 2\nLUT_3D_SIZE 2\n", "line 2: it has a second table"),
        ("LUT_1D_SIZE 2\nDOMAIN_MIN 1 1 1\n0 0 0\n1 1 1\n", "DOMAIN_MIN must be below DOMAIN_MAX"),
    ],
)
def test_files_that_are_wrong_are_one_line(tmp_path, text, words):
    path = tmp_path / "a.cube"
    path.write_text(text)
    with pytest.raises(InputError, match=words) as error:
        ColorizeOptions(lut=path)
    assert "\n" not in str(error.value) and str(path) in str(error.value)
    with pytest.raises(InputError, match="no such file or folder"):
        ColorizeOptions(lut=tmp_path / "none.cube")
    with pytest.raises(InputError, match="lut must be the path"):
        ColorizeOptions(lut=3)


def test_a_table_takes_colours_only(tmp_path):
    lut = read_cube(cube(tmp_path / "a.cube", 9, turned))
    rgb = 0.3 + 0.4 * torch.rand(3, 9, 11, generator=torch.Generator().manual_seed(1))
    ycc = rgb_to_ycbcr(rgb)
    made = ycbcr_to_rgb(torch.cat((ycc[:1], looked_up(ycc[:1], ycc[1:], lut))))
    assert torch.allclose(rgb_to_ycbcr(made)[:1], ycc[:1], atol=1e-6)
    differences = (made - made.mean(0)) - (rgb[[2, 0, 1]] - rgb.mean(0))
    assert torch.allclose(rgb_to_ycbcr(made)[1:], rgb_to_ycbcr(rgb[[2, 0, 1]])[1:], atol=1e-5), differences.abs().max()


# What colours -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def colorizer() -> Colorizer:
    return Colorizer(ColorizeOptions(model="fast", lines=64, automatic=True, **CPU))


@pytest.mark.parametrize("guess", [False, True])
def test_a_colorizer_has_the_look(colorizer, tmp_path, guess):
    path = cube(tmp_path / "a.cube", 9, turned)
    luma = film(3)
    memory = colorizer.encode_references([] if guess else [painted(luma[1], RED)])
    plain = colorizer.colorize(luma, memory).chroma
    changed = colorizer.like(replace(colorizer.options, saturation=0.5, saturation_hues="300-60:2", lut=path))
    made = changed.colorize(luma, memory).chroma
    expected = strengthened(0.5 * plain, HueGain.all_of("300-60:2"))
    lut = read_cube(path)
    expected = torch.stack([looked_up(light, frame, lut) for light, frame in zip(luma, expected)])
    assert torch.allclose(made, expected, atol=1e-6) and (made - plain).abs().max() > 0.02
    same = colorizer.like(replace(colorizer.options, saturation_hues="0-90:1"))
    assert torch.equal(same.colorize(luma, memory).chroma, plain)


def test_a_job_is_told_apart_by_what_its_table_does(tmp_path):
    plain = ColorizeOptions(**CPU)
    one, other = (cube(tmp_path / f"{make.__name__}.cube", 3, make) for make in (warmer, turned))
    moved = tmp_path / "moved.cube"
    moved.write_bytes(b"# moved\n" + one.read_bytes())
    told = [computation("colorizer", replace(plain, lut=path)) for path in (one, moved, other)]
    assert told[0] == told[1] != told[2] and "lut" not in computation("colorizer", plain)
    hues = computation("colorizer", replace(plain, saturation_hues="0-60:2"))
    assert hues["saturation_hues"] == [[0, 60, 2]] and "saturation_hues" not in computation("colorizer", plain)
    options = replace(plain, lut=one)
    assert pickle.loads(pickle.dumps(options)) == options != plain


def test_a_shot_has_its_own_hues():
    shots = [Shot(0, 20, Appearance("gray", 0, 0))]
    (told,) = parse_shots('[[shot]]\nnumber = 1\nsaturation_hues = "0-60:2"\n', shots, Path("s"))
    assert told.saturation_hues == (HueGain(0, 60, 2),)
    for wrong in ('"0-60"', "3", "[[0, 60, 2]]"):
        with pytest.raises(InputError, match="shot 1: saturation_hues must be a text such as"):
            parse_shots(f"[[shot]]\nnumber = 1\nsaturation_hues = {wrong}\n", shots, Path("s"))


def test_vapoursynth_has_the_look_and_keeps_the_luma(tmp_path):
    vs = pytest.importorskip("vapoursynth")
    import vs_remaster

    path = cube(tmp_path / "a.cube", 9, turned)
    clip = vs.core.std.BlankClip(None, 96, 64, vs.YUV444P8, length=2, color=[120, 128, 128])
    how = {"automatic": True, "color_lines": 64, "model": "fast", "scenes": None, **CPU}
    plain, made = (
        vs_remaster.colorize(clip, **how, **look) for look in ({}, {"lut": path, "saturation_hues": "0-360:3"})
    )
    first, second = plain.get_frame(0), made.get_frame(0)
    assert np.array_equal(np.asarray(first[0]), np.asarray(second[0]))
    assert not np.array_equal(np.asarray(first[1]), np.asarray(second[1]))
    with pytest.raises(vs.Error, match=r"^colorize: saturation_hues must be"):
        vs_remaster.colorize(clip, **how, saturation_hues="x")


def test_a_table_is_a_thing_to_compare():
    assert Lut(torch.zeros(2, 3)) == Lut(torch.zeros(2, 3)) != Lut(torch.ones(2, 3))
    assert repr(Lut(torch.zeros(2, 3), name="a.cube")) == "Lut('a.cube')"


def test_the_command_line_takes_colours_from_a_table_and_keeps_the_luma(tmp_path, capsys):
    movie, path = tmp_path / "film.mkv", cube(tmp_path / "a.cube", 9, turned)
    write_film(movie, (8,))
    by = ("--no-restore", "--automatic", "--codec", "ffv1", "--device", "cpu", "--precision", "fp32", "--model", "fast")
    looks = {"plain": (), "look": ("--lut", str(path), "--saturation-hues", "0-360:2"), "job": ("--lut", str(path))}
    planes = {"film": []}
    for name, more in looks.items():
        job = ("--job", str(tmp_path / "job")) if name == "job" else ()
        assert cli.main(["run", str(movie), "-o", str(tmp_path / f"{name}.mkv"), *by, *more, *job]) == 0
    for name in ("film", *looks):
        with VideoReader(tmp_path / f"{name}.mkv") as reader:
            planes[name] = [[plane.tobytes() for plane in frame.planes] for frame in reader]
    assert all(made[0] == frame[0] for name in looks for made, frame in zip(planes[name], planes["film"]))
    assert len({tuple(planes[name][3][1:]) for name in looks}) == 3
    cube(path, 9, warmer)  # another table under the same name: another job
    capsys.readouterr()
    assert cli.main(["run", str(movie), "-o", str(tmp_path / "job2.mkv"), *by, *looks["job"], *job]) == 2
    assert "was begun otherwise (colorize lut was" in capsys.readouterr().err
    path.write_text("LUT_1D_SIZE 2\n0 0 0\n")
    assert cli.main(["run", str(movie), "-o", str(tmp_path / "x.mkv"), *by, *looks["job"]]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("line 2: it ends after 1 of the 2 rows that LUT_1D_SIZE 2 says")
