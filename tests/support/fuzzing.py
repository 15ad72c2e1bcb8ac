"""Damaged input of every kind through the command line, and the one rule for all of it.

Whatever comes in, `vs-remaster` ends within seconds and within memory; with status 0 and every whole frame, or saying
which are missing; or with status 2, one line on stderr (and warnings before it), and nothing left behind. No traceback,
and what was given is as it was.

As a program, to repeat or to go on with what a test has found, by kind and seeds (the last is not included); what
fails is kept, its input and all it made, in a folder named by kind and seed:

    python tests/support/fuzzing.py film:17 --folder /tmp/kept
    python tests/support/fuzzing.py film:1000:9000 jobs:0:500 --minutes 30 --jobs 4

All is imported once and every command runs in a fork of that process: a case takes a quarter of a second.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

with contextlib.suppress(ImportError):
    import resource

POSSIBLE = sys.platform == "linux"
SECONDS = 20  # of a processor, for a command; the clock may show three times as much where others work too
MEMORY = 600 << 20  # bytes beyond what the process has before it begins
ADDRESSES = 4 << 30  # bytes: where memory is taken without being used, this ends it
DISK = 300 << 20

FAST = ["--device", "cpu", "--model", "fast"]
COPY = [*FAST, "--codec", "ffv1", "--no-color", "--strength", "0", "--scenes", "none"]
MISSING = re.compile(r"damaged|truncated|cut off|missing|cannot be read|not whole|whole frames could be read")


@dataclass
class Outcome:
    """What became of a command: exit status (negative: the signal that ended it), what it said, what it took."""

    argv: list[str]
    status: int
    out: str
    err: str
    seconds: float
    memory: int

    def problems(self) -> list[str]:
        """How it breaks the rule, as far as that shows without its output."""
        found = []
        if self.status in (-signal.SIGXCPU, -signal.SIGKILL, -signal.SIGALRM) or "Timeout (0:" in self.err:
            found.append("hangs")
        elif self.status not in (0, 2):
            found.append(f"exit status {self.status}")
        if "Traceback" in self.err + self.out:
            found.append("traceback")
        if self.memory > MEMORY or "out of memory" in self.err or "no space left" in self.err:
            found.append(f"takes {self.memory >> 20} MiB")
        lines = self.err.splitlines()
        warned = [line for line in lines if line.startswith("vs-remaster: warning: ")]
        errors = [line for line in lines if line.startswith("vs-remaster: ") and line not in warned]
        strange = [line for line in lines if line not in warned and line not in errors]
        if strange and not found:
            found.append(f"strange line on stderr: {strange[0]:.100}")
        if self.status == 2 and (len(errors) != 1 or lines[-1] != errors[0]):
            found.append(f"{len(errors)} lines of error")
        if errors and "cannot write" in errors[-1]:  # nothing is wrong with the disk
            found.append(f"cannot write what it has read: {errors[-1]:.100}")
        if self.status == 0 and errors:
            found.append("an error, and status 0")
        return found


@dataclass
class Case:
    """One damaged input: its folder, what was done to it, and what was found."""

    kind: str
    seed: int
    folder: Path
    rng: random.Random
    what: str = ""
    outcomes: list[Outcome] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    frames: int | None = None

    def run(self, *argv: object, stdin: Path | None = None, stdout: Path | None = None, kept: str = "") -> Outcome:
        """Run a command in the folder of the case and hold it against the rule.

        Args:
            argv: of the command; paths from the folder on.
            stdin: a file for it.
            stdout: takes what it writes, where that is no text.
            kept: pattern of names that may be there afterwards though it failed: a job folder, say.
        """
        before = tree(self.folder)
        outcome = run([str(one) for one in argv], self.folder, stdin, stdout)
        after = tree(self.folder)
        self.outcomes.append(outcome)
        found = outcome.problems()
        changed = [name for name in before if name in after and before[name] != after[name]]
        gone = [name for name in before if name not in after]
        new = [name for name in after if name not in before and name != (stdout and stdout.name)]
        for names, verb in ((changed, "changed"), (gone, "removed"), (new if outcome.status else [], "left behind")):
            names = [name for name in names if not (kept and re.match(kept, name))]
            if names:
                found.append(f"{verb}: {names[0]}")
        parts = [name for name in new if ".part" in name or Path(name).name.startswith(".")]
        if parts and not outcome.status:
            found.append(f"left behind: {parts[0]}")
        self.problems += [f"{problem} ({argv[0]})" for problem in found]
        return outcome

    def whole(self, made: int | None, wanted: dict[str, int] | None, said: Outcome) -> None:
        """Hold the frames of an output against those that one thread reads of the input; fewer have to be said."""
        if said.status or wanted is None or made is None:
            if made is None and not said.status:
                self.problems.append("the output cannot be read")
            return
        warned = any(MISSING.search(line) for line in said.err.splitlines())
        if made != wanted["frames"] and not warned:
            self.problems.append(f"{made} frames of {wanted['frames']}, silently")
        elif made < wanted["frames"] - 1:
            self.problems.append(f"{made} frames of {wanted['frames']}, with a warning")
        if wanted["errors"] and not warned:
            self.problems.append(f"{wanted['errors']} errors while reading, silently")

    def told(self) -> dict[str, Any]:
        """For a line of JSON."""
        return {
            "kind": self.kind,
            "seed": self.seed,
            "what": self.what,
            "problems": self.problems,
            "status": [one.status for one in self.outcomes],
            "argv": [" ".join(one.argv) for one in self.outcomes],
            "said": [(one.err.splitlines() or [""])[-1][:400] for one in self.outcomes],
            "err": "".join(one.err for one in self.outcomes)[-6000:] if self.problems else "",
            "seconds": round(sum(one.seconds for one in self.outcomes), 2),
            "memory": max((one.memory for one in self.outcomes), default=0) >> 20,
            "frames": self.frames,
        }


def tree(folder: Path) -> dict[str, str]:
    """Every file and folder below one, with a hash of what is in it."""
    return {
        str(path.relative_to(folder)): hashlib.sha1(path.read_bytes()).hexdigest() if path.is_file() else ""
        for path in sorted(folder.rglob("*"))
    }


def run(argv: list[str], folder: Path, stdin: Path | None = None, stdout: Path | None = None) -> Outcome:
    """Run a command of `vs-remaster` in a fork of this process."""
    from vs_remaster.cli.entry import main

    return forked(lambda: main(argv), folder, stdin, stdout, argv)


def forked(
    work: Callable[[], int], folder: Path, stdin: Path | None, stdout: Path | None, argv: list[str] | None = None
) -> Outcome:
    """Do something in a fork of this process with bounds to its time and memory."""
    said = [folder.parent / f"{folder.name}.{name}" for name in ("out", "err")]
    files = stdin or Path(os.devnull), stdout or said[0], said[1]
    began, before = time.monotonic(), _memory()
    child = os.fork()
    if not child:
        _child(work, folder, files)
    pid, state, used = 0, 0, None
    while not pid and time.monotonic() < began + 4 * SECONDS:
        pid, state, used = os.wait4(child, os.WNOHANG)
        time.sleep(0.002)
    if not pid:
        os.kill(child, signal.SIGKILL)
        pid, state, used = os.wait4(child, 0)
    texts = [path.read_text(errors="replace") if path.exists() else "" for path in said]
    for path in said:
        path.unlink(missing_ok=True)
    took = max(0, 1024 * used.ru_maxrss - before)
    return Outcome(argv or [], os.waitstatus_to_exitcode(state), *texts, time.monotonic() - began, took)


def _memory() -> int:
    """Resident memory of this process, bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def _child(work: Callable[[], int], folder: Path, files: tuple[Path, Path, Path]) -> None:
    """The fork: it never returns."""
    status = 70
    try:
        os.chdir(folder)
        for number, (path, flags) in enumerate(zip(files, (os.O_RDONLY, *[os.O_WRONLY | os.O_CREAT | os.O_TRUNC] * 2))):
            os.dup2(os.open(path, flags), number)
        faulthandler.enable()
        faulthandler.dump_traceback_later(3 * SECONDS, exit=True)
        addresses = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (addresses + ADDRESSES,) * 2)
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 2))
        resource.setrlimit(resource.RLIMIT_FSIZE, (DISK,) * 2)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        status = work()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 71
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(BaseException):
            threading._shutdown()  # as at the end of a program: threads that are not daemons are waited for
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def count(path: Path) -> dict[str, int] | None:
    """Frames of a film and errors on the way, read by PyAV in one thread (and in a process of its own); None where it
    cannot be opened."""

    def work() -> int:
        import av

        frames = errors = 0
        with av.open(str(path)) as container:
            films = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
            stream = next((s for s in films if s.disposition & av.stream.Disposition.default), films[0])
            stream.thread_type, stream.codec_context.thread_count = "NONE", 1
            packets = container.demux(stream)
            while True:
                try:
                    packet = next(packets)
                except StopIteration:
                    break
                except av.FFmpegError:
                    errors += 1
                    break
                if packet.size:
                    try:
                        frames += len(packet.decode())
                    except av.FFmpegError:
                        errors += 1
            with contextlib.suppress(av.FFmpegError, EOFError):
                frames += len(stream.decode(None))
        sys.stdout.write(json.dumps({"frames": frames, "errors": errors}))
        return 0

    outcome = forked(work, path.parent, None, None)
    return json.loads(outcome.out) if outcome.status == 0 and outcome.out else None


