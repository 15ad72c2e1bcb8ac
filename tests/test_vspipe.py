"""Scripts as users run them: in vspipe, piped into an encoder, and in cores that come and go."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest

from vs_remaster.video.reader import VideoReader

vs = pytest.importorskip("vapoursynth", reason="needs VapourSynth: pip install 'vs-remaster[vapoursynth]'")

SCRIPT = """
import numpy as np
import vapoursynth as vs
import vs_remaster

def picture(n, f):
    out = f.copy()
    y, x = np.mgrid[:64, :96]
    wave = np.sin((x + 2 * n) / 9) * np.cos(y / 7) if n < 11 else np.cos(y / 4 + np.sin(x / 11 + n / 5))
    np.copyto(np.asarray(out[0]), np.rint(32768 + 16000 * wave).astype(np.uint16))
    return out

blank = vs.core.std.BlankClip(None, 96, 64, vs.GRAY16, 20, 18000, 1001, keep=True)
clip = blank.std.ModifyFrame(blank, picture).std.SetFrameProps(_Matrix=1, _Range=0)
exact = {"device": "cpu", "precision": "fp32"}
clip = vs_remaster.restore(clip, **exact)
clip = vs_remaster.colorize(clip, REFERENCES, color_lines=64, **exact)
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory) -> dict[str, str]:
    """An environment in which vspipe finds this Python, without touching the user's configuration."""
    home = str(tmp_path_factory.mktemp("home"))
    env = os.environ | {"XDG_CONFIG_HOME": home, "HOME": home, "APPDATA": home}
    subprocess.run([sys.executable, "-m", "vapoursynth", "config"], env=env, check=True, capture_output=True)
    return env


@pytest.fixture(scope="module")
def vspipe() -> str:
    """The program as installed beside this Python."""
    found = Path(sysconfig.get_path("scripts")) / ("vspipe.exe" if os.name == "nt" else "vspipe")
    if not found.exists():
        pytest.skip("vspipe is not installed beside this Python")
    return str(found)


def written_script(folder: Path, root: Path, end: str) -> Path:
    path = folder / "film.vpy"
    path.write_text(SCRIPT.replace("REFERENCES", repr(str(root / "tests/data/references"))) + end, encoding="utf-8")
    return path


def hashes(frames) -> list[str]:
    return [
        hashlib.sha256(b"".join(np.ascontiguousarray(p).tobytes() for p in planes)).hexdigest() for planes in frames
    ]


def test_a_script_goes_through_vspipe_into_an_encoder(tmp_path, root, vspipe, environment, ffmpeg):
    """Every frame arrives in the file as it is in the script; one and eight threads give the same."""
    end = "clip = clip.resize.Bicubic(format=vs.YUV420P10)\nclip.set_output()\n"
    made = {}
    for threads in (1, 8):
        script = written_script(tmp_path, root, f"vs.core.num_threads = {threads}\n{end}")
        path = tmp_path / f"{threads}.mkv"
        with subprocess.Popen([vspipe, "-c", "y4m", str(script), "-"], env=environment, stdout=subprocess.PIPE) as pipe:
            command = [ffmpeg, "-v", "error", "-i", "-", "-c:v", "ffv1", str(path)]
            subprocess.run(command, stdin=pipe.stdout, check=True)
            pipe.stdout.close()
            assert pipe.wait(60) == 0
        with VideoReader(path) as reader:
            made[threads] = [frame.planes for frame in reader]
            assert (reader.info.pix_fmt, str(reader.info.fps)) == ("yuv420p10le", "18000/1001")
    scope: dict = {}
    exec(compile(script.read_text(encoding="utf-8"), str(script), "exec"), scope)
    vs.clear_outputs()
    direct = [[np.asarray(f[i]) for i in range(3)] for f in scope["clip"].frames()]
    assert len(direct) == 20
    assert hashes(made[1]) == hashes(made[8]) == hashes(direct)


