"""references.toml: written and read back, applied to pictures, and what is said of mistakes."""

from __future__ import annotations

import logging
import tomllib
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vs_remaster.errors import InputError
from vs_remaster.references.manifest import (
    NAME,
    Entry,
    Manifest,
    Origin,
    read_manifest,
    to_toml,
    write_manifest,
)
from vs_remaster.references.reference import Reference, load_references, rules_text, with_rules
from vs_remaster.system.inputs import sha256


def put(folder: Path, *names: str) -> None:
    for i, name in enumerate(names):
        pixels = np.full((18, 24, 3), 40 + 9 * i, np.uint8)
        pixels[..., 2] = 200
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(cv2.imencode(".png", pixels)[1].tobytes())


def test_what_is_written_is_read_back(tmp_path):
    entries = (
        Entry(picture="0000120.png", frame=120, scope="shot", shot=(100, 250), weight=2.5, origin="film"),
        Entry(picture='sub/it\'s "quoted" \\ Grüße\t東京\x7f.png', time=5.25, scope=(3, 9), sha256="0f" * 32),
        Entry(picture="plain.png"),
    )
    manifest = Manifest(entries, {"film": Origin(), "post card.1": Origin(weight=0.3, likeness=0.75)})
    write_manifest(tmp_path / NAME, manifest)
    assert read_manifest(tmp_path / NAME) == manifest
    assert [file.name for file in tmp_path.iterdir()] == [NAME]
    # what need not be said is not
    assert to_toml(Manifest(entries[2:])) == '[[reference]]\npicture = "plain.png"\n'


@settings(deadline=None, max_examples=60)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), st.floats(0, 1000), st.integers(0, 10**9))
def test_any_text_and_number_survives(text, weight, frame):
    written = to_toml(Manifest((Entry(picture=text, weight=weight, frame=frame, origin=text),), {text: Origin()}))
    held = tomllib.loads(written)
    assert held["reference"][0].get("weight", 1.0) == weight and held["reference"][0]["frame"] == frame
    assert held["reference"][0]["picture"] == text and text in held["origin"]


def test_pictures_take_what_the_manifest_says_and_others_are_as_before(tmp_path):
    put(tmp_path, "f10.png", "f9.png", "later.png", "sub/else.png")
    (tmp_path / NAME).write_text(
        """
        origin.card = {weight = 0.5, likeness = 0.6}
        [[reference]]
        picture = "later.png"
        frame = 3
        weight = 3
        origin = "card"
        [[reference]]
        picture = "f10.png"
        time = 2.5
        scope = [4, 8]
        [[reference]]
        picture = "sub/else.png"
        scope = "shot"
        shot = [0, 7]
        """
    )
    found = load_references(tmp_path)
    assert [r.name for r in found] == ["later.png", "f9.png", "else.png", "f10.png"]
    later, plain, other, timed = found
    assert (later.frame, later.weight, later.origin, later.likeness) == (3, 1.5, "card", 0.6)
    assert plain == Reference("f9.png", plain.rgb, 9)
    assert (timed.frame, timed.time, timed.scope, timed.weight) == (None, 2.5, (4, 8), 1)
    assert (other.scope, other.shot) == ("shot", (0, 7))
    assert [r.name for r in load_references(tmp_path / NAME)] == ["later.png", "else.png", "f10.png"]
    assert load_references(tmp_path / "later.png")[0].weight == 1  # by its own name it is not looked up


