"""Lost frames and weave in whole films: the same frames from the command line, a job, a pipe and VapourSynth."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
import torch

from tests.support.command_line import fails, run
from tests.support.films import frames_of
from vs_remaster.errors import InputError
from vs_remaster.film.remastering import context, remaster_film
from vs_remaster.film.request import FilmRequest
from vs_remaster.jobs.planning.survey import survey_film
from vs_remaster.jobs.run import JobOptions, remaster_job
from vs_remaster.output.options import OutputOptions
from vs_remaster.pipe import remaster_pipe
from vs_remaster.remaster.lost_frames import check_within, parse_lost
from vs_remaster.remaster.options import PrepareOptions, RestoreOptions
from vs_remaster.remaster.picture import Picture
from vs_remaster.remaster.pipeline import RemasterPipeline
from vs_remaster.remaster.preparing import margins
from vs_remaster.remaster.restorer import Restorer
from vs_remaster.remaster.scenes import CutDetector, detect_cuts, thumbnail

SIZE = 72, 104
LENGTH, CUT = 96, 70
LOST = (20, 40, 41, 42, 70)
BOTH = PrepareOptions(bad_frames=LOST, steady=1.0)
RESTORE = RestoreOptions(model="fast", device="cpu", precision="fp32")


def still(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    base = cv2.GaussianBlur(rng.normal(0, 1, (120, 150)), (0, 0), 2)
    return np.clip(128 + 50 * base / base.std(), 20, 235).astype(np.float32)


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> Path:
    """Two shots that stand and weave, in 4:2:0 without colours; the lost frames are garbage, in colours."""
    rng = np.random.default_rng(4)
    path = tmp_path_factory.mktemp("film") / "film.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=24)
        stream.height, stream.width, stream.pix_fmt = *SIZE, "yuv420p"
        for n in range(LENGTH):
            across, down = rng.normal(0, 0.6, 2)
            move = np.array([[1, 0, across - 20], [0, 1, down - 20]], np.float32)
            luma = cv2.warpAffine(still(n >= CUT), move, SIZE[::-1], flags=cv2.INTER_CUBIC)
            planes = [luma, np.full((36, 52), 128.0), np.full((36, 52), 128.0)]
            if n in LOST:
                planes = [rng.uniform(0, 255, plane.shape) for plane in planes]
            joined = np.concatenate([plane.clip(0, 255).astype(np.uint8).ravel() for plane in planes])
            picture = av.VideoFrame.from_ndarray(joined.reshape(108, 104), format="yuv420p")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path


def made(film: Path, output: Path, **how: Any) -> list[list[np.ndarray]]:
    """The planes of every frame."""
    how = {"restore": None, "prepare": BOTH, **how}
    remaster_film(source=film, output=output, write=OutputOptions(codec="ffv1", overwrite=True), **how)
    return planes_of(output)


def planes_of(path: Path) -> list[list[np.ndarray]]:
    return [[np.asarray(plane) for plane in frame.planes] for frame in frames_of(path)]


def alike(a: list[list[np.ndarray]], b: list[list[np.ndarray]]) -> bool:
    return len(a) == len(b) and all(
        np.array_equal(one, other) for x, y in zip(a, b) for one, other in zip(x, y, strict=True)
    )


@pytest.fixture(scope="module")
def source(film) -> list[list[np.ndarray]]:
    return planes_of(film)


@pytest.fixture(scope="module")
def whole(film, tmp_path_factory) -> list[list[np.ndarray]]:
    return made(film, tmp_path_factory.mktemp("whole") / "whole.mkv")


def unrest(frames: list[list[np.ndarray]]) -> float:
    luma = np.stack([planes[0] for planes in frames]).astype(float)
    return float(np.abs(luma - luma.mean(0))[:, 10:-10, 10:-10].mean())


def test_lost_frames_are_made_and_all_others_stay(film, source, tmp_path):
    out = made(film, tmp_path / "out.mkv", prepare=PrepareOptions(bad_frames=LOST))
    assert alike([out[n] for n in range(LENGTH) if n not in LOST], [source[n] for n in range(LENGTH) if n not in LOST])
    for n in LOST:
        shown = out[n][0].astype(float), source[19][0].astype(float)
        assert np.abs(shown[0] - shown[1]).mean() < 20 < np.abs(source[n][0] - shown[1]).mean()
        assert all((plane == 128).all() for plane in out[n][1:])


def test_the_weave_is_taken_out_of_each_shot(whole, source):
    assert unrest(whole[43:69]) < 0.5 * unrest(source[43:69])
    assert unrest(whole[71:]) < 0.5 * unrest(source[71:])
    assert np.abs(whole[70][0].astype(float) - whole[71][0]).mean() > 30


@pytest.mark.parametrize(("start", "end"), [(0, 30), (41, 75), (66, None)])
def test_a_part_has_the_frames_of_the_whole(film, whole, tmp_path, start, end):
    assert alike(made(film, tmp_path / "part.mkv", start=start, end=end), whole[start:end])


def test_the_restorer_gets_what_was_prepared(film, whole, tmp_path):
    steadied = tmp_path / "steadied.mkv"
    made(film, steadied)
    after = made(steadied, tmp_path / "after.mkv", restore=RESTORE, prepare=PrepareOptions())
    masks = tmp_path / "masks.mkv"
    once = made(film, tmp_path / "once.mkv", restore=RESTORE, masks=masks)
    error = max(float(np.abs(a[0].astype(float) - b[0]).mean()) for a, b in zip(after, once))
    assert error < 1.0  # the film between them was rounded to 8 bits
    shown = [planes[0] for planes in planes_of(masks)]
    assert all((shown[n] == 255).all() for n in LOST) and all(shown[n].mean() < 100 for n in (10, 60, 90))


def test_what_is_protected_is_the_steadied_film(film, whole, tmp_path):
    keep = tmp_path / "keep.png"
    cv2.imwrite(str(keep), np.full(SIZE, 255, np.uint8))
    assert alike(made(film, tmp_path / "out.mkv", restore=RESTORE, protect=keep), whole)


def test_masks_are_moved_with_the_film_they_were_drawn_on():
    generator = torch.Generator().manual_seed(3)
    base = torch.from_numpy(still(1) / 255)[None]
    pictures = []
    for n in range(30):
        down = int(torch.randint(0, 3, (), generator=generator))
        luma = base[:, 20 + down : 92 + down, 20:124]
        mask = torch.zeros(1, *SIZE)
        mask[:, 40 - down : 44 - down, 30:60] = 1
        pictures.append(Picture(luma, None, n, protect=mask))
    out = list(RemasterPipeline(None, scenes="none", prepare=PrepareOptions(steady=1)).process(pictures))
    for before, after in zip(pictures, out):
        was, now = (float((p.protect[0].sum(1) * torch.arange(72)).sum() / p.protect.sum()) for p in (before, after))
        assert now == pytest.approx(was - after.weave.down, abs=0.05)
    assert max(abs(picture.weave.down) for picture in out) > 0.5


def test_a_job_makes_the_same_frames_and_remembers(film, whole, tmp_path):
    output, folder = tmp_path / "out.mkv", tmp_path / "job"
    request = FilmRequest(
        source=film, output=output, restore=None, prepare=BOTH,
        write=OutputOptions(codec="ffv1", overwrite=True),
    )  # fmt: skip
    options = JobOptions(folder=folder, chunk_frames=16)
    remaster_job(request, options=options)
    text = (folder / "shots.toml").read_text()
    assert alike(planes_of(output), whole)

    kept = {file.name: file.stat().st_mtime_ns for file in (folder / "chunks").glob("*.json")}
    shot = "number = 2\n"
    (folder / "shots.toml").write_text(text.replace(shot, shot + "bad_frames = [80]\n"))
    remaster_job(request, options=options)
    more = planes_of(output)
    assert alike(more[:71], whole[:71])
    assert alike(more, made(film, tmp_path / "more.mkv", prepare=replace(BOTH, bad_frames=(*LOST, 80))))
    again = {file.name: file.stat().st_mtime_ns for file in (folder / "chunks").glob("*.json")}
    changed = {name for name in kept if kept[name] != again[name]}
    assert changed == {name for name in kept if name >= "000071"} < kept.keys()

    (folder / "shots.toml").write_text(text.replace(shot, shot + "bad_frames = [70]\n"))
    with pytest.raises(InputError, match="shot 2: bad frame 70 is not in it: it has frames 71 to 95"):
        remaster_job(request, options=options)
    (folder / "shots.toml").write_text(text.replace(shot, shot + "steady = 0\n"))
    remaster_job(request, options=options)
    unmoved = planes_of(output)
    assert alike(unmoved[:71], whole[:71])
    assert alike(unmoved[71:], planes_of(film)[71:])
    with pytest.raises(InputError, match=r"begun otherwise.*steady"):
        remaster_job(replace(request, prepare=replace(request.prepare, steady=0.5)), options=options)


def test_a_shot_may_be_steadied_where_the_film_is_not(film, whole, tmp_path):
    output, folder = tmp_path / "out.mkv", tmp_path / "job"
    request = FilmRequest(
        source=film, output=output, restore=replace(RESTORE, strength=0), prepare=PrepareOptions(bad_frames=LOST),
        write=OutputOptions(codec="ffv1", overwrite=True),
    )  # fmt: skip
    options = JobOptions(folder=folder, chunk_frames=32, plan=True)
    remaster_job(request, options=options)
    text = (folder / "shots.toml").read_text()
    (folder / "shots.toml").write_text(text.replace("number = 1\n", "number = 1\nsteady = 1\n"))
    remaster_job(request, options=replace(options, plan=False))
    assert alike(planes_of(output)[:70], whole[:70])


def test_cropped_edges(film, whole, tmp_path):
    cut = margins(PrepareOptions(steady=1, steady_edges="crop"), *SIZE)
    assert cut == 4
    crop = replace(BOTH, steady_edges="crop")
    out = made(film, tmp_path / "out.mkv", prepare=crop)
    assert [plane.shape for plane in out[0]] == [(64, 96), (32, 48), (32, 48)]
    assert all(np.array_equal(a[0], b[0][4:-4, 4:-4]) for a, b in zip(out, whole))
    restored = made(film, tmp_path / "restored.mkv", prepare=crop, restore=RESTORE, end=20, masks=tmp_path / "masks")
    assert restored[0][0].shape == (64, 96)
    assert cv2.imread(str(tmp_path / "masks" / "frame_000003.png")).shape[:2] == (64, 96)
    job = FilmRequest(
        source=film, output=tmp_path / "job.mkv", restore=None, prepare=crop, write=OutputOptions(codec="ffv1")
    )
    remaster_job(job, options=JobOptions(folder=tmp_path / "job", chunk_frames=32))
    assert alike(planes_of(tmp_path / "job.mkv"), out)
    with pytest.raises(InputError, match="too small to crop"):
        margins(crop, 8, 300)


def test_the_command_line_does_the_same(film, whole, tmp_path, capsys):
    output, lost = tmp_path / "out.mkv", tmp_path / "lost.txt"
    lost.write_text("# torn\n20\n40-42, 70\n")
    told = f"run {film} -o {output} --codec ffv1 --no-restore --steady 1 --bad-frames {lost}"
    status, said = run(capsys, *told.split())
    assert status == 0 and alike(planes_of(output), whole)
    assert "make 5 lost frames anew, take the weave out" in said and "no references" not in said
    for wrong, why in (
        ("--bad-frames 95-97", "bad frame 96 is not there: the film has 96 frames, 0 to 95"),
        ("--bad-frames 4-8", "frames 4 to 8 are lost, 5 in a row; at most 4 in a row can be made anew"),
        ("--bad-frames 4,x", "cannot read bad frames file '4,x'"),
        ("--bad-frames 5-", "bad frames: '5-' must be frame numbers such as 120,341-343"),
        ("--bad-frames 8-4", "'8-4' must be FIRST-LAST, the lower number first"),
        ("--steady 2", "steady must be between 0 and 1, got 2"),
        ("--steady-edges crop", "--steady-edges crop is of --steady, which is off: give --steady 1"),
        (f"--steady 1 --steady-edges crop --report {tmp_path}/page", "crop makes one smaller: use fill"),
    ):
        command = f"run {film} -o {tmp_path}/other.mkv --no-color {wrong}"
        assert why in fails(capsys, *command.split())


class _Part(io.BytesIO):
    def readinto(self, room) -> int:
        return super().readinto(room[: 1 << 16])


def test_a_pipe_makes_the_same_frames(source, whole, caplog):
    head = b"YUV4MPEG2 W104 H72 F24:1 C420jpeg\n"
    body = b"".join(b"FRAME\n" + b"".join(plane.tobytes() for plane in planes) for planes in source)
    sink = io.BytesIO()
    remaster_pipe(_Part(head + body), sink, restore=None, prepare=replace(BOTH, bad_frames=(*LOST, 99)))
    wanted = b"".join(b"FRAME\n" + b"".join(plane.tobytes() for plane in planes) for planes in whole)
    assert sink.getvalue().partition(b"\n")[2] == wanted
    assert "bad frame 99 is not there: the film had 96 frames" in caplog.text


def test_vapoursynth_makes_the_same_frames(film, source, whole, tmp_path):
    vs = pytest.importorskip("vapoursynth")
    import vs_remaster

    blank = vs.core.std.BlankClip(None, SIZE[1], SIZE[0], vs.YUV420P8, LENGTH, fpsnum=24, keep=True)

    def show(n, f):
        out = f.copy()
        for number, plane in enumerate(source[n]):
            np.copyto(np.asarray(out[number]), plane)
        out.props["_Matrix"], out.props["_Range"] = 6, 0
        return out

    def check(clip, wanted, numbers):
        for n in numbers:
            with clip.get_frame(n) as frame:
                assert alike([[np.asarray(frame[i]) for i in range(3)]], [wanted[n]]), n
                assert not [prop for prop in frame.props if prop in ("RemasterPrepared", "RemasterWeave")]

    clip = blank.std.ModifyFrame(blank, show)
    order = [95, 0, 70, 41, 71]
    check(vs_remaster.steady(clip, bad_frames=LOST), whole, order)
    crop = made(film, tmp_path / "crop.mkv", prepare=replace(BOTH, steady_edges="crop"))
    check(vs_remaster.steady(clip, edges="crop", bad_frames=list(LOST)), crop, order)
    keep = vs.core.std.BlankClip(None, SIZE[1], SIZE[0], vs.GRAY8, LENGTH, color=255)
    how: Any = {"model": "fast", "device": "cpu", "precision": "fp32", "bad_frames": LOST, "steady": 1}
    check(vs_remaster.restore(clip, protect=keep, **how), whole, [95])
    restored = made(film, tmp_path / "restored.mkv", restore=RESTORE, start=60, end=72)
    out = vs_remaster.restore(clip, **how)
    check(out, [[]] * 60 + restored, [70])
    assert out.get_frame(70).props["RemasterDamage"] == 1
    for wrong, why in (
        ({"bad_frames": [96]}, "steady: bad frame 96 is not there"),
        ({"bad_frames": range(5)}, "steady: frames 0 to 4 are lost, 5 in a row"),
        ({"bad_frames": "12"}, "steady: bad_frames must be a list of frame numbers"),
        ({"strength": -1}, "steady: steady must be between 0 and 1"),
        ({"strength": 0, "edges": "crop"}, "steady: edges crop cuts off what steadying leaves, and strength is 0"),
    ):
        with pytest.raises(vs.Error, match=re.escape(why)):
            vs_remaster.steady(clip, **wrong)


def test_lost_frames_are_no_cuts(source):
    thumbs = [thumbnail(torch.from_numpy(planes[0].astype(np.float32) / 255)[None]) for planes in source]
    detector = CutDetector(0, LOST)
    for thumb in thumbs:
        detector.push(thumb)
    detector.finish()
    assert detector.cuts == [71] and detector.decided == LENGTH
    sound = [thumbs[next(m for m in range(n, -1, -1) if m not in LOST)] for n in range(LENGTH)]
    assert detect_cuts(torch.stack(sound)) == [71]
    leading = CutDetector(0, [0, 1])
    assert not leading.push(thumbs[20]) and leading.decided == 0
    for thumb in thumbs[1:12]:
        leading.push(thumb)
    assert leading.finish() == [] and leading.decided == 12


def test_a_survey_proposes_lost_frames(film):
    survey = survey_film(film, 0, None, [], "auto")
    assert {n for shot in survey.shots for n in shot.lost} <= set(LOST)
    assert 20 in survey.shots[0].lost
    known = survey_film(film, 0, None, [], "auto", lost=LOST)
    assert not any(shot.lost for shot in known.shots)


@pytest.mark.parametrize(
    ("text", "numbers"), [("120,341-343", (120, 341, 342, 343)), (" 7 ", (7,)), ("5-5,1", (1, 5)), ("3,3", (3,))]
)
def test_numbers_of_lost_frames(text, numbers):
    assert parse_lost(text) == numbers


def test_bad_numbers(tmp_path):
    file = tmp_path / "lost.txt"
    file.write_text("1\n\n2-b # torn\n")
    with pytest.raises(InputError, match="line 3: '2-b' must be frame numbers such as 120,341-343"):
        parse_lost(str(file))
    file.write_text("# none\n")
    with pytest.raises(InputError, match="holds no numbers"):
        parse_lost(str(file))
    with pytest.raises(InputError, match="bad frames is empty"):
        parse_lost(" ")
    with pytest.raises(InputError, match="must be FIRST-LAST, the lower number first, of 10000"):
        parse_lost("0-999999999")
    for given in ("12", [True], [-1], [1.5], 7.5):
        with pytest.raises(InputError, match="bad_frames must be a list of frame numbers"):
            PrepareOptions(bad_frames=given)
    assert PrepareOptions(bad_frames=[5, 2, 5]).bad_frames == (2, 5)  # ty: ignore[invalid-argument-type]
    with pytest.raises(InputError, match="steady_edges must be one of fill, crop"):
        PrepareOptions(steady_edges="x")  # ty: ignore[invalid-argument-type]
    check_within([3], None)
    assert not PrepareOptions() and PrepareOptions(steady=0.1) and PrepareOptions(bad_frames=(1,))


def test_frames_that_matter_to_nothing_are_not_made(film, tmp_path, monkeypatch):
    seen = []
    clean = Restorer.clean

    def counted(self, frames, halo):
        seen.append(len(frames) - sum(halo))
        return clean(self, frames, halo)

    monkeypatch.setattr(Restorer, "clean", counted)
    made(film, tmp_path / "part.mkv", restore=RESTORE, prepare=PrepareOptions(), scenes="none", start=48, end=56)
    assert sum(seen) == 48  # sharpening looks at 47 to 56, filling for that at 36 to 67: three blocks of 16


def test_the_film_is_read_early_enough():
    windows = RemasterPipeline(None, prepare=BOTH).windows
    before, after = context(windows, 1000, 1100)
    assert before >= 6 + 1 + 40 + 8 + 3 and after >= 6 + 40 + 8 + 2