@pytest.mark.parametrize(
    "end, message",
    [
        ("vs_remaster.restore(clip, strength=7)", "restore: strength must be between 0 and 1, got 7"),
        pytest.param(
            "vs_remaster.restore(clip.std.SetFieldBased(2), **exact).set_output()",
            "restore: clip is interlaced",
            marks=pytest.mark.release,  # as the one above, in another program
        ),
    ],
)
def test_vspipe_shows_the_error(end, message, tmp_path, root, vspipe, environment):
    command = [vspipe, "-c", "y4m", str(written_script(tmp_path, root, end)), "-"]
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert done.returncode != 0 and message in done.stderr.decode()


@pytest.mark.parametrize("name", ["restore", "colorize"])
def test_the_example_scripts_run(name, tmp_path, root, vspipe, environment, ffmpeg):
    """From any folder, on a film of full range, whose black and white arrive as black and white."""
    if not hasattr(vs.core, "bs"):
        pytest.skip("needs the source plugin vapoursynth-bestsource")
    source, made = tmp_path / "old.mkv", tmp_path / "new.mkv"
    ramp = np.tile(np.linspace(0, 255, 96).round().astype(np.uint8), (3, 64, 1)).tobytes()
    raw = [ffmpeg, "-v", "error", "-f", "rawvideo", "-pix_fmt", "gray", "-s", "96x64", "-r", "24", "-i", "-"]
    options = ["-vf", "scale=out_range=pc", "-pix_fmt", "yuv420p", "-color_range", "pc", "-c:v", "ffv1"]
    subprocess.run([*raw, *options, str(source)], input=ramp, check=True)
    given = ["-a", f"source={source}", "-a", f"references={root / 'tests/data/references'}"]
    command = [vspipe, "-c", "y4m", *given, str(root / f"examples/{name}.vpy"), "-"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, cwd=tmp_path) as pipe:
        tags = ["-color_range", "tv", "-c:v", "ffv1"]
        subprocess.run([ffmpeg, "-v", "error", "-i", "-", *tags, str(made)], stdin=pipe.stdout, check=True)
        pipe.stdout.close()
        assert pipe.wait(120) == 0
    with VideoReader(made) as reader:
        lumas = [frame.planes[0].astype(float) for frame in reader]
        assert (reader.info.bits, reader.info.full_range) == (10, False)
    assert len(lumas) == 3
    assert abs(lumas[1][:, 2].mean() - 64 - 876 * 2 / 95) < 40 and abs(lumas[1][:, -3].mean() - 940 + 876 * 2 / 95) < 40


RELOAD = """
import gc, hashlib, sys, threading, weakref
import numpy as np
import vapoursynth as vs


class Policy(vs.EnvironmentPolicy):
    # One environment at a time, as an editor with a preview has that reloads its script.
    current = None

    def on_policy_registered(self, api):
        self.api = api

    def on_policy_cleared(self):
        self.current = None

    def get_current_environment(self):
        return self.current

    def set_environment(self, environment):
        old, self.current = self.current, environment
        return old

    def is_alive(self, environment):
        return environment is not None and environment is self.living


policy = Policy()
vs.register_policy(policy)
import vs_remaster
from vs_remaster.filters import definitions as filters

alive = weakref.WeakSet()


class Watched(filters.Colorizer):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        alive.add(self)


filters.Colorizer = Watched


def run():
    scope = {}
    exec(SCRIPT, scope)
    whole = hashlib.sha256()
    for frame in scope["clip"][5:15].frames():
        for plane in range(3):
            whole.update(np.ascontiguousarray(frame[plane]).tobytes())
        frame.close()
    assert len(alive) == 1
    return whole.hexdigest()


made = []
for _ in range(2):
    environment = policy.api.create_environment()
    policy.living = environment
    policy.set_environment(environment)
    made.append(run())
    gc.collect()
    vs.core.core.clear_cache()
    policy.api.destroy_environment(environment)
    policy.living = policy.current = None
    del environment
    gc.collect()
    assert not alive, "something holds the colorizer of a core that is gone"
assert made[0] == made[1], made
print("the same")
"""


def test_a_core_that_is_reloaded_gives_the_same_and_leaves_nothing(tmp_path, root):
    script = SCRIPT.replace("REFERENCES", repr(str(root / "tests/data/references")))
    code = tmp_path / "reload.py"
    code.write_text(f"SCRIPT = {script!r}\n{RELOAD}", encoding="utf-8")
    done = subprocess.run([sys.executable, str(code)], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "the same", done.stderr
