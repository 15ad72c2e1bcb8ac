"""The documentation: links lead somewhere, code blocks run, and options, messages and names are those of the program.

Every page with code is run in a folder of its own. What a command reads (`film.mkv`, `references/`) is made as a tiny
film the first time that it is named. A block or line that cannot be run has its reason in `NOT_RUN`, and is parsed all
the same.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import cv2
import pytest
import torch

import vs_remaster
from export.to_onnx import main as export_onnx
from tests.support.job_films import write_film, write_reference, write_references
from vs_remaster import cli, pipe
from vs_remaster.film.masks import Masks
from vs_remaster.models.fill import Fill
from vs_remaster.remaster import filling

ROOT = Path(__file__).parents[1]
IGNORED = {"_build", "build", "demo", "dist", "runs"}


def markdown_files() -> Iterator[Path]:
    """The Markdown files of the tree."""
    for folder, below, files in os.walk(ROOT):
        below[:] = sorted(name for name in below if name not in IGNORED and not name.startswith("."))
        yield from (Path(folder, name) for name in sorted(files) if name.endswith(".md"))


PAGES = list(markdown_files())
SMALL = {"--model": "fast", "--color-lines": "64", "--device": "cpu"}
"""Added to a command that does not say otherwise: the smaller networks on small pictures."""

NOT_RUN = {
    "--workers": "starts processes: tests/test_jobs.py does",
    "--ray": "needs a Ray cluster: tests/release/test_ray.py starts one",
    "weights import": "needs the authors' weights, which are not shipped: tests/test_weight_files.py makes some",
    "--model deepremaster": "needs the authors' weights, which are not shipped",
    "--model rtn": "needs the authors' weights, which are not shipped",
}
"""What a line of shell or a block of Python has in it, and why it is parsed and not run."""
PLUGINS = ("bm3d", "ort", "vivtc", "znedi3", "zsmooth")
"""Of VapourSynth: blocks that use one run where it is installed."""
PARSED = {
    "make": "sets up a virtual environment",
    "pip": "installs packages",
    "cd": "names a folder of ComfyUI",
    "git": "clones this repository",
    "sh": "sets up a virtual environment",
    "ray": "starts a cluster",
    "vapoursynth": "changes the user's settings",
    "vspipe": "tests/test_vspipe.py runs the scripts",
    "ruff": "rewrites files",
    "export": "needs training data, or minutes",
}  # fmt: skip


class Block(NamedTuple):
    language: str
    line: int
    text: str


def blocks(page: Path) -> Iterator[Block]:
    """The fenced code blocks of a page."""
    text = page.read_text(encoding="utf-8")
    for found in re.finditer(r"^( *)```([^\n`]*)\n(.*?)^\1```$", text, re.M | re.S):
        body = re.sub(f"^{found[1]}", "", found[3], flags=re.M)
        yield Block(found[2].strip(), text.count("\n", 0, found.start()) + 1, body)


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return re.sub(r"^( *)```.*?^\1```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)


def having(*languages: str) -> list[pytest.ParameterSet]:
    pages = [page for page in PAGES if any(block.language in languages for block in blocks(page))]
    return [pytest.param(page, id=page.relative_to(ROOT).as_posix()) for page in pages]


def plugin_of(block: Block) -> str | None:
    """The plugin that a block of Python uses."""
    return next((plugin for plugin in PLUGINS if f"core.{plugin}." in block.text), None)


def reason(text: str) -> str | None:
    """Why something is not run; None: it is."""
    return next((why for mark, why in NOT_RUN.items() if mark in text), None)


# Links


def anchors(page: Path) -> set[str]:
    """The headings of a page as GitHub names them."""
    names = re.findall(r"^#+ +(.*)$", prose(page), re.M)
    return {
        re.sub(r"[^\w\- ]", "", re.sub(r"[`*]|\]\([^)]*\)", "", name)).strip().lower().replace(" ", "-")
        for name in names
    }


@pytest.mark.parametrize("page", [pytest.param(page, id=page.relative_to(ROOT).as_posix()) for page in PAGES])
def test_links_lead_to_something(page):
    for link in re.findall(r"\]\(([^()\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.is_relative_to(ROOT) and target.exists(), f"{page.name}: {link}"
        if anchor:
            assert anchor in anchors(target), f"{page.name}: {target.name} has no heading for #{anchor}"


# Python


@pytest.mark.parametrize("page", having("python"))
def test_python_blocks(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = python_names(tmp_path)
    for block in blocks(page):
        if block.language == "python":
            code = compile("\n" * block.line + block.text, str(page), "exec")
            if plugin_of(block) is None:
                exec(code, names)
    if page.name == "vapoursynth.md":
        frame = names["clip"].get_frame(5)
        assert (frame.format.name, frame.width) == ("YUV444P16", 80)
        assert {"RemasterDamage", "RemasterReferenceWeights", "RemasterSceneStart"} <= set(frame.props)
    if page.name == "python.md":
        assert names["coloured"].shares.shape == (20, 2) and names["restored"].mask.shape == (20, 1, 64, 96)
        assert names["done"].frames == 20 and names["status"] == 0


WITH_PLUGINS = [
    pytest.param(page, block, id=f"{page.stem}-{plugin_of(block)}")
    for page in PAGES
    for block in blocks(page)
    if block.language == "python" and plugin_of(block)
]


@pytest.mark.parametrize("page, block", WITH_PLUGINS)
def test_python_blocks_with_a_plugin(page, block, tmp_path, monkeypatch):
    vs = pytest.importorskip("vapoursynth")
    package = {"ort": "vapoursynth-mlrt-ort"}.get(plugin_of(block), f"vapoursynth-{plugin_of(block)}")
    assert f"`{package}`" in page.read_text() or package in block.text, "which package has it?"
    if not hasattr(vs.core, plugin_of(block)):
        pytest.skip(f"needs {package}: pip install {package}")
    monkeypatch.chdir(tmp_path)
    names = python_names(tmp_path) | {"vs": vs, "core": vs.core, "vs_remaster": vs_remaster}
    for path in re.findall(r'"([\w-]+)-channels\.onnx"', block.text):
        pytest.importorskip("onnxruntime")
        model, precision = re.fullmatch(r"restorer-(\w+)-fp(\d+)", path).groups()
        export_onnx(["restorer", "--model", model, "--channels", "--out", ".", *["--fp16"] * (precision == "16")])
    exec(compile("\n" * block.line + block.text, str(page), "exec"), names)
    clips = [value for value in names.values() if isinstance(value, vs.VideoNode)]
    assert all(clip.get_frame(min(3, len(clip) - 1)).width for clip in clips)
    if plugin_of(block) == "ort":
        luma, restored = names["luma"], names["restored"]
        assert (restored.num_frames, restored.width, restored.height) == (luma.num_frames, luma.width, luma.height)
        number, held = vs.core.std.BlankClip(luma, length=3), [0.2, 0.4, 0.6]
        number = vs.core.std.Splice([number[0].std.BlankClip(color=value, length=1) for value in held])
        for k, wanted in ((-21, 0.2), (-1, 0.2), (0, 0.4), (1, 0.6), (21, 0.6)):
            moved = names["shifted"](number, k)
            assert len(moved) == 3 and moved.get_frame(1)[0][0, 0] == pytest.approx(wanted)


def python_names(folder: Path) -> dict[str, object]:
    """What blocks may use without having made it."""
    vs = pytest.importorskip("vapoursynth")
    for name in ("film.mkv", "references", "frames", "hair", "keep", "dirtmap.mkv"):
        put(folder / name)
    gray = vs.core.std.BlankClip(None, 96, 64, vs.GRAY8, 6)
    colour = vs.core.std.BlankClip(None, 48, 32, vs.YUV444P8, 6)
    return {"luma": torch.rand(4, 1, 64, 96), "clip": gray, "luma_clip": gray, "chroma_clip": colour}


# Shell


def lines_of(block: Block) -> list[str]:
    """The commands of a block, one a line, with the variables that it sets."""
    text = re.sub(r"\\\n", " ", block.text)
    text = re.sub(r"\|\n", "| ", text)
    values: dict[str, str] = {}
    out = []
    for line in re.findall(r"^ *([^#\s].*)$", text, re.M):
        line = re.sub(r'"\$(\w+)"', lambda found: shlex.quote(values.get(found[1], found[0])), line)
        line = re.sub(r"\$([A-Z]\w*)", lambda found: values.get(found[1], found[0]), line)
        if setting := re.fullmatch(r"""([A-Z]+)=(["'])(.*)\2""", line):
            values[setting[1]] = setting[3]
        else:
            out.append(line)
    return out


@pytest.mark.parametrize("page", having("sh", "bash", "console"))
def test_shell_blocks(page, tmp_path, monkeypatch, capfd, ffmpeg):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for block in blocks(page):
        if block.language not in ("sh", "bash", "console"):
            continue
        for line in lines_of(block):
            try:
                run_line(line, tmp_path, monkeypatch, ffmpeg)
            except (Exception, SystemExit) as error:
                told = capfd.readouterr()
                raise AssertionError(f"{page.name}:{block.line}: {line}\n{error!r}\n{told.out}{told.err}") from error


def run_line(line: str, folder: Path, monkeypatch: pytest.MonkeyPatch, ffmpeg: str) -> None:
    parts = [shlex.split(part, comments=True) for part in re.split(r"\s\|\s", line)]
    words = parts[0]
    program = Path(words[0]).name
    if program.startswith("python") and len(words) > 2 and words[2].startswith("export."):
        parse_export(words[2], words[3:], monkeypatch)
    elif program == "torchrun":
        at = words.index("-m")
        parse_export(words[at + 1], words[at + 2 :], monkeypatch)
    elif program == "ffmpeg":
        run_pipe(parts, line, folder, monkeypatch, ffmpeg)
    elif program == "vs-remaster":
        assert len(parts) == 1
        if reason(line):
            parse_program(words[1:])
        else:
            run_program(words[1:], folder)
    else:
        if program.startswith("python") and (words[1].endswith("install.py") or words[2:3] == ["pip"]):
            program = "pip"
        assert program in PARSED, f"neither run nor known: {program}"
        check_words(program, words, line)


def parse_program(arguments: list[str]) -> None:
    """Refuses what the command line refuses, and does nothing."""
    with pytest.MonkeyPatch.context() as patch:
        stop_after_parsing(patch)
        with pytest.raises(Parsed):
            cli.main(arguments)


def parse_export(module: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        stop_after_parsing(patch)
        patch.setattr(sys, "argv", [module, *arguments])
        with pytest.raises(Parsed):
            found = importlib.import_module(module)
            if hasattr(found, "__path__"):  # a package is run by its `__main__`
                found = importlib.import_module(f"{module}.__main__")
            found.main()


class Parsed(Exception):
    """The arguments are right."""


def stop_after_parsing(patch: pytest.MonkeyPatch) -> None:
    whole = argparse.ArgumentParser.parse_args

    def parse_args(self: argparse.ArgumentParser, *given: object, **named: object) -> None:
        whole(self, *given, **named)
        raise Parsed

    patch.setattr(argparse.ArgumentParser, "parse_args", parse_args)


def run_program(arguments: list[str], folder: Path) -> None:
    """Run the command line in this process on tiny films; graphs for ONNX Runtime are exported, and kept here, but for
    the network that fills: tests/release/test_fill_onnx.py."""
    if "onnxruntime" in arguments:
        pytest.importorskip("onnxruntime")
    for before, word in pairwise(arguments):
        if before not in ("-o", "--output", "--job", "--report", "--shares", "--masks"):
            put(folder / word)
    for option, value in SMALL.items():
        if option not in arguments and option in options_of(arguments):
            arguments = [*arguments, option, value]
    with pytest.MonkeyPatch.context() as patch:
        if "onnxruntime" in arguments:
            patch.setattr(filling, "make_fill", lambda engine, device: Fill())
        assert cli.main(arguments) == 0


def options_of(arguments: list[str]) -> set[str]:
    """The options that a command of the program has."""
    parser = cli_parser()
    for word in arguments:
        below = subcommands(parser)
        if word not in below:
            break
        parser = below[word]
    return set(parser._option_string_actions)


def cli_parser() -> argparse.ArgumentParser:
    """The parser of the command line, caught when it is about to parse."""
    with pytest.MonkeyPatch.context() as patch:
        caught = []

        def parse_args(self: argparse.ArgumentParser, *given: object) -> None:
            caught.append(self)
            raise Parsed

        patch.setattr(argparse.ArgumentParser, "parse_args", parse_args)
        with pytest.raises(Parsed):
            cli.main(["run"])
    return caught[0]


def subcommands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    return next((action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction)), {})


def run_pipe(parts: list[list[str]], line: str, folder: Path, monkeypatch: pytest.MonkeyPatch, ffmpeg: str) -> None:
    """Run `ffmpeg | vs-remaster pipe | ffmpeg`, the middle of it in this process."""
    first, middle, last = parts
    assert (middle[:2], last[0]) == (["vs-remaster", "pipe"], "ffmpeg")
    for word in (*first, *middle):
        put(folder / word)
    film, made = folder / "to-pipe", folder / "from-pipe"
    film.write_bytes(subprocess.run([ffmpeg, *first[1:]], check=True, capture_output=True).stdout)
    with film.open("rb", 0) as source, made.open("wb", 0) as sink, monkeypatch.context() as patch:
        patch.setattr(pipe, "standard_streams", lambda: (source, sink))
        run_program(middle[1:], folder)
    with made.open("rb") as frames:
        subprocess.run([ffmpeg, "-y", *last[1:]], check=True, stdin=frames, capture_output=True)
    assert (folder / last[-1]).stat().st_size > 1000


def check_words(program: str, words: list[str], line: str) -> None:
    """What can be checked of a line that is not run."""
    if program == "make":
        targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.M)
        assert next(word for word in words[1:] if "=" not in word) in targets, line
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    if program == "pip":
        for name in re.findall(r"\[(\w+)\]", line):
            assert name in extras, line
    for word in words:
        if word.endswith((".vpy", ".ci/setup")) or word.endswith(("requirements.txt", "install.py")):
            assert (ROOT / word.removeprefix("vs-remaster/")).is_file(), line