# Kinds of cases: each makes its input by its seed and runs what reads such input --------------------------------------


def film(case: Case, base: Path) -> None:
    """A damaged film: copied, through a job, merged, reported on, as pictures, and in part."""
    from mutations import FILMS, damaged_film

    rng = case.rng
    name = rng.choice(list(FILMS))
    data, told = damaged_film((base / name).with_suffix(FILMS[name].suffix).read_bytes(), FILMS[name], rng)
    source = case.folder / f"in{FILMS[name].suffix}"
    source.write_bytes(data)
    way = rng.choice(("run", "run", "run", "job", "mp4", "pictures", "merge", "donor", "part", "report", "sound"))
    case.what = f"{name}: {told}; {way}"
    wanted, made = count(source), case.folder / "out.mkv"
    case.frames = wanted and wanted["frames"]
    kept = r"out\.\w+\.job"
    if way == "merge":
        said = case.run("merge", source.name, base / "mkv.mkv", "-o", made.name, "--codec", "ffv1")
    elif way == "donor":
        said = case.run("merge", base / "mkv.mkv", source.name, "-o", made.name, "--codec", "ffv1")
        return
    elif way == "report":
        case.run("report", source.name, base / "mkv.mkv", "-o", "report")
        return
    elif way == "part":
        case.run("run", source.name, "-o", made.name, *COPY, "--start", rng.randrange(30), "--end", 30)
        return
    elif way == "pictures":
        said = case.run("run", source.name, "-o", "out", *FAST, "--no-color", "--strength", "0")
        if not said.status:
            case.whole(len(list((case.folder / "out").iterdir())), wanted, said)
        return
    elif way == "mp4":
        made = case.folder / rng.choice(("out.mp4", "out.mov"))
        said = case.run("run", source.name, "-o", made.name, *FAST, "--no-color", "--strength", "0")
    elif way == "sound":
        made = case.folder / "out.mxf"
        said = case.run(
            "run", source.name, "-o", made.name, *FAST, "--codec", "prores", "--no-color", "--strength", "0"
        )
    else:
        how = ["--job", "out.mkv.job", "--chunk", "7"] if way == "job" else []
        how += ["--chunks", "final"] if how and rng.random() < 0.5 else []
        said = case.run("run", source.name, "-o", made.name, *COPY, *how, kept=kept)
        if how and said.status and "are kept in" not in said.err and (case.folder / "out.mkv.job").exists():
            case.problems.append("left behind: out.mkv.job (job)")
    if not said.status:
        case.whole((count(made) or {"frames": None})["frames"], wanted, said)


