"""Two copies of a film laid beside each other: on made-up frames, and out of films on disk into references."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from vs_remaster.cli.entry import main
from vs_remaster.errors import InputError
from vs_remaster.references.manifest import NAME, read_manifest
from vs_remaster.references.reference import load_references
from vs_remaster.remaster.colorizer import Colorizer
from vs_remaster.remaster.options import ColorizeOptions
from vs_remaster.stills import copies as aligning
from vs_remaster.stills.alignment import Alignment, AlignmentSettings, align
from vs_remaster.stills.copies import align_references
from vs_remaster.stills.fingerprints import Fingerprints, Geometry, picture_area

SIZE = (160, 120)
SHOTS = (60, 45, 80, 37, 52, 90)
MISSING = 2  # a shot that the other copy lacks
LOGO = 20  # frames in front of the other copy
CPU = ["--device", "cpu", "--precision", "fp32", "--quiet"]


def texture(seed: int, size: int) -> np.ndarray:
    """`[size, size]`, 0..1, with detail of all sizes."""
    generator = np.random.default_rng(seed)
    out = np.zeros((size, size), np.float32)
    for k in (4, 8, 16, 32):
        noise = generator.standard_normal((k, k)).astype(np.float32)
        out += cv2.resize(noise, (size, size), interpolation=cv2.INTER_CUBIC) / k**0.5
    return (out - out.min()) / (out.max() - out.min())


def shot(seed: int, length: int) -> list[np.ndarray]:
    """Luma of a camera that pans while something crosses the picture."""
    ground, thing = texture(seed, 320), texture(seed + 1000, 48)
    angle = np.random.default_rng(seed).uniform(0, 2 * np.pi)
    frames = []
    for t in range(length):
        x, y = 80 + 0.5 * t * np.cos(angle), 100 + 0.5 * t * np.sin(angle)
        frame = cv2.warpAffine(ground, np.float32([[1, 0, -x], [0, 1, -y]]), SIZE)
        moved = np.float32([[1, 0, 10 + 0.9 * t], [0, 1, 40 + 10 * np.sin(t / 9)]])
        over = cv2.warpAffine(thing, moved, SIZE, borderValue=-1)
        frames.append(np.where(over >= 0, over, frame).astype(np.float32))
    return frames


@pytest.fixture(scope="module")
def film() -> list[np.ndarray]:
    return [frame for seed, length in enumerate(SHOTS) for frame in shot(seed, length)]


def noisy(frame: np.ndarray, seed: int, amount: float = 0.03) -> np.ndarray:
    return frame + amount * np.random.default_rng(seed).standard_normal(frame.shape).astype(np.float32)


def degraded(frame: np.ndarray, crop: float = 0.04) -> np.ndarray:
    """Cropped, darker in the middle, of less contrast and of another size."""
    height, width = frame.shape
    y, x = round(crop * height), round(crop * width)
    inner = cv2.resize(frame[y : height - y, x : width - x], (200, 128), interpolation=cv2.INTER_AREA)
    return 0.1 + 0.8 * inner.clip(0, 1) ** 1.6


def prints(frames: Sequence[np.ndarray]) -> Fingerprints:
    out = Fingerprints()
    for frame in frames:
        out.push(frame)
    return out


def retimed(length: int, rate: float) -> tuple[np.ndarray, np.ndarray]:
    """What another copy shows: numbers of the film's frames, -1 for those of the logo; and which frames are in the
    shots that it has."""
    edges = np.cumsum([0, *SHOTS])
    there = np.ones(length, bool)
    there[edges[MISSING] : edges[MISSING + 1]] = False
    kept = np.flatnonzero(there)
    return np.concatenate([np.full(LOGO, -1), kept[(np.arange(int(len(kept) * rate)) / rate).astype(int)]]), there


def errors(found: Alignment, shows: np.ndarray) -> np.ndarray:
    """By how many of the film's frames the counterparts are wrong; far off where there is none."""
    return np.where(found.frames >= 0, np.abs(shows[found.frames] - np.arange(len(found.frames))), 9999)