def put(path: Path) -> None:
    """Make what a command reads, where it is named for the first time."""
    if path.exists():
        return
    if path.name == "image-model.safetensors":
        shutil.copyfile(ROOT / "weights" / "colorizer-automatic.safetensors", path)
    elif path.suffix == ".cube":
        path.write_text("LUT_1D_SIZE 2\n0 0 0.1\n1 0.9 0.8\n")
    elif path.name in ("film.mkv", "old.mkv"):
        write_film(path, (12, 12))
    elif path.name in ("coloured.mkv", "dvd.mp4"):
        write_film(path, (12, 12), looks={0: "coloured", 1: "coloured"})
    elif path.name == "references":
        write_references(path)
    elif path.name in ("hair", "keep"):
        path.mkdir()
        write_mask(path / "frame_000012.png")
    elif path.name == "dirtmap.mkv":
        write_film(path, (12, 12), looks={0: "black"})
    elif path.name == "frames":
        path.mkdir()
        for number in range(3):
            write_reference(path / f"{number:06d}.png", (40, 90, 200))
    elif path.name == "restorer-best.safetensors":
        path.parent.mkdir(parents=True)
        shutil.copyfile(ROOT / "weights" / "restorer-fast.safetensors", path)


def write_mask(path: Path) -> None:
    mask = torch.zeros(64, 96, dtype=torch.uint8)
    mask[30:33, 20:70] = 255
    path.write_bytes(cv2.imencode(".png", mask.numpy())[1].tobytes())


