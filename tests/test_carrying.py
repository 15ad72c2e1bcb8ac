"""Colour carried along: frames round each reference become references."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.support.job_films import FAST, write_film
from vs_remaster import cli
from vs_remaster.errors import InputError
from vs_remaster.references.manifest import NAME, Origin, read_manifest
from vs_remaster.references.reference import Reference, load_references, rules_text, with_rules
from vs_remaster.references.rules import rules_of
from vs_remaster.remaster.colorizer import Colorizer
from vs_remaster.remaster.options import CARRY_WEIGHT, CARRY_WHOLE_WEIGHT, ColorizeOptions
from vs_remaster.stills import carrying
from vs_remaster.stills.carrying import _holds_some, carried_references, carry_in_clip, carry_references, spans_of
from vs_remaster.video.reader import VideoReader

HOW = ColorizeOptions(model="fast", device="cpu", precision="fp32", lines=64)


def picture(frame: int, shade: float = 0.5) -> np.ndarray:
    """A frame in two colours, `[64, 96, 3]` uint8."""
    y, x = np.mgrid[:64, :96]
    wave = 0.5 + 0.35 * np.sin((x + 3 * frame) / 9) * np.cos((y + frame) / 11)
    tint = np.where((x < 48)[..., None], (1.2, shade, 0.6), (0.6, shade, 1.2))
    return (np.clip(wave[..., None] * tint, 0, 1) * 255).astype(np.uint8)


def reference(frame: int | None, **about) -> Reference:
    rgb = torch.from_numpy(picture(frame or 0).transpose(2, 0, 1) / np.float32(255))
    return Reference(f"{frame}.png", rgb, frame, **about)


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """Three shots of 40 frames, and a folder with a reference that shows frame 50."""
    (tmp_path / "colours").mkdir()
    Image.fromarray(picture(50)).save(tmp_path / "colours/50.png")
    return write_film(tmp_path / "film.mkv", (40, 40, 40), sound=False)


def planes(path: Path, start: int = 0, end: int | None = None) -> list[np.ndarray]:
    with VideoReader(path, start, end) as reader:
        return [np.concatenate([plane.ravel() for plane in frame.planes]) for frame in reader]


# Which frames --------------------------------------------------------------------------------------------------------


def test_colour_is_carried_within_a_shot_and_no_farther_than_asked_for():
    one, two = spans_of([reference(30), reference(100)], [(0, 90), (90, 200)], 48)
    assert one == (30, 0, 79, (0, 90)) and two == (100, 90, 149, (90, 200))
    assert one.chain(1) == [40, 48, 56, 64, 72] and one.chain(-1) == [24, 16, 8, 0]
    assert two.chain(-1) == [] and two.chain(1)[0] == 112 and two.chain(1)[-1] == 144


def test_a_frame_belongs_to_the_nearest_reference():
    one, two = spans_of([reference(10), reference(41)], [(0, 100)], 48)
    assert (one.first, one.stop) == (0, 26) and (two.first, two.stop) == (26, 90)
    assert spans_of([reference(10), reference(500)], [(0, 100)], 48) == [(10, 0, 59, (0, 100))]  # no such frame


def test_colour_stays_where_its_reference_acts():
    narrow, wide = reference(10, scope=(4, 20)), reference(60)
    one, two = spans_of([narrow, wide], [(0, 100)], 48)
    assert one == (10, 4, 20, (4, 20)) and two == (60, 35, 100, (0, 100))
    assert spans_of([replace(narrow, scope=(70, 80))], [(0, 100)], 48) == []
    assert spans_of([narrow, replace(narrow, scope=(15, 24))], [(0, 100)], 48) == [(10, 4, 24, (4, 24))]


# Of many the nearest --------------------------------------------------------------------------------------------------


def test_of_an_origin_the_nearest_pictures_act():
    colorizer = Colorizer(HOW)
    about = {"origin": "carried", "nearest": 1, "weight": 0.01}
    given = [reference(0), *(reference(frame, **about) for frame in (8, 24, 40))]
    memory, kept = colorizer.encode_references(given), torch.zeros(16, 1, 64, 96)
    chosen = [memory.chosen((0, 1, 2, 3), kept, colorizer.engine.describe, first) for first in (0, 16, 32, 200)]
    assert chosen == [(0, 1), (0, 2), (0, 3), (0, 3)]
    assert memory.chosen((0,), kept, colorizer.engine.describe, 0) == (0,)


def test_what_is_far_makes_no_difference():
    colorizer, luma = Colorizer(HOW), torch.rand(4, 1, 64, 96, generator=torch.Generator().manual_seed(1))
    near, far = (reference(frame, origin="carried", nearest=1) for frame in (2, 90))
    both, alone = (colorizer.encode_references(given) for given in ([near, far], [near]))
    found = [colorizer.colorize(luma, memory) for memory in (both, alone)]
    assert torch.equal(found[0].chroma, found[1].chroma) and not found[0].shares[:, 1].any()


def test_nearest_is_said_in_a_manifest_and_to_hosts_without_files(tmp_path):
    Image.fromarray(picture(8)).save(tmp_path / "8.png")
    toml = tmp_path / NAME
    toml.write_text('[origin.mine]\nnearest = 2\n[[reference]]\npicture = "8.png"\norigin = "mine"\n')
    assert read_manifest(toml).origins == {"mine": Origin(nearest=2)}
    (loaded,) = load_references(tmp_path)
    assert loaded.nearest == 2 and with_rules([loaded], rules_text([loaded]), "rules")[0].nearest == 2
    for wrong in ("0", "-1", "1.5", '"all"', "true"):
        toml.write_text(f"[origin.mine]\nnearest = {wrong}\n")
        with pytest.raises(InputError, match=r"origin 'mine': nearest must be a number of pictures \(1, 2 \.\.\.\)"):
            read_manifest(toml)


def test_a_picture_of_no_frame_is_near_to_none():
    with pytest.raises(InputError, match=r"'None\.png' acts where it is among the 1 nearest .* give its frame"):
        rules_of([reference(None, origin="mine", nearest=1)])


# Carrying ------------------------------------------------------------------------------------------------------------


def test_pictures_are_written_with_what_makes_them_act_last(film):
    folder = film.parent / "carried"
    told: list[tuple[int, int]] = []
    given = load_references(film.parent / "colours")
    paths = carry_references(film, given, folder, restore=None, colorize=HOW, progress=lambda *now: told.append(now))
    assert [path.name for path in paths] == ["0000040.png", "0000056.png", "0000072.png"]
    held = read_manifest(folder / NAME)
    assert held.origins == {"carried": Origin(weight=CARRY_WEIGHT, nearest=1)}
    assert all(entry.scope == (40, 80) for entry in held.entries)
    assert (folder / "sheet/contact-sheet.png").is_file() and told == [(n, 4) for n in range(1, 5)]
    for one in load_references(folder):
        assert one.weight == CARRY_WEIGHT and one.rgb.shape == (3, 64, 96) and not one.is_gray


@pytest.mark.parametrize("cut", [False, True])
def test_a_clip_in_memory_is_carried_as_a_film_is(cut):
    colorizer = Colorizer(HOW)
    luma = torch.stack([torch.from_numpy(picture(n)[..., 1:2].transpose(2, 0, 1) / np.float32(255)) for n in range(40)])
    made = carry_in_clip(colorizer, luma, [reference(9)], [20] if cut else [])
    assert [one.frame for one in made] == ([9] if cut else [9, 24])
    assert all(one.scope == (0, 40) for one in made[1:])


def test_only_what_the_references_do_not_show_is_carried():
    """Half of each frame stays as it is, the other half becomes another picture."""
    noise = torch.rand(41, 1, 8, 12, generator=torch.Generator().manual_seed(3))
    moving = torch.nn.functional.interpolate(noise, (64, 96), mode="bicubic").clamp(0, 1)
    steps = torch.linspace(0, 1, 41)[:, None, None, None]
    luma = torch.lerp(moving[:1], moving[1:2], steps).contiguous()
    luma[..., :48] = luma[:1, ..., :48]
    rgb = (luma[0] * torch.tensor([1.2, 0.8, 0.6])[:, None, None]).clamp(0, 1)
    colorizer = Colorizer(HOW)
    last = carry_in_clip(colorizer, luma, [Reference("0.png", rgb, 0)])[-1]
    assert last.frame == 40 and last.known is not None and last.in_film
    still, other = last.known[:, :32].mean(), last.known[:, 64:].mean()
    assert still < 0.1 and other > still + 0.2, (still, other)
    assert (last.rgb.mean(0) - luma[40, 0]).abs().mean() < 0.2, "its luma is there everywhere"


def test_specks_are_not_carried():
    opacity = torch.zeros(6, 9)
    opacity[::2, ::2] = 1
    assert not _holds_some(opacity)
    opacity[:2, :2] = 1
    assert _holds_some(opacity) and not _holds_some(torch.zeros(2, 2))


def test_an_engine_that_tells_no_places_carries_whole_pictures(film, monkeypatch):
    colorizer = Colorizer(HOW)
    monkeypatch.setattr(type(colorizer.engine), "tells_places", False)
    folder = film.parent / "whole"
    given = load_references(film.parent / "colours")
    paths = carry_references(film, given, folder, restore=None, colorize=colorizer)
    assert {Image.open(path).mode for path in paths} == {"RGB"}
    assert read_manifest(folder / NAME).origins["carried"].weight == CARRY_WHOLE_WEIGHT


def test_colours_that_are_made_richer_afterwards_are_carried_as_they_are():
    luma = torch.rand(24, 1, 64, 96, generator=torch.Generator().manual_seed(2))
    plain, rich = (
        carry_in_clip(Colorizer(replace(HOW, saturation=saturation)), luma, [reference(4)])[-1]
        for saturation in (1.0, 1.6)
    )
    assert torch.equal(plain.rgb, rich.rgb)


def test_what_cannot_be_carried_is_one_line(film, tmp_path):
    given = load_references(film.parent / "colours")
    for none in (reference(None), reference(50, weight=0.0), reference(50, origin="carried", nearest=1)):
        with pytest.raises(InputError, match="no reference is known to show a frame of the film"):
            carry_references(film, [none], tmp_path / "a", restore=None, colorize=HOW)
    with pytest.raises(InputError, match="weight 0 would never be used"):
        carry_references(film, given, tmp_path / "a", weight=0, restore=None, colorize=HOW)
    with pytest.raises(InputError, match="shows frame 500, and there are 120"):
        carry_references(film, [reference(500)], tmp_path / "a", restore=None, colorize=HOW)
    with pytest.raises(InputError, match="reach must be 12 to 1000 frames, got 5"):
        carry_references(film, given, tmp_path / "a", reach=5, restore=None, colorize=HOW)
    with pytest.raises(InputError, match="holds references already"):
        carry_references(film, given, film.parent / "colours", restore=None, colorize=HOW)
    assert not (tmp_path / "a").exists()


def test_what_was_carried_is_used_again_while_nothing_changed(film, tmp_path, caplog):
    caplog.set_level("INFO")
    given = load_references(film.parent / "colours", lines=64)

    def made(references: list[Reference], reach: int = 48) -> list[Reference]:
        return carried_references(
            film, references, restore=None, colorize=HOW, lines=64, keep=tmp_path / "kept", reach=reach
        )

    first = made(given)
    assert [one.frame for one in first] == [40, 50, 56, 72] and "are used again" not in caplog.text
    again = made(given)
    assert "carried-0 are used again" in caplog.text
    assert all(torch.equal(a.rgb, b.rgb) for a, b in zip(first, again, strict=True))
    made(given, reach=20)
    made([reference(50, weight=2.0)])
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == ["carried-0", "carried-1", "carried-2"]


def test_what_was_kept_and_is_damaged_is_made_again(film, tmp_path, caplog):
    def made() -> list[Reference]:
        return carried_references(
            film, load_references(film.parent / "colours"), restore=None, colorize=HOW, keep=tmp_path
        )

    first = made()
    (tmp_path / "carried-0/0000056.png").write_bytes(b"")
    again = made()
    assert "pictures in" in caplog.text and "are made again beside it" in caplog.text
    assert all(torch.equal(a.rgb, b.rgb) for a, b in zip(first, again, strict=True))
    assert (tmp_path / "carried-0").exists(), "somebody may have painted in it"
    assert [one.path and one.path.parent.name for one in made() if one.frame != 50] == ["carried-1"] * 3


def test_colour_is_carried_where_it_will_be_seen_only(film, tmp_path, monkeypatch):
    monkeypatch.setattr(carrying, "_SURE", -1.0)  # all that the references do not show much alike
    given = [reference(10), reference(50), reference(100)]

    def frames(start: int, end: int | None) -> list[int]:
        folder = tmp_path / f"{start}-{end}"
        made = carry_references(film, given, folder, restore=None, colorize=HOW, start=start, end=end)
        return [int(path.stem) for path in made]

    everywhere = frames(0, None)
    assert {frame // 40 for frame in everywhere} == {0, 1, 2}
    assert frames(59, 75) == [frame for frame in everywhere if 40 <= frame < 80], "a shot has all of its colour"
    assert frames(79, 81) == [frame for frame in everywhere if frame >= 40]
    assert frames(0, 40) == [frame for frame in everywhere if frame < 40]


# The command line ----------------------------------------------------------------------------------------------------


def test_run_carries_as_the_command_does(film, tmp_path, capsys):
    colours, carried = str(film.parent / "colours"), str(tmp_path / "carried")
    by = ["--codec", "ffv1", "--no-restore", "--precision", "fp32", *FAST]
    assert cli.main(["references", "carry", str(film), "--references", colours, "-o", carried, "--no-restore",
                     "--precision", "fp32", *FAST]) == 0, capsys.readouterr().err  # fmt: skip
    assert "colour carried to 3 frames" in capsys.readouterr().out
    outputs = [tmp_path / f"{name}.mkv" for name in "abc"]
    whole = ["run", str(film), "-o", str(outputs[0]), "--references", colours, carried, *by]
    assert cli.main(whole) == 0, capsys.readouterr().err
    frames = planes(outputs[0])
    assert len(frames) == 120
    at_once = ["--references", colours, "--carry", *by]
    job = ["run", str(film), "-o", str(outputs[1]), *at_once, "--job", str(tmp_path / "b.job")]
    assert cli.main(job) == 0, capsys.readouterr().err
    assert all(map(np.array_equal, planes(outputs[1]), frames))
    part = ["run", str(film), "-o", str(outputs[2]), *at_once, "--start", "39", "--end", "75"]
    assert cli.main(part) == 0, capsys.readouterr().err
    assert all(map(np.array_equal, planes(outputs[2]), frames[39:75]))


def test_there_must_be_something_to_carry(film, capsys):
    run = ["run", str(film), "-o", str(film.parent / "out.mkv"), "--carry"]
    assert cli.main(run) == 2
    told = "--carry carries the colours of references: give --references or --image-model, and leave colour on"
    assert told in capsys.readouterr().err
    for wrong in ("11", "1001", "-5", "12.5", "all", str(film)):
        with pytest.raises(SystemExit):
            cli.main([*run[:-1], f"--carry={wrong}"])
        assert f"argument --carry: must be a number of frames, 12 to 1000, got '{wrong}'" in capsys.readouterr().err


def test_frames_that_references_show_leave_nothing_to_carry(tmp_path, capsys):
    film = write_film(tmp_path / "film.mkv", (9,), sound=False)
    (tmp_path / "colours").mkdir()
    Image.fromarray(picture(4)).save(tmp_path / "colours/4.png")
    colours, carried = str(tmp_path / "colours"), str(tmp_path / "carried")
    by = ["--no-restore", "--precision", "fp32", *FAST]
    assert cli.main(["references", "carry", str(film), "--references", colours, "-o", carried, *by]) == 0
    assert "nothing to carry" in capsys.readouterr().out
    run = ["run", str(film), "-o", str(tmp_path / "out.mkv"), *by, "--references"]
    assert cli.main([*run, colours, carried]) == 0, capsys.readouterr().err
    assert cli.main([*run, carried, "--overwrite"]) == 2 and "no pictures in" in capsys.readouterr().err


def test_lost_frames_are_made_anew_before_colour_is_carried(film, tmp_path):
    from vs_remaster.remaster.options import PrepareOptions

    given, told = load_references(film.parent / "colours"), []
    for number, lost in enumerate(((), (72,))):
        folder = tmp_path / str(number)
        prepare = PrepareOptions(bad_frames=lost)
        carry_references(film, given, folder, restore=None, colorize=HOW, prepare=prepare)
        told.append({path.name: path.read_bytes() for path in folder.glob("*.png")})
    assert told[0].keys() == told[1].keys() and told[0]["0000056.png"] == told[1]["0000056.png"]
    assert told[0]["0000072.png"] != told[1]["0000072.png"]


def test_vapoursynth_has_the_same_colours(film, tmp_path):
    vs = pytest.importorskip("vapoursynth")
    import vs_remaster

    carry_references(film, load_references(film.parent / "colours"), tmp_path / "carried", restore=None, colorize=HOW)
    folders = [str(film.parent / "colours"), str(tmp_path / "carried")]
    by = ["--codec", "ffv1", "--no-restore", "--precision", "fp32", *FAST]
    assert cli.main(["run", str(film), "-o", str(tmp_path / "a.mkv"), "--references", *folders, *by]) == 0
    with VideoReader(film) as reader:
        lumas = [frame.planes[0] for frame in reader]
    blank = vs.core.std.BlankClip(width=96, height=64, format=vs.GRAY8, length=120, fpsnum=24)

    def filled(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        out = f.copy()
        np.asarray(out[0])[:] = lumas[n]
        return out

    clip = blank.std.ModifyFrame(blank, filled).std.SetFrameProps(_Matrix=6, _Range=0)
    cuts = [40, 80]
    made = vs_remaster.colorize(
        clip, folders, model="fast", device="cpu", precision="fp32", color_lines=64, scenes=cuts, format=vs.YUV444P8
    )
    theirs = planes(tmp_path / "a.mkv")
    for number in (79, 45, 60):  # in any order
        frame = made.get_frame(number)
        ours = np.concatenate([np.asarray(plane).ravel() for plane in frame])
        assert np.abs(ours.astype(int) - theirs[number]).max() <= 1, number