def whole_picture(base: Path, kind: str) -> Path:
    """A picture that is not damaged."""
    return base / f"{kind}.{kind.split()[0]}"


def pictures(case: Case, base: Path) -> None:
    """A folder of pictures as a film, one of which is damaged."""
    from mutations import PICTURES, damaged_picture

    rng, kind = case.rng, case.rng.choice([kind for kind in PICTURES if kind != "gif"])
    folder = case.folder / "in"
    folder.mkdir()
    for number in range(4):
        shutil.copy(whole_picture(base, kind), folder / f"{number}.{kind.split()[0]}")
    file = folder / f"{rng.randrange(4)}.{kind.split()[0]}"
    data, told = damaged_picture(file.read_bytes(), kind, rng)
    file.write_bytes(data)
    case.what = f"{kind}: {told}"
    said = case.run("run", "in", "-o", "out.mkv", *COPY)
    if not said.status:
        case.whole((count(case.folder / "out.mkv") or {"frames": None})["frames"], {"frames": 4, "errors": 0}, said)


def references(case: Case, base: Path) -> None:
    """Reference pictures one of which is damaged, or one that is very large."""
    from mutations import PICTURES, damaged_picture

    rng, kind = case.rng, case.rng.choice(PICTURES)
    folder = case.folder / "refs"
    folder.mkdir()
    shutil.copy(whole_picture(base, "png"), folder / "0000003.png")
    data, told = damaged_picture(whole_picture(base, kind).read_bytes(), kind, rng)
    file = folder / f"0000005.{kind.split()[0]}"
    file.write_bytes(data)
    given = rng.choice(("refs", file.relative_to(case.folder)))
    case.what = f"{kind}: {told}"
    way = rng.choice(("run", "run", "show", "stamp", "report", "pipe"))
    if way == "run":
        case.run(
            "run",
            base / "mkv.mkv",
            "-o",
            "out.mkv",
            *FAST,
            "--codec",
            "ffv1",
            "--color-lines",
            64,
            "--references",
            given,
        )
    elif way == "show":
        how = ["--frames", 3, "-o", "out", "--color-lines", 64, *FAST]
        case.run("references", "show", base / "mkv.mkv", "--references", given, *how)
    elif way == "stamp":
        case.run("references", "stamp", "refs")
    elif way == "report":
        case.run("report", base / "mkv.mkv", base / "mkv.mkv", "-o", "out", "--references", given)
    else:
        how = [*FAST, "--quiet", "--color-lines", 64, "--references", given]
        case.run("pipe", *how, stdin=base / "y4m.y4m", stdout=case.folder / "out.y4m")


