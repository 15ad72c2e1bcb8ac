"""Small files of people and programs that are huge, hostile or nonsense."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vs_remaster.errors import InputError
from vs_remaster.film.shares import read_shares
from vs_remaster.jobs.planning.chunking import find_references
from vs_remaster.jobs.planning.folder import JobFolder
from vs_remaster.jobs.planning.shot_settings import ShotSettings, parse_shots
from vs_remaster.references.manifest import NAME, read_manifest
from vs_remaster.references.reference import Reference, load_references
from vs_remaster.references.stamping import stamp
from vs_remaster.remaster.scenes import parse_cuts


def put_picture(path: Path, value: int = 90) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((20, 30, 3), (value, 200, 10), np.uint8)).save(path)
    return path


def huge(path: Path) -> Path:
    """1 GB of nothing, of which the disk holds none."""
    with path.open("wb") as file:
        file.truncate(10**9)
    return path


@pytest.mark.parametrize(
    "read", [read_manifest, parse_cuts, read_shares, lambda path: JobFolder(path.parent).read_plan()]
)
def test_a_file_of_a_gigabyte_is_refused(tmp_path, read):
    with pytest.raises(InputError, match=r"has more than \d+ MiB"):
        read(huge(tmp_path / "job.json"))


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * 100_000,
        "a = " + "{b=" * 100_000,
        f"[[reference]]\npicture = 'a.png'\nframe = {'9' * 5000}",
        f"[[reference]]\npicture = 'a.png'\nframe = 0x{'f' * 5000}",
        f"[[reference]]\npicture = 'a.png'\nweight = 1{'0' * 400}",
        f"[[reference]]\npicture = 'a.png'\nframe = {2**40}",
        "[[reference]]\npicture = 'a.png'\ntime = inf",
    ],
)
def test_toml_that_no_program_writes_gives_one_line(tmp_path, text):
    put_picture(tmp_path / "a.png")
    (tmp_path / NAME).write_text(text)
    with pytest.raises(InputError) as caught:
        load_references(tmp_path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600
    if text.startswith("a"):
        with pytest.raises(InputError):
            parse_shots(text, [], tmp_path / "shots.toml")


def test_json_and_scenes_that_no_program_writes(tmp_path):
    for text in ("[" * 100_000, f'{{"version": {"9" * 5000}}}'):
        (tmp_path / "job.json").write_text(text)
        with pytest.raises(InputError):
            JobFolder(tmp_path).read_plan()
        with pytest.raises(InputError):
            read_shares(tmp_path / "job.json")
    (tmp_path / "cuts.txt").write_text("9" * 5000)
    with pytest.raises(InputError, match=r"line 1: '9{40}' is not a frame number"):
        parse_cuts(tmp_path / "cuts.txt")


@pytest.mark.parametrize(
    "name", ["../secret.png", "sub/../../secret.png", "ABSOLUTE", "link.png", "links/secret.png", "C:\\x"]
)
def test_pictures_named_in_a_manifest_stay_in_its_folder(tmp_path, name):
    secret = put_picture(tmp_path / "secret.png")
    folder = tmp_path / "from-elsewhere"
    put_picture(folder / "a.png")
    (folder / "sub").mkdir()
    (folder / "link.png").symlink_to(secret)
    (folder / "links").symlink_to(tmp_path)
    name = str(secret) if name == "ABSOLUTE" else name
    text = f"[[reference]]\npicture = '{name}'\n"
    (folder / NAME).write_text(text)
    for use in (load_references, stamp):
        with pytest.raises(InputError, match=r"does not lie in the folder of references.toml: .* command line instead"):
            use(folder)
    assert (folder / NAME).read_text() == text
    settings = [ShotSettings(references=(name,))]
    with pytest.raises(InputError, match=r"shot 1: .* does not lie in the folder of shots.toml: name it with --refere"):
        find_references(settings, [], folder, 64)


def test_a_link_out_of_the_folder_is_not_stamped(tmp_path):
    secret = put_picture(tmp_path / "secret.png")
    folder = tmp_path / "from-elsewhere"
    put_picture(folder / "a.png")
    (folder / "link.png").symlink_to(secret)
    with pytest.raises(InputError, match=r"'link.png' does not lie in the folder"):
        stamp(folder)
    assert not (folder / NAME).exists()


def test_pictures_in_folders_below_and_linked_inside_are_taken(tmp_path):
    put_picture(tmp_path / "below" / "a.png")
    (tmp_path / "b.png").symlink_to(tmp_path / "below" / "a.png")
    (tmp_path / NAME).write_text("[[reference]]\npicture = 'below/a.png'\n[[reference]]\npicture = 'b.png'\n")
    assert stamp(tmp_path) == 2 and len(load_references(tmp_path)) == 2
    _, _, own = find_references([ShotSettings(references=("below/a.png",))], [], tmp_path, 64)
    assert len(own[0]) == 1
    given = [Reference("far.png", torch.rand(3, 20, 20))]
    _, digests, own = find_references([ShotSettings(references=("far.png",))], given, tmp_path, 64)
    assert own[0] == tuple(digests)