# Settings, options, messages and names


@pytest.mark.parametrize("page", having("toml"))
def test_toml_blocks(page, tmp_path):
    for number, block in enumerate(block for block in blocks(page) if block.language == "toml"):
        held = tomllib.loads(block.text)
        assert held
        if "mask" in held:
            folder = tmp_path / f"masks{number}"
            folder.mkdir()
            for entry in held["mask"]:
                write_mask(folder / entry["picture"])
            (folder / "masks.toml").write_text(block.text)
            acting = [n for n in range(400) if Masks(folder, "repair").at(n, (64, 96)) is not None]
            assert acting == [*range(95), *range(120, 340)]
        if "reference" in held:
            folder = tmp_path / str(number)
            write_references(folder)
            for entry in held["reference"]:
                shutil.copyfile(folder / "ref_0.png", folder / entry["picture"])
            (folder / "references.toml").write_text(block.text)
            loaded = {one.name: one for one in vs_remaster.load_references(folder)}
            assert loaded["0000120.png"].scope == "shot" and loaded["postcard.jpg"].weight == 0.5


def test_every_language_is_known():
    """A block of another kind would never be looked at."""
    known = {"python", "sh", "toml", "", "{toctree}", "{eval-rst}"}
    assert {block.language for page in PAGES for block in blocks(page)} <= known