_MANIFEST = """\
[origin.film]
weight = 0.5
likeness = 0.2

[[reference]]
picture = "a.png"
frame = 3
scope = "shot"
weight = 2.0
origin = "film"
shot = [0, 12]

[[reference]]
picture = "b.png"
time = 0.5
scope = [4, 20]
"""
_MANIFEST_KEYS = ("picture", "frame", "time", "scope", "weight", "origin", "shot", "likeness", "sha256", "other")
_SHOT_KEYS = (
    "number", "first", "last", "kind", "references", "strength", "grain", "sharpness", "levels", "saturation", "color",
    "skip",
)  # fmt: skip


def settings(case: Case, base: Path) -> None:
    """A `references.toml` or a `shots.toml` with values that nobody would write."""
    from mutations import damaged_bytes, damaged_toml

    rng = case.rng
    if rng.random() < 0.6:
        folder = case.folder / "refs"
        folder.mkdir()
        for name in ("a.png", "b.png"):
            shutil.copy(whole_picture(base, "png"), folder / name)
        file, text, keys = folder / "references.toml", _MANIFEST, _MANIFEST_KEYS
    else:
        folder = case.folder / "out.mkv.job"
        shutil.copytree(base / "planned", folder)
        file, keys = folder / "shots.toml", _SHOT_KEYS
        text = file.read_text()
    text, case.what = damaged_toml(text, keys, rng)
    data = text.encode()
    if rng.random() < 0.2:
        data, told = damaged_bytes(data, rng)
        case.what += f"; {told}"
    file.write_bytes(data)
    if folder.name == "refs":
        case.what = f"references.toml: {case.what}"
        if rng.random() < 0.4:
            case.run("references", "stamp", "refs", kept=r"refs/references\.toml")
        how = [*FAST, "--codec", "ffv1", "--color-lines", 64]
        case.run(
            "run", base / "mkv.mkv", "-o", "out.mkv", *how, "--references", rng.choice(("refs", "refs/references.toml"))
        )
    else:
        case.what = f"shots.toml: {case.what}"
        case.run("run", base / "mkv.mkv", "-o", "out.mkv", *PLANNED, kept=r"out\.mkv\.job")


PLANNED = [*FAST, "--codec", "ffv1", "--no-color", "--chunk", "8", "--job", "out.mkv.job"]


