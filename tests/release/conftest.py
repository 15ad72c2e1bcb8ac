"""A ComfyUI server of our own for the tests of the nodes: headless, on the CPU, gone without a trace afterwards."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

PACK = "vs-remaster"
BYPASSED = 4  # mode of a node
VIRTUAL = ("Note", "MarkdownNote", "Reroute")  # nodes that the page keeps to itself

# Nodes that hand tensors in and out as they are: the server's own image nodes know 8 bits only.
TEST_NODES = """
import os

import folder_paths
import numpy as np
import torch
from aiohttp import web
from comfy_execution.progress import get_progress_state
from server import PromptServer


@PromptServer.instance.routes.get("/remaster_test/progress")
async def progress(request):
    state = get_progress_state()
    return web.json_response([state.prompt_id, {key: node["value"] for key, node in state.nodes.items()}])


class LoadTensor:
    CATEGORY, FUNCTION, RETURN_TYPES = "test", "load", ("IMAGE",)

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"file": ("STRING", {})}}

    @classmethod
    def IS_CHANGED(cls, file):
        return os.stat(os.path.join(folder_paths.get_input_directory(), file)).st_mtime_ns

    def load(self, file):
        return (torch.from_numpy(np.load(os.path.join(folder_paths.get_input_directory(), file))),)


class Save:
    CATEGORY, FUNCTION, RETURN_TYPES, OUTPUT_NODE = "test", "save", (), True

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"value": ("*", {}), "file": ("STRING", {})}}

    @classmethod
    def VALIDATE_INPUTS(cls, input_types):
        return True

    def save(self, value, file):
        path = os.path.join(folder_paths.get_output_directory(), file)
        if isinstance(value, str):
            with open(path, "w", encoding="utf-8") as out:
                out.write(value)
        else:
            with open(path, "wb") as out:
                np.save(out, value.numpy())
        return {}


NODE_CLASS_MAPPINGS = {"RemasterTestLoad": LoadTensor, "RemasterTestSave": Save}
"""


class Prompt(dict[str, Any]):
    """A graph in the form the server runs; a link is a pair of a node's id and the number of its output."""

    def add(self, class_type: str, **inputs: Any) -> str:
        """Add a node and return its id."""
        name = str(1 + max((int(key) for key in self if key.isdecimal()), default=0))
        self[name] = {"class_type": class_type, "inputs": inputs}
        return name

    def find(self, class_type: str) -> str:
        """The id of the only node of a class."""
        (name,) = [key for key, node in self.items() if node["class_type"] == class_type]
        return name

    def inputs(self, class_type: str) -> dict[str, Any]:
        """The inputs of the only node of a class; what is set there is sent."""
        return self[self.find(class_type)]["inputs"]

    def keep(self, link: Any, file: str) -> None:
        """Write what comes over a link to `file` in the server's output folder: a string as text, else .npy."""
        self.add("RemasterTestSave", value=link, file=file)