@pytest.mark.parametrize("rate", [1.0, 25 / 24, 30 / 24, 24 / 25, 60 / 24, 60 / 16])
def test_another_copy_is_found_frame_by_frame(film, rate):
    """The same speed; 24 to 25 frames by repeating one a second; 3:2 pulldown; frames left out; each many times."""
    shows, there = retimed(len(film), rate)
    logo = [texture(500, 160)[:128]] * LOGO
    others = logo + [degraded(film[n]) for n in shows[LOGO:]]
    found = align(
        prints([noisy(frame, k) for k, frame in enumerate(film)]),
        prints([noisy(frame, k + 10_000, 0.02) for k, frame in enumerate(others)]),
    )
    shown = np.isin(np.arange(len(film)), shows)
    assert (errors(found, shows)[shown] <= 0.5).mean() >= 0.98
    assert (errors(found, shows)[there] <= 1).mean() >= 0.98
    assert (found.frames[~there] < 0).all()
    assert found.missing() == [(105, 185)] and found.found == 284
    assert found.rate == pytest.approx(rate, rel=0.01)
    # the middle 92 % of the film's picture fill the other's
    assert found.geometry.across == pytest.approx(1 / 0.92, abs=0.02)
    assert found.geometry.down == pytest.approx(1 / 0.92, abs=0.02)
    assert np.median(found.likeness[there]) > 0.9 and not found.likeness[~there].any()


def test_noise_does_not_draw_the_geometry_off(film):
    found = align(*(prints([noisy(f, 7 * k + 1000 * n, 0.25) for k, f in enumerate(film[:150])]) for n in (1, 2)))
    assert (errors(found, np.arange(150)) <= 1).mean() > 0.95
    for value in (found.geometry.across, found.geometry.down):
        assert value == pytest.approx(1, abs=0.02)


def test_a_pause_where_a_shot_lacks_its_beginning_is_no_match():
    """A still camera: the frames that the other copy lacks look much like those that it has."""
    frames = shot(3, 60) + [noisy(0.5 * texture(9, 160)[:120] + 0.2, k, 0.01) for k in range(80)]
    found = align(prints(frames), prints(frames[:60] + frames[85:]))
    assert (found.frames[66:80] < 0).all()
    assert (errors(found, np.r_[:60, 85:140])[np.r_[:55, 92:140]] <= 1).all()


def test_films_with_nothing_in_common_are_not_matched(film):
    other = [frame for seed in (40, 41) for frame in shot(seed, 50)]
    assert align(prints(film[:120]), prints(other)).found == 0


def test_coarse_steps_lead_to_the_same_frames(film):
    """Films of more frames than the first search looks at."""
    shows, there = retimed(len(film), 25 / 24)
    ours, theirs = prints(film), prints([degraded(film[n]) if n >= 0 else texture(500, 160)[:128] for n in shows])
    found = align(ours, theirs, AlignmentSettings(anchors=64))
    assert (errors(found, shows)[there] <= 1).mean() > 0.97 and (found.frames[~there] < 0).all()


def test_still_and_empty_films():
    black = prints([np.zeros((40, 60), np.float32)] * 9)
    assert align(black, black).found == 0
    with pytest.raises(InputError, match="the other 0"):
        align(black, Fingerprints())
    assert len(black.thumbs([0, 3])) == 2
    assert Geometry() == Geometry(1, 1, 0, 0)


# On disk --------------------------------------------------------------------------------------------------------------