def jobs(case: Case, base: Path) -> None:
    """A finished job one of whose files is damaged: looked at, done again in part, run once more, twice if needed."""
    from mutations import damaged_bytes, damaged_json

    rng = case.rng
    name = rng.choice(("lossless", "final"))
    folder = case.folder / "out.mkv.job"
    shutil.copytree(base / name, folder)
    file = rng.choice([path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "lock"])
    if rng.random() < 0.1:
        file.unlink()
        told = "removed"
    elif file.suffix == ".json" and rng.random() < 0.7:
        held, told = damaged_json(json.loads(file.read_bytes()), rng)
        file.write_text(json.dumps(held))
    elif not file.stat().st_size:
        file.write_bytes(rng.randbytes(20))
        told = "random"
    else:
        data, told = damaged_bytes(file.read_bytes(), rng)
        file.write_bytes(data)
    case.what = f"{name}, {file.relative_to(folder)}: {told}"
    kept = r"out\.mkv\.job"
    case.run("status", "out.mkv.job", kept=kept)
    if rng.random() < 0.3:
        case.run("redo", "out.mkv.job", "--shot", "1", kept=kept)
    if rng.random() < 0.3:
        case.run("report", "out.mkv.job", "-o", "report", kept=kept)
    how = [*PLANNED, "--chunks", name]
    for _ in range(2):  # the advice is to run the same command again
        said = case.run("run", base / "mkv.mkv", "-o", "out.mkv", *how, kept=kept)
        if not said.status:
            break
    if not said.status and frames_of(case.folder / "out.mkv") != json.loads((base / f"{name}.frames").read_text()):
        case.problems.append("other frames than without damage")
    elif said.status and "/chunks/" in str(file):
        case.problems.append(f"a damaged chunk ends the job for good: {said.err.strip()[:160]}")


def frames_of(path: Path) -> list[Any]:
    """Time and checksum of every frame."""
    outcome = forked(lambda: _tell_frames(path), path.parent, None, None)
    return json.loads(outcome.out) if not outcome.status else []


def _tell_frames(path: Path) -> int:
    from job_films import heard_and_seen

    frames, _ = heard_and_seen(path)
    told = [[pts, hashlib.sha1(b"".join(planes)).hexdigest()] for pts, planes in frames]
    sys.stdout.write(json.dumps(told))
    return 0


def pipes(case: Case, base: Path) -> None:
    """y4m or raw frames that are damaged, and headers that promise anything."""
    from mutations import HUGE, SIZE, damaged_bytes

    rng = case.rng
    data = (base / "y4m.y4m").read_bytes()
    how: list[object] = []
    way = rng.choice(("bytes", "header", "raw"))
    if way == "bytes":
        data, case.what = damaged_bytes(data, rng, (b"YUV4MPEG2", b" W", b"FRAME"))
    elif way == "header":
        tags = ["W64", "H48", "F24:1", "Ip", "A1:1", "C420jpeg"]
        for _ in range(rng.choice((1, 1, 2))):
            number = rng.choice((*HUGE, 32768, 65536, 47, "", "ü", "1e9", "0x40", "4:2"))
            new = f"{rng.choice('WHFIACXZ')}{number}"
            new = rng.choice(
                (new, "C420p16", "C444p99", "Cmono", "Cmono16", "It", "XCOLORRANGE=FULL", "X", f"F{number}:0")
            )
            tags[rng.randrange(len(tags))] = new
        end = rng.choice(("\n", "\n", "\n", "\r\n", " ", ""))
        header, case.what = f"YUV4MPEG2 {' '.join(tags)}{end}", f"header {' '.join(tags)!r:.100}"
        data = header.encode() + data[data.index(b"\n") + 1 :]
    else:
        data = data[: rng.randrange(len(data))]
        size = rng.choice(
            ("64x48", "0x0", "5x3", "32768x32768", "99999x1", f"{SIZE[0]}x{1 << 40}", "1x32768", "64x", "-1x4")
        )
        fmt = rng.choice(("gray", "yuv420p", "rgb24", "gray16le", "yuv444p16le", "pal8", "nv12", ""))
        how = ["--format", "raw", "--size", size, "--pix-fmt", fmt]
        case.what = f"raw {size} {fmt}"
    source = case.folder / "in.y4m"
    source.write_bytes(data)
    how += [*FAST, "--quiet", "--no-color", "--strength", rng.choice(("0", "1")), "--scenes", "none"]
    case.run("pipe", *how, stdin=source, stdout=case.folder / "out.y4m")


