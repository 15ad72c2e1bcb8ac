"""References that are written are those that are read: pictures, frames and where they act."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from tests.support.films import film
from vs_remaster import InputError, RestoreOptions
from vs_remaster.film.request import FilmRequest
from vs_remaster.references import Reference, load_references, read_manifest, save_references


def pictures(count: int, seed: int = 0) -> list[np.ndarray]:
    return list(np.random.default_rng(seed).integers(0, 256, (count, 20, 30, 3), np.uint8))


def test_what_is_saved_is_loaded(tmp_path):
    folder, given = tmp_path / "a" / "stills", pictures(5)
    paths = save_references(folder, given, [43, 30, None, 30, None], scope="shot")
    assert [path.name for path in paths] == [
        "0000043.png", "0000030.png", "picture-a.png", "b-0000030.png", "picture-b.png",
    ]  # fmt: skip
    loaded = {one.name: one for one in load_references(folder)}
    for path, picture in zip(paths, given):
        assert torch.equal(loaded[path.name].rgb, torch.from_numpy(picture).permute(2, 0, 1) / np.float32(255))
    assert [(one.frame, one.scope) for one in load_references(folder)] == [
        (30, "shot"), (30, "shot"), (43, "shot"), (None, "film"), (None, "film"),
    ]  # fmt: skip


def test_nothing_that_a_person_made_is_replaced(tmp_path):
    given = pictures(2)
    first, second = save_references(tmp_path, given, [3, 70])
    toml = tmp_path / "references.toml"
    toml.write_text("# mine\n" + toml.read_text().replace("frame = 70", "frame = 70\nweight = 2.0"))
    Image.fromarray(given[0] // 2).save(first)  # painted over
    stamps = second.stat().st_mtime_ns
    with pytest.raises(InputError, match=r"0000003\.png is there and shows something else; was it painted by hand\?"):
        save_references(tmp_path, [*given, given[0]], [3, 70, 90])
    assert len(list(tmp_path.glob("*.png"))) == 2
    save_references(tmp_path, [*given, given[0]], [3, 70, 90], overwrite=True)
    assert second.stat().st_mtime_ns == stamps and np.array_equal(np.asarray(Image.open(first)), given[0])
    assert toml.read_text().startswith("# mine\n")
    assert [(one.frame, one.weight) for one in read_manifest(toml).entries] == [(3, 1.0), (70, 2.0), (90, 1.0)]
    with pytest.raises(InputError, match="there are 2 pictures and 1 frame numbers"):
        save_references(tmp_path, given, [3])


def test_a_frame_that_the_film_has_not_is_an_error_of_whole_films(tmp_path, caplog):
    film(tmp_path / "film.mp4", 12)
    rgb = torch.zeros(3, 16, 16)
    far = [Reference("a.png", rgb, 3), Reference("b_40.png", rgb, 40, scope="shot"), Reference("c", rgb, time=9.0)]
    request = FilmRequest(
        source=tmp_path / "film.mp4", output=tmp_path / "out.mkv", restore=RestoreOptions(), references=far
    )
    with request.open() as reader:
        with pytest.raises(InputError, match=r"'b_40.png' shows frame 40 \(and 1 more\), and there are 12, 0 to 11: .*"
                           r"references\.toml .* offset"):  # fmt: skip
            request.settled(reader.info)
        with caplog.at_level("INFO"):
            part = FilmRequest(
                source=request.source, output=request.output, references=far[:1] + far[2:], start=2, scenes="none"
            )
            part.settled(reader.info)
        assert "'c' shows frame" in caplog.text