def test_commands_in_the_text_are_parsed(monkeypatch):
    found = 0
    for page in PAGES:
        for code in re.findall(r"`(python -m export\.\w+ [^`]*--[^`]*)`", prose(page)):
            words = shlex.split(code.replace("...", "FILE"))
            if words[2] != "export.publish":  # a script without `main`
                parse_export(words[2], words[3:], monkeypatch)
                found += 1
    assert found > 30


def test_every_option_of_run_is_described():
    text = (ROOT / "docs/restoring.md").read_text() + (ROOT / "docs/jobs.md").read_text()
    rows = re.findall(r"^\| (.*?) (?<!\\)\|", text, re.M)
    described = {option for row in rows for option in re.findall(r"(?<![\w-])--[a-z][a-z-]*", row)}
    wanted = {option for option in options_of(["run"]) if option.startswith("--")} - {"--help", "--output"}
    assert wanted <= described, sorted(wanted - described)


def test_every_option_that_is_named_exists():
    parser = cli_parser()
    known = set(parser._option_string_actions)
    for command in subcommands(parser).values():
        for one in (command, *subcommands(command).values()):
            known |= set(one._option_string_actions)
    for name in ("get-started", "restoring", "colouring", "jobs", "pipes", "engines", "troubleshooting"):
        for code in re.findall(r"`([^`\n]*)`", prose(ROOT / f"docs/{name}.md")):
            if not re.match(r"(python|pytest|pip|ray|vspipe|make|apt|ffmpeg|--(check|channels|fp16))\b", code):
                unknown = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", code)) - known - {"--release"}
                assert not unknown, f"{name}: {code}"


