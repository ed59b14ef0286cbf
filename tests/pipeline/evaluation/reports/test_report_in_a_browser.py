"""A browser shows the page as it is meant, under its own strict policy, on any width."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from geofovea.pipeline.evaluation.reports.failures import FailurePages
from geofovea.pipeline.evaluation.reports.report_page import (
    item_page,
    item_page_name,
    report_page,
)

CHROMIUM = shutil.which("chromium")
HOSTILE = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
SCORES = {
    "figures": {"official": {"OA": {"value": 0.6, "low": 0.5, "high": 0.7, "count": 9}}},
    "blind": {"OA": {"value": 0.4, "low": 0.3, "high": 0.5, "count": 9}},
    "groups": {},
}


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (300, 500, 3), np.uint8)).save(tmp_path / "a.png")
    item = {
        "question_id": HOSTILE, "category": "count", "question": HOSTILE * 3, "answer": HOSTILE,
        "truth": ["3"], "confidence": None, "image": "a.png", "boxes": [[10, 10, 60, 60]],
        "looks": [{"level": 0, "tiles": [[0, 0, 100, 100], [100, 0, 200, 100]]}],
        "verdicts": {"official": {"correct": False, "rule": "different", "taken": HOSTILE}},
        "warnings": [HOSTILE],
    }  # fmt: skip
    name = item_page_name(item)
    wide = ("figure", *(f"column {n}" for n in range(12)))
    table = (wide, [["OA", *("12.34 [10.00, 15.00]" for _ in range(12))]])
    page = report_page(
        "toy", ["note: " + HOSTILE], [("Scores", table)], [item], tmp_path, {"command": HOSTILE},
        scores=SCORES, about=[("command", "x" * 300)], links=[FailurePages(f"report-items/{name}")],
    )  # fmt: skip
    (tmp_path / "report-items").mkdir()
    (tmp_path / "report.html").write_text(page, encoding="utf-8")
    (tmp_path / "report-items" / name).write_text(item_page(item, tmp_path), encoding="utf-8")
    return tmp_path


@pytest.fixture
def browser():
    sync_api = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("no chromium here")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def opened(browser, path: Path, **context):
    """The page, and what it complained of or asked for besides itself."""
    page, told = browser.new_context(**context).new_page(), []
    page.on("console", lambda message: told.append(message.text))
    page.on("request", lambda r: None if r.url.startswith("data:") else told.append(r.url))
    page.goto(path.as_uri())
    assert told == [path.as_uri()], "nothing is fetched, and the policy has nothing to refuse"
    return page


@pytest.mark.slow
def test_the_pages_work_in_a_browser(folder, browser):
    for scheme in ("light", "dark"):
        page = opened(browser, folder / "report.html", color_scheme=scheme)
        assert page.title() == "Toy"
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert paper == {"light": "rgb(252, 252, 250)", "dark": "rgb(20, 23, 28)"}[scheme]
        assert page.evaluate("[...document.images].every(i => i.naturalWidth > 0)")
        assert page.locator("td.n").first.evaluate("e => getComputedStyle(e).textAlign") == "right"
        dot = page.locator("circle").first.bounding_box()
        line = page.locator("line.bar").first.bounding_box()
        middle = dot["x"] + dot["width"] / 2
        assert middle == pytest.approx(line["x"] + line["width"] / 2, abs=1.5)
    phone = opened(browser, folder / "report.html", viewport={"width": 390, "height": 800})
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
    phone.get_by_text("More about this question").click()
    assert phone.evaluate("document.documentElement.scrollWidth") <= 390
    assert "owned" not in phone.title()[:5]
    phone.get_by_text("Back to the report").click()
    assert phone.title() == "Toy"


def test_the_page_of_an_item_has_a_plain_name_whatever_its_id():
    names = {
        item_page_name({"question_id": i}) for i in ("a/b", "a_b", "../../x", HOSTILE, 7, "ü" * 300)
    }
    assert len(names) == 6
    for name in names:
        assert name == Path(name).name
        assert name.isascii()
        assert len(name) < 90
