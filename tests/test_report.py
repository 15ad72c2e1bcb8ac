"""The report: figures of films whose flicker, damage, colour and shots are known; a page that needs nothing else."""

from __future__ import annotations

import json
import re
import weakref
from dataclasses import replace
from fractions import Fraction
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from tests.support.command_line import fails, run
from vs_remaster.references.reference import Reference, frame_number
from vs_remaster.report import album, facts
from vs_remaster.report.album import Album
from vs_remaster.report.coverage import COVERED, Scenes
from vs_remaster.report.drift import Drift, thumbnail
from vs_remaster.report.facts import Collector, Facts
from vs_remaster.report.make import make_report
from vs_remaster.report.measures import Curve, Flicker, Glance, glance, local_change, tiles
from vs_remaster.report.page import make_page
from vs_remaster.report.plots import Axis, Line, clock, plot
from vs_remaster.video.info import VideoInfo
from vs_remaster.video.planes import Frame

SIZE = (128, 96)
FPS = 10


def scene(seed: int, width: int = SIZE[0], height: int = SIZE[1]) -> np.ndarray:
    """A picture `[h, w]`, 0..1, another one for each seed: of even seeds boxes, of odd ones clouds, which the
    colorizer takes for something else."""
    rng = np.random.default_rng(seed)
    if seed % 2:
        return cv2.resize(rng.random((12, 16)), (width, height), interpolation=cv2.INTER_CUBIC).clip(0, 1)
    picture = np.full((height, width), 0.5)
    for _ in range(14):
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        inside = rng.uniform(0.2, 0.8)
        box = tuple(int(v) for v in (x, y, x + rng.uniform(8, width / 2), y + rng.uniform(8, height / 2)))
        cv2.rectangle(picture, box[:2], box[2:], inside, -1)
    return cv2.GaussianBlur(picture, (0, 0), 1.0)


def info(kind: str = "gray", size: tuple[int, int] = SIZE, **more: object) -> VideoInfo:
    bits = {"gray": 16, "yuv": 16}[kind]
    return VideoInfo(
        path=Path("film.mkv"), width=size[0], height=size[1], fps=Fraction(FPS), time_base=Fraction(1, FPS),
        frames=None, pix_fmt="gray16le", kind=kind, bits=bits, full_range=True, **more,
    )  # fmt: skip


def frame(index: int, luma: np.ndarray, chroma: tuple[float, float] | None = None) -> Frame:
    """16 bits, full range; chroma the same all over."""
    planes = [np.rint(luma.clip(0, 1) * 65535).astype(np.uint16)]
    planes += [np.full(luma.shape, round(32768 + 65535 * c), np.uint16) for c in chroma or ()]
    return Frame(index, index, planes)


def reference(luma: np.ndarray, name: str = "ref_000003.png") -> Reference:
    return Reference(name, torch.from_numpy(np.stack([luma] * 3)).float())


def collected(
    folder: Path, befores: list[Frame], afters: list[Frame], references: tuple[Reference, ...] = (), kind: str = "gray"
) -> Facts:
    collector = Collector(info(), info(kind), Album(folder, info()), references)
    for before, after in zip(befores, afters, strict=True):
        collector.push(before, after)
    return collector.finish(len(befores) / FPS)


# --- what is measured ---


def test_carried_pictures_are_told_apart_from_those_that_were_given(tmp_path):
    light = scene(0)
    given = reference(light)
    carried = [replace(reference(light, f"{n:07}.png"), frame=n, origin="carried", nearest=1) for n in (8, 24)]
    told = collected(tmp_path, [frame(0, light)], [frame(0, light)], (given, *carried))
    assert (len(told.references), told.carried) == (3, 2)
    assert "1 reference, colour carried to 2 frames" in make_page(told)
    assert "carried" not in make_page(replace(told, references=told.references[:1], carried=0))


def jumps(levels: list[np.ndarray]) -> np.ndarray:
    flicker = Flicker()
    found = [jump for level in levels for jump in flicker.push(tiles(level))]
    return np.array(found + flicker.finish())