def write(path: Path, frames: Sequence[np.ndarray], rate: int, *, tint: bool, bars: int = 0) -> Path:
    """A film of lumas 0..1; with a tint whose hue follows from the place in the picture."""
    height, width = frames[0].shape
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": "12"})
        stream.width, stream.height, stream.pix_fmt = width + 2 * bars, height, "yuv420p"
        for luma in frames:
            ycc = np.full((height, width + 2 * bars, 3), 0.5, np.float32)
            ycc[..., 0] = 0
            ycc[:, bars : bars + width, 0] = 0.1 + 0.8 * luma.clip(0, 1)
            if tint:
                ycc[:, bars : bars + width, 1] += np.linspace(-0.2, 0.2, width)
                ycc[:, bars : bars + width, 2] += np.linspace(0.2, -0.2, height)[:, None]
            rgb = cv2.cvtColor(ycc, cv2.COLOR_YCrCb2RGB).clip(0, 1)
            picture = av.VideoFrame.from_ndarray((rgb * 255).round().astype(np.uint8), "rgb24")
            container.mux(stream.encode(picture.reformat(format="yuv420p")))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def films(film, tmp_path_factory) -> tuple[Path, Path, np.ndarray]:
    """The first four shots as a gray film, a coloured copy at 25 frames without the third of them and with black bars,
    and what that shows."""
    folder = tmp_path_factory.mktemp("films")
    frames = film[: sum(SHOTS[:4])]
    edge = sum(SHOTS[:MISSING])
    kept = np.r_[:edge, edge + SHOTS[MISSING] : len(frames)]
    shows = kept[np.arange(len(kept) * 25 // 24) * 24 // 25]
    source = write(folder / "gray.mp4", frames, 24, tint=False)
    return source, write(folder / "other.mp4", [degraded(frames[n]) for n in shows], 25, tint=True, bars=32), shows


@pytest.fixture(scope="module")
def colorizer() -> Colorizer:
    return Colorizer(ColorizeOptions(device="cpu", precision="fp32"))


def test_black_bars_are_found(films):
    source, coloured, _ = films
    area = picture_area(coloured)
    assert 32 <= area.left <= 38 and 226 <= area.right <= 232 and (area.top, area.bottom) == (0, 128)
    assert picture_area(source).slices == (slice(0, 120), slice(0, 160))


def test_references_out_of_a_coloured_copy(films, tmp_path, capsys):
    source, coloured, shows = films
    folder = tmp_path / "refs"
    arguments = ["references", "align", source, coloured, "-o", folder, "--weight", "0.5", *CPU[:-1]]
    assert main([str(a) for a in arguments]) == 0
    said = capsys.readouterr().out
    assert "142 of 222 frames found in other.mp4" in said and "80 frames have no counterpart: 105 to 184" in said
    record = json.loads((folder / aligning.RECORD).read_text())
    assert record["missing"] == [[105, 185]] and len(record["frames"]) == 222
    held = read_manifest(folder / NAME)
    assert held.origins["film:other.mp4"].weight == 0.5
    assert {entry.shot for entry in held.entries} == {(0, 60), (60, 105), (185, 222)}
    assert {entry.scope for entry in held.entries} == {"shot", "film"}  # one stands in for the shot that has none
    for one in load_references(folder):
        assert one.weight == 0.5 and one.origin == "film:other.mp4"
        # without bars, of the film's aspect, and coloured
        assert one.rgb.shape[2] / one.rgb.shape[1] == pytest.approx(SIZE[0] / SIZE[1], rel=0.05)
        assert one.rgb.mean((1, 2)).min() > 0.1 and (one.rgb.amax(0) - one.rgb.amin(0)).mean() > 0.1
        assert abs(shows[record["frames"][one.frame]] - one.frame) <= 1
    assert (folder / "sheet" / "contact-sheet.png").is_file()


def test_amounts(films, colorizer, tmp_path):
    source, coloured, _ = films
    two = align_references(source, coloured, tmp_path / "two", count=2, colorize=colorizer)
    assert len(two.frames) == 2 and (two.shots, two.lonely) == (4, 2)
    assert {entry.scope for entry in read_manifest(tmp_path / "two" / NAME).entries} & {"film"}
    every = align_references(source, coloured, tmp_path / "every", every=1.0, colorize=colorizer).frames
    assert every[:4] == [12, 36, 60, 84] and len(every) == 8 and all(n < 105 or n >= 185 for n in every)


def test_a_coloured_copy_in_place_of_references(films, tmp_path, capsys):
    """What was aligned is kept with the job, and used again."""
    source, coloured, _ = films
    job = tmp_path / "job"
    run = ["run", source, "-o", tmp_path / "new.mkv", "--references", coloured, "--no-restore", "--color-lines", "64"]
    run += ["--job", job, "--plan", *CPU[:-1]]
    assert main([str(a) for a in run]) == 0
    said = capsys.readouterr().out
    assert "142 of 222 frames found in other.mp4" in said
    assert main([str(a) for a in run]) == 0
    said = capsys.readouterr().out
    assert "are used again" in said and "found in" not in said
    (folder,) = (job / "aligned").iterdir()
    assert (folder / NAME).is_file()


def test_what_cannot_be_aligned_is_said(films, colorizer, tmp_path, capsys):
    source, coloured, _ = films

    def fails(*arguments: object) -> str:
        assert main([str(a) for a in arguments]) == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        return line

    align_it = ("references", "align", source)
    assert "is the film itself" in fails(*align_it, source, "-o", tmp_path / "a", *CPU)
    assert "--every must be above 0" in fails(*align_it, coloured, "-o", tmp_path / "a", "--every", "0", *CPU)
    one = write(tmp_path / "one.mp4", shot(0, 40), 24, tint=False)
    other = write(tmp_path / "other.mp4", shot(77, 30), 24, tint=True)
    with pytest.raises(InputError, match="has none of the film's 40 frames"):
        align_references(one, other, tmp_path / "a", colorize=colorizer)
    gray = write(tmp_path / "gray.mp4", [degraded(f) for f in shot(0, 40)], 24, tint=False)
    with pytest.raises(InputError, match="gray where it shows the film"):
        align_references(one, gray, tmp_path / "a", colorize=colorizer)
    assert not (tmp_path / "a").exists()
    with pytest.raises(InputError, match="references align"):
        load_references(coloured)
