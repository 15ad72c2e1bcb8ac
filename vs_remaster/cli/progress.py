"""What the command line shows while it works: messages, a bar or lines of progress, or JSON for programs."""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from typing import Any, TextIO

from ..errors import printable
from ..system.sizes import size_text

log = logging.getLogger("vs_remaster")

EVERY = 10.0
"""Seconds between two lines of progress where there is no terminal."""
EVERY_JSON = 1.0
"""Seconds between two objects of `--json`."""

_FEW = 16  # frames after which time left is told

_VERBS = {
    "align": "aligned frame",
    "pick": "looked at frame",
    "carry": "carried colour to frame",
    "survey": "looked at frame",
    "frames": "frame",
    "encode": "encoded frame",
    "report": "reported on frame",
}


class MessageHandler(logging.Handler):
    """Messages as lines, one each, above the progress bar if there is one; as JSON, information is an object a line. A
    warning that was said is not said again: films are opened more than once.

    Args:
        out: takes information; warnings go to stderr.
        as_json: see above.
    """

    def __init__(self, out: TextIO, as_json: bool = False) -> None:
        super().__init__()
        self._out, self._json = out, as_json
        self._warned: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Show a message."""
        from tqdm import tqdm

        text = record.getMessage()
        if record.levelno >= logging.WARNING:
            if text not in self._warned:
                self._warned.add(text)
                tqdm.write(f"vs-remaster: warning: {printable(text)}", file=sys.stderr)
            return
        tqdm.write(json.dumps({"message": text}) if self._json else printable(text), file=self._out)
        self._out.flush()


class ProgressDisplay:
    """A bar on stderr where that is a terminal, else a line every ten seconds; or JSON on stdout every second.

    It is a `Watch`, and can be called with frames and how many there will be.

    Args:
        quiet: show nothing.
        as_json: see above.
    """

    def __init__(self, quiet: bool, as_json: bool = False) -> None:
        self._quiet, self._json = quiet, as_json
        self._bar: Any = None
        self._stage = ""
        self._first = 0
        self._began = self._last = time.monotonic()
        self._turn = threading.Lock()

    def __enter__(self) -> ProgressDisplay:
        return self

    def __exit__(self, *error: object) -> None:
        self._close()

    def __call__(self, done: int, total: int | None) -> None:
        """Take how many frames are written, and how many there will be."""
        self.report("frames", done, total)

    def report(
        self, stage: str, done: int, total: int | None, disk_needed: int | None = None, disk_free: int | None = None
    ) -> None:
        """See `jobs.watch.Watch`."""
        with self._turn:
            if stage != self._stage or done < self._first:
                self._begin(stage, done)
            if self._json:
                self._object(done, total, disk_needed, disk_free)
            elif self._quiet:
                return
            elif sys.stderr.isatty():
                self._show_bar(done, total, disk_needed, disk_free)
            else:
                self._line(done, total, disk_needed, disk_free)

    def result(self, frames: int, output: object) -> None:
        """Say that all is done."""
        self._close()
        log.info("%d frames written to %s", frames, output)
        if self._json:
            self._print({"stage": "done", "frames": frames, "output": str(output)})

    def _begin(self, stage: str, done: int) -> None:
        self._close()
        self._stage, self._first = stage, done
        self._began = self._last = time.monotonic()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _rate(self, done: int, now: float) -> float:
        """Frames a second in this run; 0 before the first."""
        return (done - self._first) / (now - self._began) if now > self._began else 0.0

    def _tells(self, done: int, total: int | None) -> bool:
        """Whether the rate says something: frames come in blocks, and the first ones wait for the networks to load."""
        return done - self._first >= _FEW or done == total

    def _left(self, done: int, total: int | None, rate: float) -> float | None:
        """Seconds that are left, where that is known."""
        return round((total - done) / rate, 1) if total and rate and self._tells(done, total) else None

    def _show_bar(self, done: int, total: int | None, needed: int | None, free: int | None) -> None:
        if self._bar is None:
            from tqdm import tqdm

            self._bar = tqdm(
                total=total, initial=done, unit=" frames", dynamic_ncols=True, file=sys.stderr, desc=self._title()
            )
        if needed is not None and free is not None:
            self._bar.set_postfix_str(_disk(needed, free), refresh=False)
        self._bar.update(done - self._bar.n)

    def _title(self) -> str | None:
        return {"survey": "looking", "encode": "encoding"}.get(self._stage)

    def _line(self, done: int, total: int | None, needed: int | None, free: int | None) -> None:
        now = time.monotonic()
        if done == self._first or now - self._last < EVERY:
            return
        self._last = now
        rate = self._rate(done, now)
        left = self._left(done, total, rate)
        pace = f", {rate:.1f} frames/s" if self._tells(done, total) else ""
        pace += f", {_clock(left)} left" if left else ""
        of = f" of {total}" if total else ""
        disk = f", {_disk(needed, free)}" if needed and free is not None else ""
        log.info("%s %d%s%s%s", _VERBS.get(self._stage, "frame"), done, of, pace, disk)

    def _object(self, done: int, total: int | None, needed: int | None, free: int | None) -> None:
        now = time.monotonic()
        if done not in (self._first, total) and now - self._last < EVERY_JSON:
            return
        self._last = now
        rate = self._rate(done, now)
        self._print(
            {
                "stage": self._stage,
                "done": done,
                "total": total,
                "frames_per_second": round(rate, 3),
                "seconds_left": self._left(done, total, rate),
                "disk_needed": needed,
                "disk_free": free,
            }
        )

    @staticmethod
    def _print(told: dict[str, Any]) -> None:
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()


def _disk(needed: int, free: int) -> str:
    return f"needs {size_text(needed)} more, {size_text(free)} free"


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"
