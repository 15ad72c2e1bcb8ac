"""What reaches a terminal: whatever a file is called, one line that the terminal only shows."""

from __future__ import annotations

import io
import json
import logging
import sys

import pytest

from vs_remaster.cli import progress
from vs_remaster.cli.progress import MessageHandler
from vs_remaster.errors import printable

NAMES = [
    ("film.mkv", "film.mkv"),
    ("Grüße 東京 \\ 'x'.mkv", "Grüße 東京 \\ 'x'.mkv"),
    ("two\nlines\r\t.mkv", r"two\nlines\r\t.mkv"),
    ("\x1b[31mred\x07\x9b2J\x7f", r"\x1b[31mred\x07\x9b2J\x7f"),
    ("left\u202eright\u2028", r"left\u202eright\u2028"),
    ("no text \udcff", r"no text \udcff"),
]


@pytest.mark.parametrize(("name", "shown"), NAMES)
def test_names_are_shown_and_not_obeyed(name, shown):
    assert printable(name) == shown
    assert printable(shown) == shown


@pytest.mark.parametrize(("name", "shown"), NAMES)
def test_every_message_of_the_command_line_is_one_line(name, shown, monkeypatch):
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    monkeypatch.setattr(sys, "stderr", err)
    for as_json in (False, True):
        lines = MessageHandler(out, as_json)
        for level in (logging.INFO, logging.WARNING):
            lines.emit(logging.LogRecord("vs_remaster", level, "", 0, "made of %s", (name,), None))
    told = out.buffer.getvalue().decode().splitlines()
    assert told[0] == f"made of {shown}" and json.loads(told[1]) == {"message": f"made of {name}"} and len(told) == 2
    assert err.buffer.getvalue().decode().splitlines() == [f"vs-remaster: warning: made of {shown}"] * 2


def test_a_warning_is_said_once(capsys):
    lines = MessageHandler(sys.stdout)
    for text in ("one", "two", "one"):
        lines.emit(logging.LogRecord("vs_remaster", logging.WARNING, "", 0, text, (), None))
    assert capsys.readouterr().err.splitlines() == ["vs-remaster: warning: one", "vs-remaster: warning: two"]


def test_time_left_is_told_when_the_pace_is_known(monkeypatch, caplog):
    caplog.set_level(logging.INFO)
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(progress.log, "propagate", True)
    shown = progress.ProgressDisplay(quiet=False)
    for done in (0, 1, 32):
        shown.report("frames", done, 160)
        clock[0] += 16
    told = [record.getMessage() for record in caplog.records]
    assert told == ["frame 1 of 160", "frame 32 of 160, 1.0 frames/s, 0:02:08 left"]
