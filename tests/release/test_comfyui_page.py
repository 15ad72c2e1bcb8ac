"""The nodes on ComfyUI's page, in a headless Chromium; needs a ComfyUI checkout, Chromium and the package playwright.

Screenshots go to the folder VS_REMASTER_SCREENSHOTS, else to the test's own.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

WORKFLOWS = sorted((Path(__file__).parents[2] / "example_workflows").glob("*.json"))


@pytest.fixture(scope="module")
def browser(comfyui: Any) -> Iterator[Any]:
    """A headless Chromium."""
    api = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        pytest.skip("needs Chromium")
    with api.sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        browser = playwright.chromium.launch(executable_path=program, headless=True, args=flags)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Any, comfyui: Any) -> Iterator[Any]:
    """ComfyUI's page with an empty graph."""
    comfyui.post("/settings", {"Comfy.TutorialCompleted": True})  # else the first visit opens the templates
    page = browser.new_page(viewport={"width": 1600, "height": 1000})
    page.goto(comfyui.url)
    ready = "!!(window.app?.graph && window.LiteGraph?.registered_node_types.SaveVideo)"
    page.wait_for_function(ready, timeout=120_000)
    page.wait_for_timeout(3000)
    page.evaluate("() => app.graph.clear()")
    page.wait_for_timeout(500)
    yield page
    page.close()


