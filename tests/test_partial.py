"""References that are transparent in part: what is clear gives no colour, in any host."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from comfy_nodes import images
from tests.support.colored_scenes import BLUE, CPU, GREEN, RED, film, gray, painted
from tests.support.job_films import write_film
from vs_remaster.color.matrices import rgb_to_ycbcr
from vs_remaster.engines import make_engine
from vs_remaster.errors import InputError, UnsupportedError
from vs_remaster.jobs.planning.identity import digest
from vs_remaster.models import build
from vs_remaster.models.attention import Known, nearest
from vs_remaster.models.colorizer import ColorizerConfig, ColorizerNet
from vs_remaster.output.options import OutputOptions
from vs_remaster.references.reference import Reference, load_references
from vs_remaster.remaster.colorizer import Colorizer
from vs_remaster.remaster.options import ColorizeOptions
from vs_remaster.report.coverage import Describer
from vs_remaster.stills.overlays import reference_row


@pytest.fixture(scope="module")
def colorizer() -> Colorizer:
    return Colorizer(ColorizeOptions(model="fast", lines=64, **CPU))


def left(height: int = 64, width: int = 96, share: float = 0.5) -> torch.Tensor:
    """Opaque on the left only, `[H, W]`."""
    mask = torch.zeros(height, width)
    mask[:, : round(share * width)] = 1
    return mask


def two_coats(luma: torch.Tensor) -> torch.Tensor:
    """A scene that is red on the left and green on the right, `[3, H, W]`."""
    red, green = painted(luma, RED).rgb, painted(luma, GREEN).rgb
    return torch.where(left(*luma.shape[1:]) > 0, red, green)


def chroma_of(colorizer: Colorizer, luma: torch.Tensor, *references: Reference) -> torch.Tensor:
    return colorizer.colorize(luma, colorizer.encode_references(references)).chroma


def save(path: Path, rgb: torch.Tensor, alpha: torch.Tensor | None = None) -> Reference:
    codes = (rgb.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    if alpha is not None:
        codes = np.dstack((codes, (alpha.numpy() * 255).round().astype(np.uint8)))
    Image.fromarray(codes).save(path)
    (reference,) = load_references(path)
    return reference


def test_an_opaque_half_colours_only_what_it_shows(colorizer):
    luma = film(3)
    whole = Reference("two coats", two_coats(luma[1]))
    half = whole.showing(left())
    full, part = chroma_of(colorizer, luma[1:2], whole)[0], chroma_of(colorizer, luma[1:2], half)[0]
    green = torch.tensor(GREEN)[:, None, None]
    assert F.cosine_similarity(full[:, :, 60:], green, 0).mean() > 0.8  # the green coat is seen where it is opaque
    assert F.cosine_similarity(part[:, :, 60:], green, 0).max() < 0.3  # and nowhere where it is clear
    assert (full - part)[:, :, :36].abs().mean() < 0.02 < part[:, :, :36].abs().mean()


def test_what_is_clear_does_not_matter(colorizer, tmp_path):
    luma = film(3)
    hidden = [two_coats(luma[1]), torch.where(left() > 0, two_coats(luma[1]), torch.rand(3, 64, 96))]
    first, second = (save(tmp_path / f"{i}.png", rgb, left()) for i, rgb in enumerate(hidden))
    assert torch.equal(first.rgb, second.rgb) and first.digest == second.digest
    assert torch.equal(chroma_of(colorizer, luma, first), chroma_of(colorizer, luma, second))


def test_an_opaque_alpha_is_none_bit_for_bit(colorizer, tmp_path):
    luma = film(3)
    plain = save(tmp_path / "plain.png", two_coats(luma[1]))
    opaque = save(tmp_path / "opaque.png", two_coats(luma[1]), torch.full((64, 96), 0.6))
    assert opaque.known is None and opaque.digest == plain.digest and digest(opaque) == digest(plain)
    assert plain.showing(torch.ones(64, 96)) is plain
    all_known = replace(plain, known=torch.ones(64, 96))
    assert torch.equal(chroma_of(colorizer, luma, plain), chroma_of(colorizer, luma, opaque))
    assert torch.equal(chroma_of(colorizer, luma, plain), chroma_of(colorizer, luma, all_known))


def test_where_it_is_clear_is_part_of_what_a_reference_is():
    rgb = two_coats(gray(1))
    whole = Reference("a", rgb)
    digests = {digest(one) for one in (whole, whole.showing(left()), whole.showing(left(share=0.6)))}
    assert len(digests) == 3
    large = Reference("a", F.interpolate(rgb[None], (256, 384))[0]).showing(left(256, 384))
    assert large.shrunk(64).digest == large.digest and large.shrunk(64).known.shape == (64, 96)


def test_positions_that_are_clear_are_left_out(colorizer):
    luma = film(1)[0]
    ycc = rgb_to_ycbcr(two_coats(luma)[None])
    net = ColorizerNet(ColorizerConfig(half=16)).eval()
    pair = ycc.split([1, 2], 1)
    with torch.inference_mode():
        whole, part = (
            net.encode_all([pair, pair]),
            net.encode_all([pair, pair]).showing([None, Known(left()[None, None], False)]),
        )
    assert part.counts == [96, 48] and part.partial == (1,) and part.areas[1] < part.areas[0]
    assert {tuple(row[:3].tolist()) for row in part.place[96:]} == {
        (384, 2 * y, 2 * x) for y in range(8) for x in range(6)
    }
    for name, width in (("fine_chroma", 24), ("half_chroma", 48)):
        green = torch.tensor(GREEN)
        rows = getattr(part, name)[len(getattr(part, name)) // 2 :].reshape(-1, width, 2)
        assert torch.equal(
            rows[:, : width // 2], getattr(whole, name)[: rows.numel() // 2].view(-1, width, 2)[:, : width // 2]
        )
        assert (rows - green).norm(dim=2).min() > 0.1  # nothing of the green coat is left
    only = part.subset([1], [1.0])
    assert only.partial == (0,) and only.counts == [48] and int(only.place[:, 0].max()) == 0
    assert part.subset([0], [2.0]).partial == ()


def test_a_place_that_is_not_known_is_as_the_nearest_one():
    known = torch.zeros(5, 7, dtype=torch.bool)
    known[2, 2] = known[2, 3] = True
    found = nearest(known).view(5, 7)
    assert found[2, 2] == 16 and found[2, 3] == 17 and set(found.flatten().tolist()) == {16, 17}
    assert found[2, 0] == 16 and found[2, 6] == 17


def photograph() -> torch.Tensor:
    """A real frame's luma, `[1, 1, H, W]`."""
    (reference, *_) = load_references(Path(__file__).parent / "data/references", lines=128)
    return rgb_to_ycbcr(reference.rgb[None])[:, :1]