def weights(case: Case, base: Path) -> None:
    """Weight files whose header or tensors are damaged, and pickles to import."""
    from mutations import damaged_bytes, damaged_json

    rng = case.rng
    if rng.random() < 0.35:
        return _pickles(case, base)
    network = rng.choice(("restorer", "colorizer"))
    data = (base / f"{network}.safetensors").read_bytes()
    if rng.random() < 0.6:
        size = int.from_bytes(data[:8], "little")
        header = json.loads(data[8 : 8 + size])
        if rng.random() < 0.6:  # what it says of itself
            config = json.loads(header["__metadata__"].get("config") or "{}")
            config, told = damaged_json(config or {"width": 8}, rng)
            header["__metadata__"]["config"] = json.dumps(config)
        else:
            header, told = damaged_json(header, rng)
        text = json.dumps(header).encode()
        data = len(text).to_bytes(8, "little") + text + data[8 + size :]
        if rng.random() < 0.2:
            data = data[: 8 + len(text)]
    else:
        data, told = damaged_bytes(data, rng)
    (case.folder / "w.safetensors").write_bytes(data)
    case.what = f"{network}: {told}"
    how = ["--device", "cpu", "--model", "w.safetensors", "--codec", "ffv1", "--color-lines", 64, "--end", 4]
    how += ["--no-color"] if network == "restorer" else ["--no-restore", "--references", whole_picture(base, "png")]
    case.run("run", base / "mkv.mkv", "-o", "out.mkv", *how)


class _Attack:
    """What a pickle may ask for."""

    def __reduce__(self) -> Any:
        return Path("harmed").touch, ()


def _pickles(case: Case, base: Path) -> None:
    import pickle

    import torch
    from mutations import damaged_bytes, value

    rng, file = case.rng, case.folder / "remasternet.pth.tar"
    state = {"conv.weight": torch.zeros(2, 3), "bn.running_mean": torch.zeros(2)}
    held = {
        rng.choice(("modelR", "netG", "x")): state,
        rng.choice(("modelC", "epoch", "y")): rng.choice((state, value(rng))),
    }
    way = rng.choice(("zip", "old", "attack", "values"))
    if way == "attack":
        file.write_bytes(pickle.dumps({"modelR": _Attack(), "modelC": state}))
    elif way == "values":
        file.write_bytes(pickle.dumps(value(rng)))
    else:
        torch.save(held, file, _use_new_zipfile_serialization=way == "zip")
    if rng.random() < 0.7:
        data, told = damaged_bytes(file.read_bytes(), rng)
        file.write_bytes(data)
        way += f", {told}"
    case.what = f"pickle: {way}"
    case.run("weights", "import", file.name)


KINDS: dict[str, Callable[[Case, Path], None]] = {
    "film": film,
    "pictures": pictures,
    "references": references,
    "settings": settings,
    "jobs": jobs,
    "pipes": pipes,
    "weights": weights,
}


# The program ----------------------------------------------------------------------------------------------------------


def make_base(base: Path) -> None:
    """What is whole: films, a picture, jobs, weights."""
    from mutations import FILMS, PICTURES, make_film, make_picture

    from vs_remaster import weights as shipped

    base.mkdir(parents=True)
    for name, film in FILMS.items():
        assert not apart(lambda name=name, film=film: make_film((base / name).with_suffix(film.suffix), film))
    for kind in PICTURES:
        file = base / f"{kind}.{kind.split()[0]}"
        assert not apart(lambda file=file, kind=kind: file.write_bytes(make_picture(kind)))
    for network in ("restorer", "colorizer"):
        shutil.copy(shipped.find(network, "fast"), base / f"{network}.safetensors")
    for name in ("planned", "lossless", "final"):
        more = ["--plan"] if name == "planned" else ["--chunks", name]
        said = run(["run", str(base / "mkv.mkv"), "-o", "out.mkv", *PLANNED, *more], base)
        assert not said.status, said.err
        (base / "out.mkv.job").rename(base / name)
        if name != "planned":
            (base / f"{name}.frames").write_text(json.dumps(frames_of(base / "out.mkv")))
            (base / "out.mkv").unlink()


