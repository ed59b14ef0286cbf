"""The widget in a real JupyterLab: kernel, messages, browser."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from geofovea.pipeline.session.session import SceneSession

pytestmark = pytest.mark.slow

QUESTION = "What is the color of the plane at the airport?"
TOKEN = "only-for-this-test"


@pytest.fixture
def notebook(tmp_path: Path, scene_path: Path) -> Path:
    """Two cells: one that shows the scene, one that prints what came of it."""
    # takes seconds to import, which every worker would spend on collecting tests
    import nbformat

    cells = [
        f"import geofovea as gf\nwidget = gf.show({str(scene_path)!r}, height=520)\nwidget",
        "print('ANSWER', widget.answer.text, len(widget.answers))",
    ]
    path = tmp_path / "work" / "try.ipynb"
    path.parent.mkdir()
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    book.metadata["kernelspec"] = {
        "name": "python3",
        "display_name": "Python 3 (ipykernel)",
        "language": "python",
    }
    nbformat.write(book, path)
    return path


@pytest.fixture
def lab(notebook: Path, tmp_path: Path) -> Iterator[str]:
    """The address of a JupyterLab over the folder of the notebook."""
    own = {f"JUPYTER_{name}_DIR": str(tmp_path / name) for name in ("CONFIG", "DATA", "RUNTIME")}
    command = [sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root"]
    options = [
        "--ip=127.0.0.1",
        "--port=0",
        f"--IdentityProvider.token={TOKEN}",
        f"--ServerApp.root_dir={notebook.parent}",
        "--LabApp.news_url=None",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]
    log = (tmp_path / "lab.log").open("w")
    process = subprocess.Popen(
        [*command, *options], env=os.environ | own, stdout=log, stderr=subprocess.STDOUT
    )
    try:
        yield _address(process, tmp_path)
    finally:
        process.terminate()
        process.wait(30)
        log.close()


def _address(process: subprocess.Popen[bytes], folder: Path) -> str:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, (folder / "lab.log").read_text()[-2000:]
        for path in (folder / "RUNTIME").glob("jpserver-*.json"):
            facts = json.loads(path.read_text() or "{}")
            if facts:
                address = f"http://127.0.0.1:{facts['port']}/"
                urllib.request.urlopen(f"{address}api?token={TOKEN}", timeout=30).close()
                return address
        time.sleep(0.2)
    raise AssertionError((folder / "lab.log").read_text()[-2000:])


@pytest.mark.timeout(600)
def test_a_scene_is_shown_and_asked_in_jupyterlab_and_the_saved_notebook_keeps_the_answer(
    chromium: Any, lab: str, notebook: Path, sessions: dict[str, SceneSession]
) -> None:
    context = chromium.new_context(viewport={"width": 1360, "height": 900})
    try:
        page = context.new_page()
        page.set_default_timeout(120_000)
        page.goto(f"{lab}lab/tree/try.ipynb?token={TOKEN}&reset")
        page.locator(".jp-Notebook .jp-CodeCell").first.click()
        page.locator(".jp-Notebook.jp-mod-editMode, .jp-Notebook").first.wait_for()
        page.get_by_text("| Idle").first.wait_for()
        page.keyboard.press("Shift+Enter")
        page.locator(".geofovea[data-ready]").wait_for()
        page.locator(".gf-map-cell[data-renders]").wait_for()
        page.get_by_label("Question", exact=True).fill(QUESTION)
        page.get_by_role("button", name="Ask", exact=True).click()
        page.locator(".geofovea[data-ended='1']").wait_for()
        expected = sessions["1"].ask(QUESTION).text
        expect(page.locator(".geofovea .gf-text")).to_have_text(expected)
        assert page.locator(".gf-ladder li").count() >= 2
        if folder := os.environ.get("GEOFOVEA_SCREENSHOTS"):
            page.screenshot(path=f"{folder}/jupyterlab.png")
        page.locator(".jp-Notebook .jp-CodeCell").nth(1).locator(".jp-InputArea-editor").click()
        page.keyboard.press("Shift+Enter")
        page.get_by_text(f"ANSWER {expected} 1").wait_for()
        # what the saved notebook keeps is drawn after the answer is there
        page.locator(".jp-OutputArea details summary").get_by_text(QUESTION).wait_for()
        page.keyboard.press("Control+s")
        deadline = time.monotonic() + 60
        while "data:image/webp" not in notebook.read_text():
            assert time.monotonic() < deadline, "the notebook was not saved"
            time.sleep(0.2)
    finally:
        context.close()
    import nbformat

    outputs = nbformat.read(notebook, 4).cells[0].outputs
    html = "".join(output.get("data", {}).get("text/html", "") for output in outputs)
    assert QUESTION in html
    assert "data:image/webp" in html