def test_messages_are_those_of_the_program():
    said = [
        text
        for path in (ROOT / "vs_remaster").rglob("*.py")
        for text in texts(ast.parse(path.read_text(encoding="utf-8")))
    ]
    said.append((ROOT / ".ci/setup").read_text())
    missing = []
    for cells in re.findall(r"^\|(.*)\|$", (ROOT / "docs/troubleshooting.md").read_text(), re.M):
        first = re.split(r"(?<!\\)\|", cells)[0]
        told = re.findall(r"`([^`]+ [^`]+)`", first)
        missing += [message for message in told if not any(message in text for text in said)]
    assert not missing


def texts(tree: ast.AST) -> Iterator[str]:
    """Every string of a module; what an f-string fills in is left out."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.JoinedStr):
            yield "".join(part.value if isinstance(part, ast.Constant) else "\0" for part in node.values)


def test_the_reference_has_every_public_name():
    text = (ROOT / "docs/api.md").read_text()
    entries = re.findall(r"^\.\. auto\w+:: vs_remaster\.(\w+)$", text, re.M)
    assert {*entries, "__version__"} == set(vs_remaster.__all__)
    table = re.search(r"import from `vs_remaster` .*?\n\n", text, re.S)[0]
    assert set(re.findall(r"`(\w+)`", table)) - {"vs_remaster"} == set(vs_remaster.__all__)
    for package, listed in re.findall(r"^\| `(vs_remaster\.\w+)`: (.*?) \|", text, re.M):
        entries = re.findall(rf"^\.\. auto\w+:: {package}\.(\w+)$", text, re.M)
        assert set(re.findall(r"`(\w+)`", listed)) == set(entries) <= set(importlib.import_module(package).__all__)


def test_places_in_the_map_exist():
    folders = ["vs_remaster", "tests", "weights"]
    if (ROOT / "export/training").is_dir():
        folders.append("export")
    for page in ("docs/inside.md", "CONTRIBUTING.md", "docs/experiments.md", "docs/training.md"):
        found = re.findall(rf"`((?:{'|'.join(folders)})/[\w/.]*)`", (ROOT / page).read_text())
        assert found, page
        for path in found:
            assert (ROOT / path).exists(), f"{page}: {path}"


@pytest.mark.parametrize("page", [pytest.param(page, id=page.relative_to(ROOT).as_posix()) for page in PAGES])
def test_rows_of_a_table_have_the_cells_of_its_head(page):
    """A `|` inside of code ends a cell too, unless it is written `\\|`."""
    cells = 0
    for line in prose(page).splitlines():
        count = len(re.findall(r"(?<!\\)\|", line)) if line.startswith("|") else 0
        assert count == (cells or count) or not count, line
        cells = count
