"""The page of an answer, opened from the disk without any network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from browser_toys import axe_violations
from page_toys import ask, drawn_after, wait_for_answer, wait_for_heat

from geofovea.pipeline.answers.page.data import Truth
from geofovea.pipeline.answers.page.document import save_answer_page
from geofovea.pipeline.session.session import SceneSession
from geofovea.tiling.pyramid import Box

QUESTION = "What is the color of the plane at the airport?"
HOSTILE = "</script><img src=x onerror=alert(1)> plane?"

OPAQUE = """() => {
    const source = document.querySelector(".gf-map canvas:not(.gf-overlay)");
    const canvas = new OffscreenCanvas(source.width, source.height);
    const pen = canvas.getContext("2d");
    pen.drawImage(source, 0, 0);
    const { data } = pen.getImageData(0, 0, canvas.width, canvas.height);
    let count = 0;
    for (let i = 3; i < data.length; i += 4) count += data[i] > 0;
    return count / (data.length / 4);
}"""


@pytest.fixture
def open_file(chromium: Any) -> Any:
    """``open_file(path, **context)``: the page, offline, and the list of what it requested."""
    contexts: list[Any] = []
    notes: list[str] = []

    def opening(path: Path, **options: Any) -> tuple[Any, list[str]]:
        context = chromium.new_context(offline=True, reduced_motion="reduce", **options)
        contexts.append(context)
        page = context.new_page()
        requests: list[str] = []
        page.on("request", lambda request: requests.append(request.url))
        page.on("console", lambda message: notes.append(message.text))
        page.on("pageerror", lambda error: notes.append(str(error)))
        page.goto(path.as_uri())
        wait_for_answer(page)
        page.wait_for_selector(".gf-map-cell[data-renders]")
        requests.remove(path.as_uri())
        return page, requests

    yield opening
    for context in contexts:
        context.close()
    assert notes == []


def test_the_file_shows_zooms_and_marks_without_a_request(
    open_file: Any, sessions: dict[str, SceneSession], tmp_path: Path
) -> None:
    answer = sessions["1"].ask(QUESTION)
    save_answer_page(answer, tmp_path / "answer.html")
    page, requests = open_file(tmp_path / "answer.html")
    assert page.locator(".gf-text").text_content() == answer.text
    wait_for_heat(page)
    with drawn_after(page, "click"):
        page.get_by_role("button", name="Show evidence 1 on the map").click()
    assert page.evaluate(OPAQUE) > 0.95
    with drawn_after(page, "click"):
        page.get_by_role("button", name="Show the whole scene").click()
    assert page.evaluate(OPAQUE) > 0.4
    assert requests == []
    assert not page.get_by_label("Question", exact=True).count()
    assert axe_violations(page) == []


def test_a_hostile_question_stays_a_text_in_the_file(
    open_file: Any, sessions: dict[str, SceneSession], tmp_path: Path
) -> None:
    truth = Truth((HOSTILE, "blue"), (Box(100, 100, 300, 250),))
    save_answer_page(sessions["2"].ask(HOSTILE), tmp_path / "answer.html", truth=truth)
    page, requests = open_file(tmp_path / "answer.html", color_scheme="dark")
    assert page.locator(".gf-asked").text_content() == HOSTILE
    assert page.get_by_text(f"Right: {HOSTILE}, blue").count() == 1
    assert page.get_by_text("1 annotated place on the map").is_visible()
    assert page.locator("img").count() == 0
    assert requests == []
    assert axe_violations(page) == []


def test_the_page_that_the_server_saves_opens_offline(
    visit: Callable[..., Any], open_file: Any, tmp_path: Path
) -> None:
    page = visit(accept_downloads=True)
    ask(page, QUESTION)
    wait_for_answer(page)
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as Page").click()
    path = tmp_path / "saved.html"
    download.value.save_as(path)
    saved, requests = open_file(path)
    assert saved.locator(".gf-text").text_content() == page.locator(".gf-text").text_content()
    assert requests == []
