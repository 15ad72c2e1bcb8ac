"""What the nodes ask of ComfyUI while they work: progress, interrupt, folders, and how errors reach the page."""

from __future__ import annotations

import contextvars
import functools
import importlib
import logging
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from .images import to_rgb
from .library import color, errors, references, remaster

logger = logging.getLogger(__name__)

_EVERY = 0.5  # seconds between two previews
_SPEAK, _LOG = 1.0, 30.0  # seconds between two lines on a node, and in the log
_PREVIEW = 512  # pixels, its longer side
_NO_MEMORY = (
    "out of memory: give fewer frames at a time, or use Remaster Video, which takes no more for a longer film; for "
    "large frames lower tile and color_lines"
)
_NEEDED = {"av": ("av", (19, 0)), "cv2": ("opencv-python", (4, 12))}


def plain_errors[**Given, Made](execute: Callable[Given, Made]) -> Callable[Given, Made]:
    """Let the page show the library's one-line messages as they are, without the class and module they came from, and
    say what helps when memory runs out. (What a GPU lacks ComfyUI names itself, and unloads its models.)"""

    @functools.wraps(execute)
    def run(*args: Given.args, **kwargs: Given.kwargs) -> Made:
        try:
            return execute(*args, **kwargs)
        except errors.RemasterError as error:
            raise ValueError(str(error)) from error
        except (MemoryError, RuntimeError) as error:
            if not isinstance(error, MemoryError) and "can't allocate memory" not in str(error):
                raise
            raise MemoryError(_NO_MEMORY) from error

    return run


def check_interrupt() -> None:
    """Raise what ends a run when the user has pressed Cancel."""
    import comfy.model_management as management

    management.throw_exception_if_processing_interrupted()


class Progress:
    """The bar on a node, the picture under it, and with `speak` how fast it is and how long it will take.

    May be called from another thread than the one that made it.

    Args:
        total: frames there will be; None where that is not known.
        node: the node's id on the page.
        speak: also say it, on the node and in the log.
    """

    def __init__(self, total: int | None, node: str | None, speak: bool = False) -> None:
        from comfy.utils import ProgressBar

        self.frames = 0
        self.total = total
        self._node = node
        self._bar = ProgressBar(total or 1, node)
        self._context = contextvars.copy_context()
        self._shown = float("-inf")
        self._pace = Pace() if speak else None

    def done(self, frames: int, total: int | None = None) -> None:
        """So many frames are finished."""
        self.frames, self.total = frames, total or self.total
        self._update(max(frames, self.total or 1))
        self.speak("frame", frames, self.total)

    def speak(self, verb: str, frames: int, total: int | None) -> None:
        """Say how far a stage of the work is, but not all the time."""
        if self._pace is None:
            return
        text = self._pace.text(verb, frames, total)
        if self._pace.is_due("node", _SPEAK):
            self._context.run(say, text, self._node)
        if self._pace.is_due("log", _LOG):
            logger.info("Remaster Video: %s", text)

    def look(self, picture: remaster.Picture) -> None:
        """Show a picture, unless one was shown just now."""
        now = time.monotonic()
        if now - self._shown >= _EVERY:
            self._shown = now
            self._update(self._bar.total, ("JPEG", _thumbnail(picture), _PREVIEW))

    def _update(self, total: int, preview: Any = None) -> None:
        # ComfyUI finds the run that a message belongs to in the context of the thread that works on it
        self._context.run(self._bar.update_absolute, self.frames, total, preview)


class Pace:
    """How fast frames are made; `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._verb = ""
        self._first, self._began = 0, clock()
        self._told: dict[str, float] = {}

    def text(self, verb: str, frames: int, total: int | None) -> str:
        """A line such as `frame 120 of 500, 3.2 frames/s, 1:58 left`; `verb`: of a stage, each has its own pace."""
        if verb != self._verb:
            self._verb, self._first, self._began = verb, frames, self._clock()
        seconds = self._clock() - self._began
        made = frames - self._first
        text = f"{verb} {frames}" + (f" of {total}" if total else "")
        if made <= 0 or seconds <= 0:
            return text
        text += f", {made / seconds:.1f} frames/s"
        return text + (f", {_clock((total - frames) * seconds / made)} left" if total and total > frames else "")

    def is_due(self, where: str, every: float) -> bool:
        """Whether so many seconds have gone by since this was last true; the first ones are waited for too."""
        now = self._clock()
        due = now - self._told.setdefault(where, now) >= every
        if due:
            self._told[where] = now
        return due


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _thumbnail(picture: remaster.Picture) -> Any:
    from PIL import Image

    height, width = picture.luma.shape[-2:]
    scale = min(1.0, _PREVIEW / max(height, width))
    size = max(1, round(height * scale)), max(1, round(width * scale))

    def small(planes: torch.Tensor) -> torch.Tensor:
        return F.interpolate(planes[None].float(), size, mode="bilinear", antialias=True, align_corners=False)[0]

    rgb = to_rgb(small(picture.luma), None if picture.chroma is None else small(picture.chroma))
    return Image.fromarray((rgb * 255).round().to(torch.uint8).contiguous().cpu().numpy())


def say(text: str, node: str | None) -> None:
    """Show a line on a node; where no page is served it goes to nobody."""
    server = sys.modules.get("server")
    if node and hasattr(server, "PromptServer"):
        server.PromptServer.instance.send_progress_text(text, node)


def copied_by_save_video(hidden: Any) -> bool:
    """Whether a node's first output goes into Save Video, which is to keep its codec."""
    link, graph = [hidden.unique_id, 0], hidden.prompt or {}
    savers = (one["inputs"] for one in graph.values() if one["class_type"] == "SaveVideo")
    return any(inputs.get("video") == link and inputs.get("codec", "auto") == "auto" for inputs in savers)