@pytest.fixture
def shoot(page: Any, tmp_path: Path) -> Callable[[str], None]:
    """Takes a picture of the page under a name."""
    folder = Path(os.environ.get("VS_REMASTER_SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    return lambda name: page.screenshot(path=folder / f"{name}.png")


def test_search_finds_every_node(page, shoot, comfyui):
    kinds = comfyui.get("/object_info")
    names = {
        kind["display_name"] for kind in kinds.values() if kind["category"] == "remaster" and not kind.get("deprecated")
    }
    assert names
    page.mouse.dblclick(700, 500)
    page.wait_for_timeout(700)
    page.keyboard.type("remaster")
    page.wait_for_timeout(1500)
    found = page.locator("li[role=option]").all_inner_texts()
    shoot("search")
    assert [name for name in names if not any(name in text for text in found)] == []


def test_an_input_explains_itself_under_the_pointer(page, shoot, comfyui):
    inputs = comfyui.get("/object_info/RemasterRestore")["RemasterRestore"]["input"]["required"]
    tooltip = inputs["strength"][1]["tooltip"]
    x, y = page.evaluate(
        """() => {
            const node = LiteGraph.createNode('RemasterRestore');
            app.graph.add(node);
            node.pos = [400, 300];
            app.canvas.ds.reset();
            app.canvas.draw(true, true);
            const widget = node.widgets.find(w => w.name === 'strength');
            return [node.pos[0] + 60, node.pos[1] + widget.last_y + 10];
        }"""
    )
    box = page.locator("canvas#graph-canvas").bounding_box()
    page.mouse.move(box["x"] + x - 20, box["y"] + y)
    page.mouse.move(box["x"] + x, box["y"] + y, steps=5)
    page.wait_for_timeout(2500)
    shoot("tooltip")
    assert tooltip in page.locator(".node-tooltip").inner_text()


def test_the_templates_are_offered_and_open(page, shoot):
    page.evaluate("() => app.extensionManager.command.execute('Comfy.BrowseTemplates')")
    page.wait_for_timeout(1500)
    page.get_by_text("vs-remaster", exact=False).first.click()
    page.wait_for_timeout(1500)
    for path in WORKFLOWS:
        assert page.get_by_text(path.stem, exact=True).first.is_visible(), path.stem
    page.wait_for_timeout(1500)
    shoot("templates")
    sizes = page.evaluate("() => [...document.querySelectorAll('[role=dialog] img')].map(i => i.naturalWidth)")
    assert sizes == [480] * len(WORKFLOWS)
    page.get_by_text("Restore a clip", exact=True).first.click()
    page.wait_for_function("app.graph.nodes.some(n => n.type === 'RemasterRestore')", timeout=20_000)
    page.wait_for_timeout(1500)
    shoot("workflow")


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_the_page_reads_a_workflow_as_the_tests_do(page, shoot, comfyui, path):
    saved = json.loads(path.read_text(encoding="utf-8"))
    page.evaluate("saved => app.loadGraphData(saved, true, true)", saved)
    page.wait_for_timeout(1500)
    shoot(path.stem)
    theirs = page.evaluate("() => app.graphToPrompt().then(prompt => prompt.output)")
    ours = comfyui.prompt(saved)
    assert theirs.keys() == ours.keys()
    for name, node in ours.items():
        assert theirs[name]["class_type"] == node["class_type"]
        # the page adds values of its own widgets, such as a player's
        assert {key: theirs[name]["inputs"].get(key) for key in node["inputs"]} == node["inputs"], node["class_type"]


OVERLAPS = """() => {
    const boxes = app.graph.nodes.map(node => {
        const element = document.querySelector(`[data-node-id="${node.id}"]`);
        const [width, height] = element ? [element.offsetWidth, element.offsetHeight - 30] : node.size;
        return [node.title, node.pos[0], node.pos[1] - 30, node.pos[0] + width, node.pos[1] + height];
    });
    return boxes.flatMap((a, i) => boxes.slice(i + 1).filter(
        b => a[1] < b[3] && b[1] < a[3] && a[2] < b[4] && b[2] < a[4]).map(b => [a[0], b[0]]));
}"""


@pytest.mark.parametrize("modern", [False, True], ids=["classic", "nodes-2"])
def test_nothing_overlaps_in_the_workflows(page, shoot, modern):
    page.evaluate("modern => app.ui.settings.setSettingValueAsync('Comfy.VueNodes.Enabled', modern)", modern)
    page.wait_for_timeout(1000)
    found = {}
    for path in WORKFLOWS:
        page.evaluate("saved => app.loadGraphData(saved, true, true)", json.loads(path.read_text(encoding="utf-8")))
        page.wait_for_timeout(1200)
        page.evaluate("() => app.extensionManager.command.execute('Comfy.Canvas.FitView')")
        page.wait_for_timeout(1200)
        shoot(f"{path.stem}-{'nodes-2' if modern else 'classic'}")
        found[path.stem] = page.evaluate(OVERLAPS)
    alerts = page.locator(".p-toast-message").all_inner_texts()
    page.evaluate("() => app.ui.settings.setSettingValueAsync('Comfy.VueNodes.Enabled', false)")
    assert not any(found.values()), found
    assert not [text for text in alerts if "schema" in text]


def test_the_model_of_a_workflow_is_switched_on_with_its_nodes(page):
    """One command takes the bypass off a node with others inside, and off these."""
    (path,) = [path for path in WORKFLOWS if path.stem == "Try it with an image-edit model"]
    page.evaluate("saved => app.loadGraphData(saved, true, true)", json.loads(path.read_text(encoding="utf-8")))
    page.wait_for_timeout(1500)
    modes = """() => {
        const node = app.graph.nodes.find(n => n.subgraph);
        return [node.mode, ...node.subgraph.nodes.map(n => n.mode)];
    }"""
    assert set(page.evaluate(modes)) == {4}
    page.evaluate("() => app.canvas.selectNodes([app.graph.nodes.find(n => n.subgraph)])")
    page.evaluate("() => app.extensionManager.command.execute('Comfy.Canvas.ToggleSelectedNodes.Bypass')")
    page.wait_for_timeout(500)
    assert set(page.evaluate(modes)) == {0}


def test_a_run_shows_progress_and_the_result(page, shoot, comfyui, root):
    film = comfyui.base / "input" / "sample.mkv"
    shutil.copy(root / "tests/data/sample.mkv", film)
    page.evaluate(
        """path => {
            const node = LiteGraph.createNode('RemasterVideo');
            app.graph.add(node);
            node.pos = [500, 150];
            const set = (name, value) => { node.widgets.find(w => w.name === name).value = value; };
            set('path', path);
            set('colorize', false);
            set('filename_prefix', 'page/film');
            window.seen = [];
            app.api.addEventListener('progress', event => seen.push(event.detail.value));
            window.previews = 0;
            window.finished = false;
            app.api.addEventListener('execution_success', () => { finished = true; });
            app.api.addEventListener('b_preview_with_metadata', () => { previews += 1; });
            app.queuePrompt(0);
        }""",
        str(film),
    )
    page.wait_for_function("seen.length > 3", timeout=120_000)
    page.wait_for_timeout(500)
    shoot("running")
    assert page.evaluate("previews") > 0
    page.wait_for_function("finished", timeout=300_000)
    page.wait_for_timeout(2000)
    shoot("result")
    values = page.evaluate("seen")
    assert values == sorted(values) and values[-1] == 87
    (output,) = page.evaluate("() => Object.values(app.nodeOutputs).flatMap(output => output.images ?? [])")
    assert (comfyui.base / "output" / output["subfolder"] / output["filename"]).is_file()
    assert output["filename"] in page.locator("body").inner_text()


@pytest.mark.parametrize("modern", [False, True], ids=["classic", "nodes-2"])
def test_a_film_that_is_done_is_played_on_its_node(page, shoot, comfyui, root, modern):
    """Not the last of the pictures that were shown while it was made."""
    film = comfyui.base / "input" / "played.mkv"
    shutil.copy(root / "tests/data/sample.mkv", film)
    page.evaluate("modern => app.ui.settings.setSettingValueAsync('Comfy.VueNodes.Enabled', modern)", modern)
    page.wait_for_timeout(1000)
    page.evaluate(
        """path => {
            const node = LiteGraph.createNode('RemasterVideo');
            app.graph.add(node);
            node.pos = [500, 60];
            app.canvas.ds.scale = 0.5;
            app.canvas.ds.offset = [0, 100];
            const set = (name, value) => { node.widgets.find(w => w.name === name).value = value; };
            set('path', path);
            set('colorize', false);
            set('end', 40);
            set('filename_prefix', 'page/played');
            window.previews = 0;
            window.finished = false;
            app.api.addEventListener('execution_success', () => { finished = true; });
            app.api.addEventListener('b_preview_with_metadata', () => { previews += 1; });
            app.queuePrompt(0);
        }""",
        str(film),
    )
    page.wait_for_function("finished", timeout=300_000)
    page.wait_for_timeout(3000)
    shoot(f"played-{'nodes-2' if modern else 'classic'}")
    assert page.evaluate("previews") > 0
    (output,) = page.evaluate("() => Object.values(app.nodeOutputs).flatMap(output => output.images ?? [])")
    players = page.evaluate(
        """() => [...document.querySelectorAll('video')].map(
            v => [v.currentSrc || v.querySelector('source')?.src || '', v.videoWidth, v.clientWidth])"""
    )
    page.evaluate("() => app.ui.settings.setSettingValueAsync('Comfy.VueNodes.Enabled', false)")
    assert len(players) == 1
    source, width, shown = players[0]
    assert output["filename"] in source and width == 640 and 50 < shown < 800  # on the node, not on all of the page
    text = page.locator("body").inner_text()
    assert "failed to load" not in text.lower() and "error loading" not in text.lower()


def test_an_error_is_shown_whole(page, shoot, comfyui):
    page.evaluate(
        """() => {
            const node = LiteGraph.createNode('RemasterVideo');
            app.graph.add(node);
            node.pos = [500, 150];
            node.widgets.find(w => w.name === 'path').value = 'nowhere.mkv';
            app.queuePrompt(0);
        }"""
    )
    page.wait_for_timeout(4000)
    shoot("error")
    assert "nowhere.mkv" in page.locator("body").inner_text()