def write_film(path: Path, frames: Sequence[np.ndarray], sound: np.ndarray | None = None) -> None:
    """Write R'G'B' pictures `[H, W, 3]` of 8 bits, 25 a second, as H.264, and a sound `[1, samples]` of 8 kHz as AAC;
    there may be none of either."""
    with av.open(path, "w") as container:
        if len(frames):
            picture = container.add_stream("libx264", rate=25, options={"crf": "10", "threads": "1"})
            picture.height, picture.width = frames[0].shape[:2]
            picture.pix_fmt = "yuv420p"
        if sound is not None:
            track = container.add_stream("aac", rate=8000, layout="mono")
        if len(frames):
            for frame in frames:
                container.mux(picture.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
            container.mux(picture.encode(None))
        if sound is not None:
            samples = av.AudioFrame.from_ndarray(sound.astype(np.float32), "fltp", "mono")
            samples.sample_rate = 8000
            container.mux(track.encode(samples))
            container.mux(track.encode(None))


class ComfyUI:
    """A running server.

    Attributes:
        url: where it answers.
        base: its folder, which holds `input`, `output` and `models`.
    """

    def __init__(self, source: Path, python: str, base: Path, pack: Path) -> None:
        self.base = base
        for name in ("models/remaster", "custom_nodes", "input", "output", "temp", "user"):
            (base / name).mkdir(parents=True)
        (base / "custom_nodes" / PACK).symlink_to(pack, target_is_directory=True)
        (base / "custom_nodes" / "remaster_test_nodes.py").write_text(TEST_NODES)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        command = [python, "main.py", "--cpu", "--listen", "127.0.0.1", "--port", str(port), "--base-directory", base]
        command += ["--disable-auto-launch", "--disable-api-nodes", "--database-url", f"sqlite:///{base}/comfyui.db"]
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"}
        self.log = base / "server.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, cwd=source, stdout=log, stderr=log, env=environment)
        self._wait_until_it_answers()

    def _wait_until_it_answers(self) -> None:
        for _ in range(600):
            if self.process.poll() is not None:
                break
            try:
                self.get("/system_stats")
                return
            except OSError:
                time.sleep(0.5)
        self.close()
        pytest.fail(f"ComfyUI did not start:\n{self.log.read_text(errors='replace')[-4000:]}")

    def close(self) -> None:
        """End the server."""
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def get(self, path: str) -> Any:
        """The answer to a request, decoded if it is JSON, else as bytes."""
        return self._open(urllib.request.Request(self.url + path))

    def post(self, path: str, value: Any) -> Any:
        """Send JSON; what the server refuses with a reason (status 400) is an answer too."""
        data = json.dumps(value).encode()
        return self._open(urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"}))

    @staticmethod
    def _open(request: urllib.request.Request) -> Any:
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                kind, data = answer.headers.get_content_type(), answer.read()
        except urllib.error.HTTPError as error:
            if error.code != 400:
                raise
            kind, data = "application/json", error.read()
        return json.loads(data) if kind == "application/json" and data else data

    def start(self, prompt: Prompt) -> str:
        """Queue a graph and return the run's id."""
        answer = self.post("/prompt", {"prompt": prompt})
        assert "prompt_id" in answer, f"the server refused the graph: {json.dumps(answer, indent=1)}"
        return answer["prompt_id"]

    def wait(self, run: str, timeout: float = 1200) -> dict[str, Any]:
        """The record of a run when it has ended."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            record = self.get(f"/history/{run}")
            if record:
                return record[run]
            assert self.process.poll() is None, self.log.read_text(errors="replace")[-4000:]
            time.sleep(0.2)
        raise TimeoutError(f"still running after {timeout} s:\n{self.log.read_text(errors='replace')[-4000:]}")

    def run(self, prompt: Prompt) -> dict[str, Any]:
        """Run a graph that must succeed; return its outputs."""
        record = self.wait(self.start(prompt))
        event, details = record["status"]["messages"][-1]
        assert record["status"]["completed"], "\n".join(
            [event, details.get("exception_message", ""), *details.get("traceback", [])]
        )
        return record["outputs"]

    def fail(self, prompt: Prompt) -> dict[str, Any]:
        """Run a graph that must fail; return what the page shows: `exception_message`, `exception_type` and more."""
        record = self.wait(self.start(prompt))
        event, details = record["status"]["messages"][-1]
        assert event == "execution_error", record["status"]
        return details

    def progress(self, run: str, node: str) -> float:
        """How many frames a node has done in a run; 0 before it starts."""
        current, nodes = self.get("/remaster_test/progress")
        return nodes.get(node, 0) if current == run else 0

    def interrupt(self, run: str, node: str, frames: int) -> dict[str, Any]:
        """Stop a run when a node has done so many frames; return its record."""
        while not self.get(f"/history/{run}") and self.progress(run, node) < frames:
            time.sleep(0.02)
        self.post("/interrupt", {"prompt_id": run})
        return self.wait(run)

    def memory(self) -> int:
        """Resident memory of the server in bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
        return 1024 * int(line.split()[1])

    def tensor(self, file: str) -> np.ndarray:
        """What a graph kept under this name."""
        return np.load(self.base / "output" / file)

    def put(self, file: str, values: np.ndarray) -> str:
        """Hand values in, for the node RemasterTestLoad."""
        np.save(self.base / "input" / file, values)
        return file

    def put_film(self, file: str, frames: Sequence[np.ndarray], sound: np.ndarray | None = None) -> Path:
        """Hand a film in, see `write_film`."""
        path = self.base / "input" / file
        write_film(path, frames, sound)
        return path

    @staticmethod
    def empty() -> Prompt:
        """A graph without nodes."""
        return Prompt()

    def prompt(self, workflow: dict[str, Any]) -> Prompt:
        """Turn a workflow as the page saves it into the form the server runs."""
        return to_prompt(workflow, self.get("/object_info"))


def to_prompt(workflow: dict[str, Any], kinds: dict[str, Any]) -> Prompt:
    """Turn a workflow as the page saves it into the form the server runs.

    Args:
        workflow: the saved JSON.
        kinds: what the server says of its nodes at /object_info.
    """
    nodes = {node["id"]: node for node in workflow["nodes"]}
    sources = {link[0]: (link[1], link[2]) for link in workflow["links"]}

    def source(link: int) -> list[Any] | None:
        node, slot = sources[link]
        if nodes[node]["type"] == "Reroute":
            return source(nodes[node]["inputs"][0]["link"])
        if nodes[node]["mode"] == BYPASSED:  # hands on what comes into it of the same type
            kind = nodes[node]["outputs"][slot]["type"]
            through = [one["link"] for one in nodes[node]["inputs"] if one["type"] == kind and one.get("link")]
            return source(through[0]) if through else None
        return [str(node), slot]

    prompt = Prompt()
    for node in nodes.values():
        if node["type"] in VIRTUAL or node["mode"] == BYPASSED:
            continue
        inputs = _widgets(node, kinds[node["type"]]["input"])
        links = {slot["name"]: source(slot["link"]) for slot in node.get("inputs", []) if slot.get("link") is not None}
        inputs |= {name: link for name, link in links.items() if link is not None}
        prompt[str(node["id"])] = {"class_type": node["type"], "inputs": inputs}
    return prompt


def _widgets(node: dict[str, Any], groups: dict[str, Any]) -> dict[str, Any]:
    """Name the values of a node's widgets; some inputs have a second widget of the page's own behind theirs, and what a
    graph is too old for has its default."""
    values = iter(node.get("widgets_values", []))
    named = {}
    for name, (kind, *rest) in {**groups.get("required", {}), **groups.get("optional", {})}.items():
        options = rest[0] if rest else {}
        if not isinstance(kind, list) and kind not in ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"):
            continue
        if options.get("forceInput"):
            continue
        named[name] = next(values, options.get("default"))
        if any(options.get(key) for key in ("control_after_generate", "image_upload", "video_upload")):
            next(values, None)
    return named


@pytest.fixture(scope="session")
def comfyui(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ComfyUI]:
    """A ComfyUI server with this checkout among its node packs."""
    source = os.environ.get("VS_REMASTER_COMFYUI")
    if not source:
        pytest.skip("needs VS_REMASTER_COMFYUI=folder of a ComfyUI checkout")
    python = os.environ.get("VS_REMASTER_COMFYUI_PYTHON", sys.executable)
    server = ComfyUI(Path(source), python, tmp_path_factory.mktemp("comfyui") / "base", root)
    yield server
    server.close()