def test_flicker_of_a_known_strength_is_measured_through_motion_and_fades():
    rng = np.random.default_rng(0)
    flicker = rng.normal(0, 0.02, 400)
    levels = []
    for n, level in enumerate(flicker):
        picture = scene(2) * 0.5 + 0.2 + 0.0005 * n + level
        picture[30:50, n % 100 : n % 100 + 25] = 1  # something bright goes by
        levels.append(picture.astype(np.float32))
    found = jumps(levels)
    assert len(found) == len(levels)
    assert np.sqrt((found**2).mean()) == pytest.approx(0.02, rel=0.08)
    assert np.corrcoef(found, flicker)[0, 1] > 0.9
    steady = jumps([level - f for level, f in zip(levels, flicker)])
    assert np.sqrt((steady**2).mean()) < 0.001


def test_black_borders_do_not_hide_flicker():
    levels = []
    for n in range(40):
        picture = np.zeros((96, 128), np.float32)
        picture[:, 40:80] = 0.5 + 0.03 * (-1) ** n
        levels.append(picture)
    assert np.sqrt((jumps(levels) ** 2).mean()) == pytest.approx(0.03, rel=0.1)


@pytest.mark.parametrize("length", [0, 1, 2, 3, 7, 9, 10])
def test_every_frame_of_a_short_shot_has_a_value(length):
    assert len(jumps([np.full((96, 128), 0.1 * (n % 3), np.float32) for n in range(length)])) == length


def test_the_share_of_repaired_pixels_is_that_of_the_specks():
    rng = np.random.default_rng(2)
    after = scene(4, 320, 240).astype(np.float32)
    specks = np.zeros((240, 320), bool)
    for _ in range(40):
        y, x = rng.integers(5, 230), rng.integers(5, 310)
        specks[y : y + 4, x : x + 6] = True
    tone = 0.05 + np.linspace(0, 0.1, 320, dtype=np.float32)  # fading, darker on one side
    before = (np.where(specks, after + 0.25, after) - tone + rng.normal(0, 0.02, after.shape)).astype(np.float32)
    assert local_change(before, after) == pytest.approx(specks.mean(), rel=0.06)
    clean = (after - tone + rng.normal(0, 0.02, after.shape)).astype(np.float32)
    assert local_change(clean, after) < 0.001


def test_large_frames_are_measured_small_and_colours_keep_their_values():
    big = info("yuv", (1920, 1440), siting="center")
    seen = glance(frame(0, scene(1, 1920, 1440), (0.1, -0.05)), big)
    assert seen.luma.shape == (480, 640)
    assert seen.luma.mean() == pytest.approx(scene(1, 1920, 1440).mean(), abs=1e-3)
    assert seen.chroma.mean((1, 2)) == pytest.approx([0.1, -0.05], abs=1e-3)
    gray = glance(frame(0, scene(1), (0.0, 0.0)), info("yuv"))
    assert gray.chroma is None


