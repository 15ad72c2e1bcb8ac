"""The report's page in a headless Chromium: no error, nothing wider than a phone, a slider that works by keyboard."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from vs_remaster.report.make import make_report

SAMPLE = Path(__file__).parents[1] / "data"

# Goes through every shot as a visitor does, then tells the page round it what came of it.
VISIT = """
<script>
const failed = [];
addEventListener("error", (event) => failed.push(String(event.message || event.target.src)), true);
addEventListener("load", () => {
  const wide = document.documentElement.scrollWidth;
  const before = document.getElementById("before");
  const sizes = [before.naturalWidth, before.naturalHeight];
  const names = [];
  for (const button of document.querySelectorAll(".strip button")) {
    button.click();
    names.push(document.getElementById("name").textContent);
  }
  const cut = document.getElementById("cut");
  cut.focus();
  cut.value = 20;
  cut.dispatchEvent(new Event("input"));
  const told = {
    failed, wide, names, sizes, inner: innerWidth, focused: document.activeElement === cut,
    clip: getComputedStyle(before).clipPath, width: before.getBoundingClientRect().width,
    facts: document.querySelectorAll("#facts dd").length,
    bands: [...document.querySelectorAll(".now")].map((band) => Number(band.getAttribute("width"))),
  };
  parent.postMessage(JSON.stringify(told), "*");
});
</script>
"""

# A window cannot be as narrow as a phone, a frame in it can.
AROUND = """<!DOCTYPE html>
<title>around</title>
<script>
addEventListener("message", (event) => {
  const note = document.createElement("pre");
  note.id = "told";
  note.textContent = event.data;
  document.body.append(note);
});
</script>
<iframe src="visit.html" style="width: WIDTHpx; height: 1000px; border: 0"></iframe>
"""


@pytest.fixture(scope="module")
def chromium() -> str:
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        pytest.skip("needs Chromium")
    return program


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report on the sample as it is: one of its shots has a reference."""
    folder = tmp_path_factory.mktemp("page") / "report"
    make_report(SAMPLE / "sample.mkv", SAMPLE / "sample.mkv", folder, [SAMPLE / "references" / "frame-0025.png"])
    page = (folder / "index.html").read_text(encoding="utf-8")
    (folder / "visit.html").write_text(page.replace("<head>", "<head>" + VISIT), encoding="utf-8")
    return folder


def load(chromium: str, page: Path) -> tuple[str, str]:
    """The page's document when it is done, and what its console said."""
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--enable-logging=stderr"]
    flags += ["--window-size=1400,1200", "--hide-scrollbars", "--virtual-time-budget=5000", "--dump-dom"]
    done = subprocess.run([chromium, *flags, page.as_uri()], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout, "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_works_on_a_phone_and_on_a_desktop(chromium, report, width):
    around = report / f"around-{width}.html"
    around.write_text(AROUND.replace("WIDTH", str(width)), encoding="utf-8")
    document, console = load(chromium, around)
    assert console == ""
    told = json.loads(re.search(r'id="told">(.*?)</pre>', document)[1])
    assert told["failed"] == []
    assert told["inner"] == width
    assert told["wide"] <= width
    assert told["names"][:2] == [f"Shot {shot}, frame {frame}" for shot, frame in shots(report)]
    assert told["focused"]
    assert told["clip"].startswith("inset(0px 80% 0px 0px")
    assert told["sizes"] == [640, 272] and told["width"] > 0.5 * min(width, 640)
    assert told["facts"] >= 6
    assert len(told["bands"]) == 3 and all(0 < band < 1000 for band in told["bands"])


def test_the_page_itself_says_nothing_on_the_console(chromium, report):
    document, console = load(chromium, report / "index.html")
    assert console == ""
    assert "Shot 1, frame" in document


def shots(report: Path) -> list[tuple[int, int]]:
    told = json.loads((report / "report.json").read_text(encoding="utf-8"))
    return [(shot["number"], shot["frame"]) for shot in told["shots"]]
