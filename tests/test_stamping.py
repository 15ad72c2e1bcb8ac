"""`references stamp`: checksums come into a file that a person wrote, and what the person wrote stays."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import tomlkit
from PIL import Image

from vs_remaster.references.manifest import NAME, Entry, Manifest, Origin, read_manifest
from vs_remaster.references.stamping import stamp

WRITTEN = """\
# What the archive sent us.

[origin.'post card']
weight = 3e-1  # its colours are too strong

[[reference]]  # the ball
picture = 'b.png'
frame = 1_0     # counted by hand
weight = 2

# Not sure of this one.
[[reference]]
frame = 0x05
picture = "a.png"
origin = "post card"
# ask Anna
"""


def put(folder: Path, *names: str) -> dict[str, str]:
    """Pictures of one colour each, and their checksums."""
    for number, name in enumerate(names):
        Image.fromarray(np.full((8, 8, 3), number, np.uint8)).save(folder / name)
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}


def test_comments_order_and_spelling_stay(tmp_path):
    sums = put(tmp_path, "a.png", "b.png")
    (tmp_path / NAME).write_text(WRITTEN)
    assert stamp(tmp_path) == 2
    wanted = WRITTEN.replace("weight = 2\n", f'weight = 2\nsha256 = "{sums["b.png"]}"\n')
    wanted = wanted.replace('"post card"\n', f'"post card"\nsha256 = "{sums["a.png"]}"\n')
    assert (tmp_path / NAME).read_text() == wanted
    stamp(tmp_path)
    assert (tmp_path / NAME).read_text() == wanted, "stamped again"


def test_new_pictures_come_behind_what_is_there(tmp_path):
    strange = 'two\n"lines".png'
    sums = put(tmp_path, "a.png", "b.png", strange, "frame-0007.png")
    (tmp_path / NAME).write_text(WRITTEN)
    assert stamp(tmp_path) == 4
    text = (tmp_path / NAME).read_text()
    assert text.endswith(
        "# ask Anna\n\n"
        f'[[reference]]\npicture = "frame-0007.png"\nframe = 7\nsha256 = "{sums["frame-0007.png"]}"\n\n'
        f'[[reference]]\npicture = "two\\n\\"lines\\".png"\nsha256 = "{sums[strange]}"\n'
    )
    assert [entry.picture for entry in read_manifest(tmp_path / NAME).entries][:2] == ["b.png", "a.png"]


def test_a_checksum_that_is_right_keeps_its_spelling_and_a_wrong_one_its_comment(tmp_path):
    sums = put(tmp_path, "a.png", "b.png")
    text = (
        "[[reference]]\npicture = 'a.png'\nsha256 = '{}' # one\n[[reference]]\nsha256 = '{}' # two\npicture = 'b.png'\n"
    )
    (tmp_path / NAME).write_text(text.format(sums["a.png"].upper(), "0" * 64))
    stamp(tmp_path)
    assert (tmp_path / NAME).read_text() == text.format(sums["a.png"].upper(), sums["b.png"]).replace(
        f"'{sums['b.png']}'", f'"{sums["b.png"]}"'
    )


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ('reference = [\n  {picture="a.png"}, # ours\n  {picture = "b.png"},\n]\n', "# ours"),
        ("reference = []  # none yet\n", "reference = [{picture"),
        ("# none yet\n", "# none yet\n"),
        ("[[reference]]\npicture = 'b.png'\n\n# of the film\n[origin.film]\nweight = 2\n", "# of the film"),
        (
            "[[reference]]\npicture = 'b.png'\n[origin.film]\nweight = 2 # much\n[[reference]]\npicture='a.png'\n",
            "# much",
        ),
        ("\ufeff[[reference]]\r\npicture = 'b.png'  # DOS\r\n", "# DOS"),
    ],
)
def test_every_form_that_is_read_can_be_stamped(tmp_path, caplog, text, kept):
    sums = put(tmp_path, "a.png", "b.png")
    (tmp_path / NAME).write_bytes(text.encode())
    before = read_manifest(tmp_path / NAME)
    assert stamp(tmp_path) == 2 and not caplog.text
    after = read_manifest(tmp_path / NAME)
    assert after.origins == before.origins
    assert {entry.picture: entry.sha256 for entry in after.entries} == sums
    assert [entry.picture for entry in after.entries][: len(before.entries)] == [e.picture for e in before.entries]
    assert kept in (tmp_path / NAME).read_text()


def test_what_could_not_be_edited_is_written_anew_and_said(tmp_path, caplog, monkeypatch):
    sums = put(tmp_path, "a.png", "b.png")
    (tmp_path / NAME).write_text(WRITTEN)
    monkeypatch.setattr(tomlkit, "dumps", lambda document: "[[reference]]\npicture = 'a.png'\n")  # loses an entry
    stamp(tmp_path)
    assert "written anew, without its comments" in caplog.text
    entries = (
        Entry(picture="b.png", frame=10, weight=2.0, sha256=sums["b.png"]),
        Entry(picture="a.png", frame=5, origin="post card", sha256=sums["a.png"]),
    )
    assert read_manifest(tmp_path / NAME) == Manifest(entries, {"post card": Origin(weight=0.3)})