def apart(work: Callable[[], object]) -> int:
    """Do something in a fork without bounds, since this process starts no threads; its exit status."""
    child = os.fork()
    if not child:
        status = 1
        try:
            work()
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def try_case(kind: str, seed: int, folder: Path, base: Path, results: Path) -> None:
    """Make a case, run it and add a line to the results; its folder stays where it breaks the rule."""
    place = folder / f"{kind}-{seed}"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    case = Case(kind, seed, place, random.Random(f"{kind} {seed}"))
    try:
        KINDS[kind](case, base)
    except Exception:
        case.problems.append(f"the test itself: {traceback.format_exc()[-900:]}")
    if not case.problems:
        shutil.rmtree(place)
    with results.open("a") as file:
        file.write(json.dumps(case.told()) + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="+", metavar="KIND:FIRST[:LAST]", help=", ".join(KINDS))
    parser.add_argument("--folder", type=Path, default=Path("/tmp/vs-remaster-fuzzing"), help="for what fails")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--results", type=Path, help="a line of JSON for every case")
    arguments = parser.parse_args()
    _warm()
    folder = arguments.folder.absolute()
    base = folder / "base"
    shutil.rmtree(base, ignore_errors=True)
    for name in ("DATA", "CACHE", "CONFIG"):
        os.environ[f"XDG_{name}_HOME"] = str(folder / "user")
    make_base(base)
    results = arguments.results or folder / "results.jsonl"
    results.unlink(missing_ok=True)
    told = [one.split(":") for one in arguments.cases]
    cases = [(kind, seed) for kind, first, *last in told for seed in range(int(first), int(*last or [int(first) + 1]))]
    cases.sort(key=lambda case: case[1])  # of every kind some, however little time there is
    end = time.monotonic() + 60 * arguments.minutes
    children = []
    for worker in range(arguments.jobs):
        child = os.fork()
        if not child:
            for kind, seed in cases[worker :: arguments.jobs]:
                if time.monotonic() > end:
                    break
                status = apart(lambda kind=kind, seed=seed: try_case(kind, seed, folder, base, results))
                if status:  # what makes damaged input is FFmpeg too
                    lost = {"kind": kind, "seed": seed, "what": "", "problems": [f"the test itself ends: {status}"]}
                    with results.open("a") as file:
                        file.write(json.dumps(lost) + "\n")
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)
    told = [json.loads(line) for line in results.read_text().splitlines()]
    wrong = sum(bool(one["problems"]) for one in told)
    sys.stdout.write(f"{failures(told)}\n{len(told)} cases tried, {wrong} break the rule; they are kept in {folder}\n")
    return bool(wrong)


def _warm() -> None:
    """Import everything before the first fork, in one thread."""
    import importlib
    import pkgutil

    import torch

    import vs_remaster

    torch.set_num_threads(1)
    for module in pkgutil.walk_packages(vs_remaster.__path__, "vs_remaster."):
        with contextlib.suppress(ImportError):
            importlib.import_module(module.name)


def try_cases(seeds: dict[str, range], folder: Path, minutes: float, jobs: int = 2) -> list[dict[str, Any]]:
    """Run this program; what it tells of every case.

    Args:
        seeds: of each kind.
        folder: for what fails.
        minutes: after which no case is begun.
        jobs: processes.
    """
    here = Path(__file__)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(here.parents[2]), os.environ.get("PYTHONPATH"))))
    cases = [f"{kind}:{each.start}:{each.stop}" for kind, each in seeds.items()]
    command = [sys.executable, here, *cases, "--folder", folder, "--minutes", str(minutes), "--jobs", str(jobs)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode in (0, 1) and "cases tried" in done.stdout, done.stderr
    return [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]


def failures(told: list[dict[str, Any]]) -> str:
    """What breaks the rule, and how to repeat it; empty where nothing does."""
    lines = []
    for one in told:
        if one["problems"]:
            repeat = f"python tests/support/fuzzing.py {one['kind']}:{one['seed']} --folder FOLDER"
            lines += [
                f"{one['kind']} {one['seed']} ({one['what']}): {'; '.join(one['problems'])}",
                f"  repeat: {repeat}",
            ]
            lines += [f"  {line}" for line in one.get("err", "").splitlines()[-4:]]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