_made: dict[str, Path] = {}
_lost: Counter[str] = Counter()


def made(node: str | None, output: Path) -> None:
    """Remember what a node has made, for `times_lost`."""
    if node:
        _made[node] = output


def times_lost(node: str | None) -> int:
    """How often what a node made was found to be deleted: it is to be made again then, once."""
    if node in _made and not _made[node].exists():
        del _made[node]
        _lost[node] += 1
    return _lost[node or ""]


def need(module: str) -> None:
    """Say what to do where ComfyUI's Python has an older version of a package than we need.

    Raises:
        UnsupportedError: it has.
    """
    name, wanted = _NEEDED[module]
    found = importlib.import_module(module).__version__
    numbers = tuple(int(number) for number in re.findall(r"\d+", found)[:2])
    if numbers < wanted:
        raise errors.UnsupportedError(
            f"{name} {found} is too old, {'.'.join(map(str, wanted))} or newer is needed: run pip install -U {name} "
            "with the Python of ComfyUI"
        )


def scratch_folder() -> str:
    """ComfyUI's folder for temporary files."""
    import folder_paths

    folder = folder_paths.get_temp_directory()
    Path(folder).mkdir(parents=True, exist_ok=True)
    return folder


def check_look(saturation_hues: str | None, lut: str | None) -> None:
    """What can be known of a look before there are pictures; None: what is plugged in is not known yet.

    Raises:
        InputError: hues that cannot be read, or a table that is not there or cannot be read.
    """
    color.HueGain.all_of(saturation_hues or "")
    if lut and lut.strip():
        color.Lut.of(existing(lut, "lut"))


def existing(path: str, what: str) -> Path:
    """The file or folder that a user means: a whole path, or a name in ComfyUI's input folder.

    Raises:
        InputError: nothing is there.
    """
    import folder_paths

    text = path.strip().strip("\"'")
    if not text:
        raise errors.InputError(f"{what} is empty: write the path, or the name in ComfyUI's input folder")
    given = Path(text).expanduser()
    places = [given] if given.is_absolute() else [Path(folder_paths.get_annotated_filepath(text)), given.absolute()]
    for place in places:
        if place.exists():
            return place
    raise errors.InputError(f"{what}: there is nothing at {' or '.join(map(str, places))}: check the path")


def stamp(path: str) -> tuple:
    """What changes when the file or folder at a path does; for ComfyUI, to tell whether a node must run again."""
    try:
        place = existing(path, "path")
        files = sorted(place.iterdir()) if place.is_dir() else [place]
        return tuple((str(file), file.stat().st_mtime_ns, file.stat().st_size) for file in files)
    except (errors.RemasterError, OSError):
        return (path,)


def output_file(prefix: str, suffix: str, what: str = "filename_prefix") -> tuple[Path, str]:
    """A new file in ComfyUI's output folder, numbered as its own nodes do, and the sub-folder it lies in.

    Raises:
        InputError: `what`, the input that names it, leads elsewhere.
    """
    import folder_paths

    try:
        folder, name, counter, subfolder, _ = folder_paths.get_save_image_path(
            prefix, folder_paths.get_output_directory()
        )
    except Exception as error:
        if type(error) is not Exception:  # what ComfyUI raises for a prefix that leads out of the output folder
            raise
        raise errors.InputError(f"{what} {prefix!r} leads out of the output folder: use another") from error
    return Path(folder) / f"{name}_{counter:05}_{suffix}", subfolder


def output_folder(name: str) -> tuple[Path, str]:
    """A folder in ComfyUI's output folder, and its name there as the page knows it; it need not be there.

    Raises:
        InputError: it leads elsewhere.
    """
    import folder_paths

    outputs = Path(folder_paths.get_output_directory()).absolute()
    text = name.strip().strip("\"'").removesuffix("[output]").strip()
    place = Path(os.path.normpath(outputs / text))
    if not text or place == outputs or outputs not in place.parents:
        raise errors.InputError(f"folder {name!r} is none in the output folder: write a name such as references")
    return place, place.relative_to(outputs).as_posix()


_DEEP, _MANY = 3, 400  # folders that are looked through for pictures


def picture_folders() -> list[str]:
    """The folders with pictures in ComfyUI's input and output folders, as `existing` understands them; never empty."""
    import folder_paths

    found = list(_with_pictures(Path(folder_paths.get_input_directory()), ""))
    found += _with_pictures(Path(folder_paths.get_output_directory()), " [output]")
    return found or ["references"]


def _with_pictures(root: Path, mark: str) -> Iterator[str]:
    waiting, looked = [(root, 0)], 0
    while waiting and looked < _MANY:
        folder, depth = waiting.pop(0)
        looked += 1
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError:
            continue
        files = (entry.name for entry in entries if not entry.name.startswith("."))
        if folder != root and any(Path(name).suffix.lower() in references.image_files.EXTENSIONS for name in files):
            yield folder.relative_to(root).as_posix() + mark
        if depth < _DEEP:
            inside = (entry for entry in entries if entry.is_dir() and not entry.name.startswith("."))
            waiting += [(Path(entry.path), depth + 1) for entry in inside if not entry.name.endswith(".job")]


def valid(check: Callable[[], Any]) -> bool | str:
    """What `validate_inputs` returns: True, or the message of what is wrong."""
    try:
        check()
    except errors.RemasterError as error:
        return str(error)
    return True