@pytest.mark.parametrize("known", [True, False])
def test_what_a_picture_does_not_show_gets_none_of_its_colour(known):
    """A red piece in the middle of a photograph, all else clear."""
    luma = photograph()
    height, width = luma.shape[-2:]
    colorizer = Colorizer(ColorizeOptions(model="fast", lines=128, **CPU))
    alpha = torch.zeros(height, width)
    alpha[height // 3 : 2 * height // 3, width // 3 : 2 * width // 3] = 1
    whole = painted(luma[0], RED)
    part = whole.showing(alpha)
    part = part.over(luma[0]) if known else part
    red = [(made := chroma_of(colorizer, luma, one)[0])[1] - made[0] for one in (whole, part)]
    inside, outside = ([one[part].mean() for one in red] for part in (alpha > 0, alpha == 0))
    assert outside[0] > 0.9 * inside[0]
    assert inside[1] > (0.8 if known else 0.5) * inside[0]
    assert outside[1] < (0.5 if known else 0.8) * inside[1]
    if known:
        own = colorizer.encode_references([part, painted(gray(7), BLUE)]).whole
        assert own.partial == (0,) and len(own.clear[0]) > 0
        assert own.likeness(colorizer.describe(luma[0], 128)[None])[0, 0] > 0.99


def test_a_picture_on_its_frame_stays_the_picture():
    luma = photograph()[0]
    whole = painted(luma, RED)
    half = whole.showing(left(*luma.shape[1:]))
    other = half.over(1 - luma)
    assert other.in_film and other.digest == half.digest and whole.over(luma) is whole
    assert torch.equal(other.rgb[:, half.known > 0], half.rgb[:, half.known > 0])
    below = rgb_to_ycbcr(other.rgb)[0, half.known[:] == 0]
    assert torch.allclose(below, (1 - luma)[0][half.known == 0], atol=1e-3)


def test_pictures_without_anything_to_see_are_refused(colorizer, tmp_path):
    rgb = two_coats(gray(1))
    with pytest.raises(InputError, match="is fully transparent, so it shows no colour"):
        save(tmp_path / "clear.png", rgb, torch.zeros(64, 96))
    with pytest.raises(InputError, match="'a' is transparent everywhere"):
        Reference("a", rgb).showing(torch.zeros(64, 96))
    specks = torch.zeros(64, 96)
    specks[::8, ::8] = 1
    with pytest.raises(InputError, match="'a' is transparent almost everywhere: at 64 lines"):
        colorizer.encode_references([Reference("a", rgb).showing(specks)])
    with pytest.raises(InputError, match=r"known must be float32 \[64, 96\]"):
        Reference("a", rgb, known=torch.ones(3, 4))


def test_networks_that_cannot_leave_places_out_say_so(caplog):
    half = painted(gray(1), RED).showing(left())
    colorizer = Colorizer.__new__(Colorizer)
    from vs_remaster.models import info

    colorizer.options, colorizer.model, colorizer.guesser = ColorizeOptions(lines=64, **CPU), "deepremaster", None
    net = build("deepremaster-colorizer")
    colorizer.info, colorizer.engine = info(net), make_engine(net, "torch", "cpu", "fp32")
    with caplog.at_level(logging.WARNING):
        colorizer.encode_references([half])
    assert "deepremaster cannot leave out what is transparent in references (one colour)" in caplog.text


def test_engines_that_cannot_leave_places_out_say_what_to_do():
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    colorizer = Colorizer(ColorizeOptions(model="fast", lines=64, engine="onnxruntime", **CPU))
    with pytest.raises(UnsupportedError, match=r"'onnxruntime' cannot leave out .* one colour: use engine torch"):
        colorizer.encode_references([painted(gray(1), RED).showing(left())])


def test_masks_of_images_are_the_alpha_of_files(tmp_path):
    rgb = (two_coats(gray(1)) * 255).round() / 255
    from_file = save(tmp_path / "a.png", rgb, left())
    _, mask = images.one_size([from_file])
    assert torch.equal(mask, 1 - left()[None])
    whole = torch.stack([rgb.permute(1, 2, 0)] * 2)
    for given in (mask[0], mask, mask[:, ::2, ::2]):
        made = images.references_of(whole, 64, mask=given)
        assert all(torch.equal(one.rgb, from_file.rgb) and torch.equal(one.known, from_file.known) for one in made)
        assert {one.digest for one in made} == {from_file.digest}
    assert images.references_of(whole, 64, mask=torch.zeros(1, 9, 9))[0].known is None
    with pytest.raises(InputError, match="reference_mask has 3 masks and references 2 frames"):
        images.references_of(whole, 64, mask=torch.zeros(3, 64, 96))
    with pytest.raises(InputError, match="picture 0' is transparent everywhere"):
        images.references_of(whole, 64, mask=torch.ones(1, 64, 96))


def test_a_clip_s_alpha_counts():
    vs = pytest.importorskip("vapoursynth")
    from vs_remaster.filters.definitions import _reference

    clip = vs.core.std.BlankClip(None, 96, 64, vs.RGB24, length=1, color=[200, 40, 30])
    alpha = vs.core.std.BlankClip(None, 96, 64, vs.GRAY8, length=1)
    alpha = alpha.std.SetFrameProps(_Range=1).std.Crop(left=48).std.AddBorders(left=48, color=255)
    shown = clip.std.ClipToProp(alpha, "_Alpha")
    made = _reference(shown.get_frame(0), 0, None, 64)
    assert made.known is not None and torch.equal(made.known, left())


def test_reports_count_what_a_picture_shows():
    luma = gray(3, 240, 360)
    whole = painted(luma, RED)
    part = whole.showing(left(240, 360, 0.3))
    shown = [Describer([one]) for one in (whole, part)]
    values = [one.coverage(one.describe(luma), 0)[0] for one in shown]
    assert values[0] > 0.99 and values[1] < values[0] - 0.1
    assert reference_row([part], [1.0], 96)[:, 5:-5, 60:90].max() == 0


def test_the_command_line_and_vapoursynth_lay_a_picture_over_its_frame(tmp_path):
    """All hosts that can look at the frame make the same of it."""
    vs = pytest.importorskip("vapoursynth")
    import vs_remaster
    from vs_remaster.film.remastering import remaster_film
    from vs_remaster.video.reader import VideoReader

    luma = film(4, 4)
    codes = (luma[:, 0].numpy() * 255).round().astype(np.uint8)
    (tmp_path / "film").mkdir()
    for i, frame in enumerate(codes):
        Image.fromarray(frame).save(tmp_path / "film" / f"{i}.png")
    reference = save(tmp_path / "2.png", two_coats(luma[2]), left())
    options = ColorizeOptions(model="fast", lines=64, **CPU)
    remaster_film(
        tmp_path / "film", tmp_path / "out", restore=None, colorize=options, references=[reference], scenes="none",
        write=OutputOptions(codec="png", bits=16),
    )  # fmt: skip
    clip = vs.core.std.BlankClip(None, 96, 64, vs.GRAY8, length=4)

    def draw(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        out = f.copy()
        np.copyto(np.asarray(out[0]), codes[n])
        return out

    clip = clip.std.ModifyFrame(clip, draw).std.SetFrameProps(_Range=1)
    made = vs_remaster.colorize(
        clip, tmp_path / "2.png", model="fast", color_lines=64, scenes=None, format=vs.RGB48, **CPU
    )
    colorizer = Colorizer(options)
    loose = chroma_of(colorizer, torch.from_numpy(codes / 255).float()[:, None], reference)
    with VideoReader(tmp_path / "out") as reader:
        for i, frame in enumerate(reader):
            other = np.stack([np.asarray(plane) for plane in made.get_frame(i)])
            assert np.abs(np.stack(frame.planes).astype(int) - other).max() <= 1
            red = rgb_to_ycbcr(torch.from_numpy(other / 65535).float())[2]
            assert (red - loose[i, 1]).abs().mean() > 0.003  # not as without the frame


def test_a_job_makes_the_frames_of_a_short_run(tmp_path):
    """Pictures that are given, and those that a shot names."""
    from vs_remaster.film.remastering import remaster_film
    from vs_remaster.jobs.planning.options import JobOptions
    from vs_remaster.jobs.run import remaster_job
    from vs_remaster.video.reader import VideoReader

    movie, folder = tmp_path / "film.mkv", tmp_path / "job"
    write_film(movie, (16, 16))
    with VideoReader(movie) as reader:
        size = reader.info.height, reader.info.width
    scene = gray(5, *size)
    given = save(tmp_path / "4.png", two_coats(scene), left(*size))
    how = {
        "restore": None,
        "colorize": ColorizeOptions(model="fast", lines=64, **CPU),
        "write": OutputOptions(codec="ffv1"),
    }

    def frames(path: Path) -> list[bytes]:
        with VideoReader(path) as reader:
            return [b"".join(plane.tobytes() for plane in frame.planes) for frame in reader]

    remaster_film(movie, tmp_path / "short.mkv", references=[given], **how)
    options = JobOptions(folder=folder, chunk_frames=16)
    remaster_job(movie, tmp_path / "long.mkv", options=options, references=[given], **how)
    assert frames(tmp_path / "short.mkv") == frames(tmp_path / "long.mkv")
    save(folder / "own-4.png", two_coats(scene), left(*size))
    shots = (folder / "shots.toml").read_text().replace("number = 1\n", 'number = 1\nreferences = ["own-4.png"]\n')
    (folder / "shots.toml").write_text(shots)
    remaster_job(movie, tmp_path / "own.mkv", options=options, references=[given], **how)
    assert frames(tmp_path / "own.mkv") == frames(tmp_path / "long.mkv")