def wander(frames: int, speed: float, change, noise: float = 0.0) -> float:
    """The drift of a view that moves over a colourful picture by `speed` pixels a frame; `change` makes the chroma of
    frame n from the true one."""
    rng = np.random.default_rng(5)
    wide = 160 + round(speed * frames)
    luma = cv2.GaussianBlur(cv2.resize(rng.random((24, wide // 5)), (wide, 120)), (0, 0), 1.0)
    # one half of the picture is of other colours than the other, so a pan moves the mean
    colors = np.stack([cv2.resize(rng.normal(0, 0.1, (4, wide // 30)), (wide, 120)) for _ in range(2)])
    colors[0] += np.linspace(-0.15, 0.15, wide)
    drift, means = Drift(), []
    for n in range(frames):
        place = (round(speed * n), 0, 160, 120)
        view = [p[:, place[0] : place[0] + 160] for p in (luma, *colors)]
        chroma = change(n, np.stack(view[1:])) + rng.normal(0, noise, (2, 120, 160))
        means.append(chroma.mean((1, 2)))
        drift.push(thumbnail(Glance(view[0].astype(np.float32), chroma.astype(np.float32))))
    spread = np.sqrt(((means - np.mean(means, 0)) ** 2).sum(1).mean())
    assert speed == 0 or spread > 0.04  # what the mean of the frames would say
    return drift.distance


def turned(chroma: np.ndarray, angle: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    return np.stack([c * chroma[0] - s * chroma[1], s * chroma[0] + c * chroma[1]])


def test_colours_that_wander_are_told_from_a_camera_that_pans():
    still = [wander(60, speed, lambda n, c: c, noise) for speed, noise in ((0, 0.01), (2, 0), (3, 0.01), (7, 0))]
    assert max(still) < 0.004
    ramp = 0.002 * np.arange(60)
    for speed in (0, 3):
        shifted = wander(60, speed, lambda n, c: c + ramp[n] * np.array([1, 0])[:, None, None])
        assert shifted == pytest.approx(ramp.std(), rel=0.1)
        assert wander(60, speed, lambda n, c: turned(c, 0.01 * n)) > 0.012
        assert wander(60, speed, lambda n, c: c * (1 - 0.01 * n)) > 0.012


def test_a_curve_grows_coarser_and_keeps_its_mean():
    curve = Curve(10)
    for n in range(75):
        curve.add(n, float(n))
    assert curve.step == 8
    assert curve.values == [np.mean(range(i, min(i + 8, 75))) for i in range(0, 75, 8)]
    sparse = Curve(10)
    sparse.add(0, 1.0)
    sparse.add(4, 3.0)
    assert sparse.values == [1.0, None, None, None, 3.0]


# --- a whole film ---


@pytest.fixture(scope="module")
def film() -> tuple[list[Frame], list[Frame]]:
    """Three shots of 20, 15 and 25 frames, the last like the first; flickering and dusty, and what it became."""
    befores, afters = [], []
    for n in range(60):
        shot = 0 if n < 20 else 1 if n < 35 else 2
        clean = np.roll(scene(11 if shot == 1 else 10), n // 3, 1)
        dusty = clean + (0.03 if shot == 1 else 0.01) * (-1) ** n
        dusty[40:48, 60:72] = 1.0 if shot == 0 else dusty[40:48, 60:72]
        colour = (0.0, 0.0) if shot == 0 else (0.1, -0.1) if shot == 1 else (0.05 + 0.004 * (n - 35), 0.0)
        befores.append(frame(n, dusty))
        afters.append(frame(n, clean, colour))
    return befores, afters


@pytest.fixture(scope="module")
def known(film, tmp_path_factory) -> tuple[Facts, Path]:
    """Its facts, with a reference that shows the first shot, and the folder of pictures."""
    folder = tmp_path_factory.mktemp("report")
    return collected(folder, *film, (reference(np.roll(scene(10), 2, 1)),), "yuv"), folder


def test_shots_have_their_borders_times_and_figures(known):
    told, _ = known
    assert [(s.number, s.first, s.frames, s.start, s.end) for s in told.shots] == [
        (1, 0, 20, 0.0, 2.0), (2, 20, 15, 2.0, 3.5), (3, 35, 25, 3.5, 6.0),
    ]  # fmt: skip
    assert told.frames == 60 and told.seconds == 6.0
    assert [s.flicker_before for s in told.shots] == pytest.approx([0.01, 0.03, 0.01], rel=0.2)
    assert all(s.flicker_after < 0.004 for s in told.shots)
    speck = 8 * 12 / (128 * 96)
    assert told.shots[0].damage == pytest.approx(speck, rel=0.15)
    assert max(s.damage for s in told.shots[1:]) < speck / 20
    assert told.damage == pytest.approx(speck * 20 / 60, rel=0.2)


def test_drift_and_saturation_of_colour(known):
    told, _ = known
    ramp = 0.004 * np.arange(25)
    assert [s.drift for s in told.shots] == pytest.approx([0, 0, ramp.std()], abs=2e-4)
    assert [s.saturation for s in told.shots] == pytest.approx([0, 0.1 * 2**0.5, 0.05 + ramp.mean()], abs=1e-3)
    assert told.curves["saturation"][35:] == pytest.approx(list(0.05 + ramp), abs=1e-3)
    assert told.curve_step == 1 and {len(told.curves[name]) for name in facts.CURVES if name != "coverage"} == {60}


def test_the_shot_that_no_reference_shows_is_named_with_a_frame_of_it(known):
    told, folder = known
    assert [s.coverage > COVERED for s in told.shots] == [True, False, True]
    assert {s.reference for s in told.shots} == {"ref_000003.png"}
    (suggestion,) = told.suggestions
    assert (suggestion.shot, suggestion.shots, suggestion.count) == (2, [2], 1)
    assert 24 <= suggestion.frame < 31  # not at the shot's ends
    assert suggestion.seconds == pytest.approx(1.5)
    assert suggestion.frame == told.shots[1].frame
    (painting,) = (folder / "pictures").glob("*.png")
    assert frame_number(painting.name) == suggestion.frame
    restored = cv2.imread(str(painting), cv2.IMREAD_UNCHANGED)
    clean = np.roll(scene(11), suggestion.frame // 3, 1)
    assert restored.shape == clean.shape
    assert np.abs(restored / 255 - clean).max() < 0.003


def test_without_references_one_frame_serves_all_shots_that_look_alike(film, tmp_path):
    told = collected(tmp_path, *film, kind="yuv")
    assert told.coverage is None and {s.coverage for s in told.shots} == {None}
    assert [(s.shots, s.shot) for s in told.suggestions] == [([1, 3], 1), ([2], 2)]
    assert told.suggestions[0].seconds == pytest.approx(4.5)


def test_pictures_show_the_very_frames_before_and_after(known, film):
    told, folder = known
    frames = {s.frame for s in told.shots} | {s.frame for s in told.stills}
    assert set(told.pictured) == frames
    names = {f"{kind}_{n:06d}.jpg" for n in frames for kind in ("before", "after", "thumb")}
    assert {p.name for p in (folder / "pictures").glob("*.jpg")} == names
    still = told.shots[0].frame
    before = cv2.imread(str(folder / "pictures" / f"before_{still:06d}.jpg"), cv2.IMREAD_UNCHANGED)
    assert np.abs(before / 255 - film[0][still].planes[0] / 65535).mean() < 0.01
    after = cv2.imread(str(folder / "pictures" / f"after_{told.shots[1].frame:06d}.jpg"), cv2.IMREAD_UNCHANGED)
    assert after.ndim == 3 and after[..., 0].mean() > after[..., 2].mean() + 40  # blue


def test_stills_lie_evenly_over_the_film(known):
    told, _ = known
    assert [s.frame for s in told.stills] == list(range(0, 60, 8))
    assert [s.shot for s in told.stills] == [1, 1, 1, 2, 2, 3, 3, 3]


def test_the_share_that_a_restorer_knows_is_taken(film, tmp_path):
    collector = Collector(info(), info("yuv"), Album(tmp_path, info()))
    for before, after in zip(*film):
        collector.push(before, after, damage=0.25)
    assert [s.damage for s in collector.finish(6.0).shots] == [0.25] * 3


def test_few_frames_are_held_however_long_the_shot(tmp_path):
    """A film does not fit into memory."""
    collector = Collector(info(), info(), Album(tmp_path, info()))
    luma = scene(1)
    alive: list[object] = []
    most = 0
    for n in range(60):
        before, after = frame(n, luma), frame(n, luma)
        alive += [weakref.ref(before), weakref.ref(after)]
        collector.push(before, after)
        del before, after
        most = max(most, sum(ref() is not None for ref in alive))
    assert most <= 24


# --- pictures and suggestions have their limits ---


def test_too_many_pictures_become_smaller_and_the_last_are_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(album, "EDGES", (128, 64, 32))
    rng = np.random.default_rng(0)
    numbers = list(range(20))

    def filled(folder: Path, budget: int) -> Album:
        made = Album(folder, info(), budget, paint=20_000)
        for n in numbers:
            noise = frame(n, rng.random((96, 128)))
            made.put(noise, noise, info())
        for n in numbers[:3]:
            made.put_paint(frame(n, rng.random((96, 128))), info())
        return made

    def total(folder: Path, pattern: str) -> int:
        return sum(p.stat().st_size for p in (folder / "pictures").glob(pattern))

    roomy = filled(tmp_path / "roomy", 1 << 20)
    assert roomy.settle(numbers, [0]) == (numbers, [0])
    thumbs = total(tmp_path / "roomy", "thumb*")
    small = filled(tmp_path / "small", thumbs + 200_000)
    assert small.settle(numbers, [])[0] == numbers
    assert max(cv2.imread(str(small.path("after", 3))).shape) == 64
    assert total(tmp_path / "small", "*.jpg") <= thumbs + 200_000
    tiny = filled(tmp_path / "tiny", 100_000)
    kept, painted = tiny.settle(numbers[::-1], [2, 1, 0])
    assert 0 < len(kept) < 20 and kept == numbers[::-1][: len(kept)]
    assert painted == [2]
    assert total(tmp_path / "tiny", "*.jpg") <= 100_000
    assert [p.name for p in (tmp_path / "tiny" / "pictures").glob("*.png")] == ["paint_000002.png"]


def test_of_many_scenes_the_longest_are_kept():
    scenes = Scenes(3)
    looks = torch.eye(5)[:, None]
    dropped = [scenes.add(n + 1, 10 * n, seconds, looks[n]) for n, seconds in enumerate((5.0, 1.0, 3.0, 2.0))]
    assert dropped == [[], [], [], [10]]
    assert scenes.add(5, 99, 4.0, looks[3]) == [99]  # looks like the fourth
    assert [(s.frame, s.seconds, s.shots) for s in scenes.found] == [(0, 5.0, [1]), (20, 3.0, [3]), (30, 6.0, [4, 5])]
    assert scenes.thin(2) == [20]


# --- the page ---


class Page(HTMLParser):
    """Tags, attributes and whether every element is closed."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        if tag not in ("meta", "link", "img", "input", "br", "path", "rect"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in ("path", "rect"):
            return
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def links(self) -> set[str]:
        return {a[name] for _, a in self.tags for name in ("src", "href") if name in a}


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> Path:
    """A report on two small films, with a name that has to be escaped, as the command makes it."""
    folder = tmp_path_factory.mktemp("films")
    for name in ("before", "a <b> & 'c' \"d\""):
        (folder / name).mkdir()
        for n in range(24):
            luma = np.roll(scene(10 if n < 12 else 11), n, 1) + (0.02 * (n % 2) if name == "before" else 0)
            pixels = np.repeat(np.rint(255 * luma.clip(0, 1)).astype(np.uint8)[..., None], 3, 2)
            if name != "before":
                pixels[..., 0] //= 2
            (folder / name / f"f{n:03}.png").write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    (folder / "references").mkdir()
    coloured = np.repeat(np.rint(255 * scene(10)).astype(np.uint8)[..., None], 3, 2) // np.uint8([2, 1, 1])
    (folder / "references" / "r0.png").write_bytes(cv2.imencode(".png", coloured)[1].tobytes())
    return folder


@pytest.fixture(scope="module")
def report(written, tmp_path_factory) -> Path:
    make_report(written / "before", written / "a <b> & 'c' \"d\"", written / "report", [written / "references"])
    return written / "report"


def test_the_page_is_whole_and_loads_nothing_from_elsewhere(report):
    text = (report / "index.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.open == []
    assert not re.search(r"https?:|//[a-z]|@import|url\(", text.replace("<!DOCTYPE html>", ""))
    assert all(not link.startswith(("/", "..")) for link in page.links())
    links = page.links() - {"data:,"}
    assert len(links) > 10
    assert [link for link in links if not (report / link).is_file()] == []
    assert all(a.get("alt") for tag, a in page.tags if tag == "img")
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))
    assert ("input", "range") in {(tag, a.get("type")) for tag, a in page.tags}
    assert "a <b> & 'c' \"d\"" in page.words


def test_every_picture_that_the_script_asks_for_is_there(report):
    page = Page((report / "index.html").read_text(encoding="utf-8"))
    frames = {int(a["data-frame"]) for tag, a in page.tags if tag == "button" and "data-frame" in a}
    assert len(frames) >= 8
    for frame_ in frames:
        assert all((report / "pictures" / f"{kind}_{frame_:06d}.jpg").is_file() for kind in ("before", "after"))


def test_the_facts_are_there_as_json_too_and_the_page_agrees(report):
    told = json.loads((report / "report.json").read_text(encoding="utf-8"))
    assert [(shot["first"], shot["frames"]) for shot in told["shots"]] == [(0, 12), (12, 12)]
    assert told["colored"] and told["references"] == ["r0.png"]
    assert [s["shots"] for s in told["suggestions"]] == [[2]]
    text = (report / "index.html").read_text(encoding="utf-8")
    assert f'pictures/paint_{told["suggestions"][0]["frame"]:06d}.png" download' in text
    flickers = f"{100 * told['shots'][0]['flicker_before']:.2f} → {100 * told['shots'][0]['flicker_after']:.2f} %"
    assert flickers in text.replace("\N{NO-BREAK SPACE}", " ")
    data = json.loads(re.search(r'id="data">(.*?)</script>', text)[1])
    assert [shot[:2] for shot in data["shots"]] == [[0.0, 0.5], [0.5, 0.5]]
    assert "&#x27;" not in json.dumps(data)


def test_a_page_without_pictures_or_references(known):
    told, _ = known
    nothing: list = []
    bare = replace(
        told, references=nothing, suggestions=nothing, pictured=nothing, stills=nothing, shots=nothing, colored=False
    )
    page = Page(make_page(bare))
    assert page.open == []
    assert "Saturation" not in page.words


def test_a_plot_draws_the_values_where_they_are():
    drawn = plot("Flicker", "%", [Line("after", "became", [0.0, None, 5.0, 10.0])], Axis(8, 8.0, 2, [0.5]), mark=2.5)
    path = re.search(r'class="became" d="([^"]*)"', drawn)[1]
    assert path == "M0.0 100.0L125.0 100.0L625.0 50.0L875.0 0.0L1000.0 0.0"
    assert 'class="border" d="M500.0 0' in drawn and 'class="mark" d="M0 75.0' in drawn
    assert "<span>10</span><span>5</span><span>0</span>" in drawn
    assert plot("x", "%", [Line("a", "b", [])], Axis(1, 0.0, 1, []))


@pytest.mark.parametrize(
    ("seconds", "told"), [(0, "0:00"), (59.6, "1:00"), (61, "1:01"), (3600, "1:00:00"), (7325.4, "2:02:05")]
)
def test_times(seconds, told):
    assert clock(seconds) == told


def test_tenths_are_carried():
    assert (clock(59.96, True), clock(3.04, True)) == ("1:00.0", "0:03.0")


# --- the command line ---


def test_the_command_writes_a_report_and_replaces_it_when_told(written, tmp_path, capsys):
    films = written / "before", written / "before"
    out = tmp_path / "report"
    status, told = run(capsys, "report", *films, "-o", out)
    assert status == 0, told
    assert f"report written to {out / 'index.html'}" in told
    assert sorted(p.name for p in out.iterdir()) == ["index.html", "pictures", "report.json"]
    assert "output exists" in fails(capsys, "report", *films, "-o", out)
    (out / "index.html").write_text("old")
    assert run(capsys, "report", *films, "-o", out, "--overwrite", "--quiet") == (0, "")
    assert (out / "index.html").read_text() != "old"
    (out / "mine.txt").touch()
    assert "mine.txt" in fails(capsys, "report", *films, "-o", out, "--overwrite")
    assert (out / "mine.txt").exists()
    (out / "mine.txt").rename(out / "pictures" / "mine.jpg")
    assert "pictures/mine.jpg" in fails(capsys, "report", *films, "-o", out, "--overwrite")
    (tmp_path / "own" / "pictures").mkdir(parents=True)
    assert "other files (pictures)" in fails(capsys, "report", *films, "-o", tmp_path / "own", "--overwrite")


def test_what_cannot_be_reported_on_is_said_in_one_line(written, tmp_path, capsys):
    film_ = written / "before"
    other = tmp_path / "other"
    other.mkdir()
    picture = np.zeros((96, 128, 3), np.uint8)
    for n in range(23):
        (other / f"{n}.png").write_bytes(cv2.imencode(".png", picture)[1].tobytes())
    out = tmp_path / "report"
    assert re.search(r"lengths differ: .*before goes on where .*other ends, after 23 frames", fails(
        capsys, "report", film_, other, "-o", out))  # fmt: skip
    assert re.search(r"before goes on", fails(capsys, "report", other, film_, "-o", out))
    for n in range(23):
        (other / f"{n}.png").write_bytes(cv2.imencode(".png", picture[:80])[1].tobytes())
    assert re.search(r"sizes differ: .*128x96.*128x80", fails(capsys, "report", film_, other, "-o", out))
    assert "no such file" in fails(capsys, "report", tmp_path / "none.mkv", film_, "-o", out)
    assert "no such file" in fails(capsys, "report", film_, tmp_path / "none.mkv", "-o", out)
    assert "does not exist" in fails(capsys, "report", film_, film_, "-o", tmp_path / "no" / "report")
    assert "does not exist" in fails(capsys, "report", film_, film_, "-o", out, "--references", tmp_path / "no")
    assert "is a file" in fails(capsys, "report", film_, film_, "-o", other / "0.png")
    assert [p.name for p in tmp_path.iterdir()] == ["other"]