def test_another_picture_than_the_one_described_is_said(tmp_path, caplog):
    put(tmp_path, "1.png")
    described = Entry(picture="1.png", sha256=sha256(tmp_path / "1.png").upper())
    write_manifest(tmp_path / NAME, Manifest((described,)))
    load_references(tmp_path)
    assert not caplog.text
    put(tmp_path, "0.png", "1.png")
    with caplog.at_level(logging.WARNING):
        assert len(load_references(tmp_path)) == 2
    assert "1.png' is another picture than the one that references.toml describes" in caplog.text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[reference]", r"references\.toml' is not TOML: .*line 1"),
        ("weight = 1", r"unknown setting 'weight'; known are origin, reference"),
        ("reference = 3", r"write origins as \[origin\.NAME\] and pictures as \[\[reference\]\]"),
        ("[[reference]]\nframe = 1", r"entry 1: picture must be the name of a file.*got None"),
        ('[[reference]]\npicture = "a.png"\nweigth = 1', r"entry 1 \('a\.png'\): unknown setting 'weigth'; known are"),
        ('[[reference]]\npicture = "a.png"\nweight = -1', r"weight must be a number from 0 to 1000 .*got -1"),
        ('[[reference]]\npicture = "a.png"\nweight = nan', r"weight must be .*got nan"),
        ('[[reference]]\npicture = "a.png"\nweight = true', r"weight must be .*got True"),
        ('[[reference]]\npicture = "a.png"\nframe = -3', r"frame must be a frame number .*got -3"),
        ('[[reference]]\npicture = "a.png"\nframe = 1\ntime = 2.0', r"it has both frame and time; remove one"),
        ('[[reference]]\npicture = "a.png"\ntime = "0:10"', r"time must be a number from 0 to 1e\+09 .*got '0:10'"),
        ('[[reference]]\npicture = "a.png"\ntime = 1e300', r"entry 1 \('a\.png'\): time must be .*got 1e\+300"),
        ('[[reference]]\npicture = "a.png"\ntime = 1000000001', r"time must be .*got 1000000001"),
        ('[[reference]]\npicture = "a.png"\ntime = nan', r"time must be .*got nan"),
        ('[[reference]]\npicture = "a.png"\ntime = inf', r"time must be .*got inf"),
        ('[[reference]]\npicture = "a.png"\ntime = -0.1', r"time must be .*got -0\.1"),
        ('[[reference]]\npicture = "a.png"\nframe = 2147483648', r"\('a\.png'\): frame must be .*got 2147483648"),
        ('[[reference]]\npicture = "a.png"\nscope = [0, 2147483648]', r"scope must be .*got \[0, 2147483648\]"),
        ('[[reference]]\npicture = "a.png"\nscope = "scene"', r'scope must be "film", "shot" or .*got \'scene\''),
        ('[[reference]]\npicture = "a.png"\nscope = [9, 9]', r"scope must be .*got \[9, 9\]"),
        ('[[reference]]\npicture = "a.png"\nshot = [9, 3]', r"shot must be \[first, end\].*got \[9, 3\]"),
        ('[[reference]]\npicture = "a.png"\nsha256 = "12"', r"sha256 must be 64 hexadecimal digits, got '12'"),
        ('[[reference]]\npicture = "a.png"\norigin = 4', r"origin must be a name in quotes, got 4"),
        ('[[reference]]\npicture = "b.png"', r"the picture 'b\.png' is not there: put it into the folder"),
        ('[[reference]]\npicture = "a.png"\n[[reference]]\npicture = "./a.png"', r"entry 2 \('a\.png'\): it is listed"),
        ("[origin.card]\nlikeness = 2", r"origin 'card': likeness must be a number from 0 to 1 .*got 2"),
        ("origin.card = 2", r"origin 'card': it must be a table of settings, got 2"),
    ],
)
def test_mistakes_are_named_with_file_entry_and_value(tmp_path, text, words):
    put(tmp_path, "a.png")
    (tmp_path / NAME).write_text(text)
    with pytest.raises(InputError, match=words) as caught:
        load_references(tmp_path)
    assert NAME in str(caught.value) and "\n" not in str(caught.value)


def test_a_manifest_without_pictures_is_no_set(tmp_path):
    (tmp_path / NAME).write_text("")
    with pytest.raises(InputError, match="names no pictures"):
        load_references(tmp_path / NAME)
    with pytest.raises(InputError, match="no pictures in reference folder"):
        load_references(tmp_path)


def test_what_is_known_of_references_goes_along_as_text():
    rgb = torch.zeros(3, 4, 4)
    known = [
        Reference("b_12.png", rgb, 12, weight=2.5, scope=(3, 9)),
        Reference("a.png", rgb, None, scope="shot", time=1.5, shot=(0, 7), origin="card", likeness=0.5),
        Reference("7.png", rgb, 8),
    ]
    bare = [Reference(f"picture {i}", rgb) for i in "abc"]
    back = with_rules(bare, rules_text(known), "rules")
    assert [replace(one, name=was.name) for one, was in zip(back, known)] == known
    assert rules_text([Reference("7.png", rgb, 7), Reference("x8.png", rgb, 8)]) == ""
    assert rules_text([Reference("x.png", rgb), Reference("y.png", rgb)]) == ""
    mixed = [Reference("7.png", rgb, 7), Reference("x.png", rgb)]
    assert [one.frame for one in with_rules(bare[:2], rules_text(mixed), "rules")] == [7, None]
    assert with_rules(bare, " ", "rules") == bare
    with pytest.raises(InputError, match="rules has 3 entries, but there are 2 references"):
        with_rules(bare[:2], rules_text(known), "rules")
    with pytest.raises(InputError, match=r"'rules', entry 1 \('x'\): weight must be"):
        with_rules(bare[:1], '[[reference]]\npicture = "x"\nweight = -1', "rules")


def test_a_reference_checks_its_weight_and_scope():
    rgb = torch.zeros(3, 4, 4)
    with pytest.raises(InputError, match=r"reference 'x': weight must be .*got 1001"):
        Reference("x", rgb, weight=1001)
    with pytest.raises(InputError, match=r"reference 'x': scope must be .*got \(5, 2\)"):
        Reference("x", rgb, scope=(5, 2))
