"""Which reference coloured what: as JSON, as a tinted frame, as a row of references."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from tests.support.colored_scenes import BLUE, CPU, RED, film, gray, painted
from vs_remaster.cli.entry import main
from vs_remaster.errors import InputError
from vs_remaster.film.shots import find_shots, settle_for_film
from vs_remaster.references.reference import Reference
from vs_remaster.references.rules import settle
from vs_remaster.remaster.colorizer import Colorizer
from vs_remaster.remaster.options import ColorizeOptions
from vs_remaster.stills.overlays import hue, reference_row, tinted


def test_places_have_the_hue_of_their_reference_and_keep_their_light():
    shares = torch.zeros(2, 8, 12)
    shares[0, :, :6], shares[1, :, 6:] = 1, 1
    shares[:, 6:] = 0
    luma = torch.full((1, 64, 96), 0.5)
    made = tinted(luma, shares)
    first, second = made[:, 10, 10], made[:, 10, 85]
    for color, number in ((first, 0), (second, 1)):
        away = color - color.mean()
        wanted = torch.tensor(hue(number)) - sum(hue(number)) / 3
        assert torch.cosine_similarity(away, wanted, 0) > 0.999
    assert torch.allclose(made[:, 60, 40], torch.full((3,), 0.5))  # from none: gray
    assert (tinted(luma + 0.3, shares)[:, 10, 10] > first).all()
    assert min(np.abs(np.subtract(hue(i), hue(j))).max() for i in range(8) for j in range(i)) > 0.1


def test_the_row_shows_references_the_more_solid_the_more_they_gave():
    references = [Reference(str(i), torch.full((3, 30, 40), 0.8)) for i in range(3)]
    row = reference_row(references, [0.1, 0.6, 0.3], 300)
    assert row.shape == (3, 75, 300)
    middles = [float(row[:, 37, 50 + 100 * i].mean()) for i in range(3)]
    assert middles == pytest.approx([0.8 * (0.12 + 0.88 * x) for x in (1 / 6, 1, 0.5)], abs=1e-3)
    assert row[:, 1, 150].tolist() == pytest.approx(hue(1))
    many = reference_row([references[0]] * 40, [i / 40 for i in range(40)], 300)
    assert many.shape == (3, 2 * 38, 300) and float(many[:, 1, 5].sum()) == pytest.approx(sum(hue(28)), abs=1e-5)
    with pytest.raises(InputError, match="got 2 for 3"):
        reference_row(references, [0.1, 0.2], 300)


def test_the_map_of_shares_is_what_the_network_goes_by():
    colorizer = Colorizer(ColorizeOptions(model="fast", lines=64, **CPU))
    luma = film(1)
    references = [painted(luma[0], RED), painted(gray(7), BLUE), painted(gray(8), RED, scope=(5, 9))]
    memory = colorizer.encode_references(settle(references, ()))
    shares = colorizer.share_map(luma[0], memory)
    assert shares.shape == (3, 8, 12) and shares[2].abs().max() == 0
    wanted = colorizer.colorize(luma, memory).shares[0]
    assert torch.allclose(shares.mean((1, 2)), wanted, atol=1e-5)
    assert colorizer.share_map(luma[0], memory, 6)[2].max() > 0


@pytest.fixture(scope="module")
def movie(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve frames in two shots, as pictures, with two references."""
    folder = tmp_path_factory.mktemp("movie")
    (folder / "film").mkdir()
    (folder / "refs").mkdir()
    frames = [(frame[0] * 255).round().byte().numpy() for frame in film(40)[14:26]]
    for n, pixels in enumerate(frames):
        cv2.imwrite(str(folder / "film" / f"{n:03}.png"), pixels)
    for n, tint in ((2, (0.6, 0.8, 1.2)), (9, (1.2, 0.9, 0.6))):
        tinted_frame = (frames[n][..., None] * np.array(tint)).clip(0, 255).round().astype(np.uint8)
        cv2.imwrite(str(folder / "refs" / f"{n}.png"), tinted_frame)
    return folder


def test_shots_of_a_film_on_disk(movie):
    assert find_shots(movie / "film", [0, 5, 6, 11, 40]) == {0: (0, 6), 5: (0, 6), 6: (6, 12), 11: (6, 12)}
    picture = torch.zeros(3, 4, 4)
    references = [Reference("a", picture, 7, scope="shot"), Reference("b", picture, time=0.1, scope="shot")]
    assert [r.scope for r in settle_for_film(references, "auto", movie / "film", 24)] == [(6, 12), (0, 6)]
    assert [r.scope for r in settle_for_film(references, [8], movie / "film", 24)] == [(0, 8), (0, 8)]
    with pytest.raises(InputError, match="'a' acts in its shot"):
        settle_for_film([Reference("a", picture, 70, scope="shot")], "auto", movie / "film", 24)


def test_the_command_line_writes_shares_and_pictures_of_them(movie, tmp_path, capsys):
    (movie / "refs" / "references.toml").write_text(
        '[[reference]]\npicture = "2.png"\nscope = "shot"\n[[reference]]\npicture = "9.png"\nweight = 2\n'
    )
    how = ["--references", str(movie / "refs"), "--color-lines", "64", "--device", "cpu", "--precision", "fp32"]
    shares = tmp_path / "shares.json"
    command = ["run", str(movie / "film"), "-o", str(tmp_path / "out.mkv"), "--codec", "ffv1", "--no-restore", *how]
    assert main([*command, "--shares", str(shares)]) == 0
    held = json.loads(shares.read_text())
    assert [(r["name"], r["weight"], r["scope"]) for r in held["references"]] == [
        ("2.png", 1, "shot"), ("9.png", 2, "film"),
    ]  # fmt: skip
    assert [one["frame"] for one in held["frames"]] == list(range(12))
    assert [[i for i, _ in one["shares"]] for one in held["frames"]] == [[0, 1]] * 6 + [[1]] * 6
    assert all(0 < share <= 1 for one in held["frames"] for _, share in one["shares"])
    assert list(tmp_path.glob(".*")) == []

    folder = tmp_path / "shown"
    show = ["references", "show", str(movie / "film"), "-o", str(folder), *how]
    assert main([*show, "--frames", "3", "8"]) == 0
    assert sorted(path.name for path in folder.iterdir()) == ["0000003.png", "0000008.png"]
    inside, outside = (cv2.imread(str(folder / f"{n:07}.png"))[:64].astype(float) for n in (3, 8))
    assert inside.shape == (64, 96, 3) and np.ptp(inside.mean((0, 1))) > 5
    assert np.abs(inside.mean((0, 1)) - outside.mean((0, 1))).max() > 5
    capsys.readouterr()
    assert main([*show, "--frames", "30"]) == 2
    assert "has no frame 30: the last of it is 11" in capsys.readouterr().err
