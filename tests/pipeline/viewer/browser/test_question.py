"""A question on the page: its progress, its answer, its end."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from page_toys import ask, ended, wait_for_answer
from playwright.sync_api import expect

from geofovea.errors import SceneReadError
from geofovea.pipeline.session.session import SceneSession
from geofovea.pipeline.viewer.desk import Desk
from geofovea.pipeline.viewer.events import JobWatcher
from geofovea.pipeline.viewer.job_request import JobRequest
from geofovea.tiling.pyramid import Box, Tile

QUESTION = "What is the color of the plane at the power plant?"

WATCH_STATUS = """() => {
    const status = document.querySelector("[role=status]");
    new MutationObserver(() => window.heard(status.textContent))
        .observe(status, { childList: true, characterData: true, subtree: true });
}"""


def test_the_answer_comes_with_progress_level_by_level(
    visit: Callable[..., Any],
    sessions: dict[str, SceneSession],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looking, texts = JobWatcher.looking, list[str]()

    def shown(self: JobWatcher, tiles: Mapping[Tile, Box]) -> None:
        """As if the disk took until the page says so: it shows what lasts for a frame."""
        looking(self, tiles)
        level, deadline = min(tile.level for tile in tiles), time.monotonic() + 20
        while not any(f"level {level} " in text for text in texts) and time.monotonic() < deadline:
            time.sleep(0.01)

    monkeypatch.setattr(JobWatcher, "looking", shown)
    page = visit()
    page.expose_function("heard", lambda text: texts.append(text))
    page.evaluate(WATCH_STATUS)
    ask(page, QUESTION)
    wait_for_answer(page)
    answer = sessions["1"].ask(QUESTION)
    assert page.locator(".gf-text").text_content() == answer.text
    assert f"{answer.confidence:.0%} sure" in page.locator(".gf-sure").text_content()
    assert f"{answer.cost.tokens_llm} of" in page.locator(".gf-cost").first.text_content()
    levels = {look.level for look in answer.looks}
    seen = {level for level in levels if any(f"level {level} " in text for text in texts)}
    assert len(seen) >= 2, (levels, texts)
    assert texts[-1].startswith(f"Answer: {answer.text}")


def test_the_ladder_counts_tiles_and_tokens_of_each_level(
    visit: Callable[..., Any], sessions: dict[str, SceneSession]
) -> None:
    page = visit()
    ask(page, QUESTION)
    wait_for_answer(page)
    answer = sessions["1"].ask(QUESTION)
    rows = page.locator(".gf-ladder li").all_text_contents()
    looks = sorted(answer.looks, key=lambda look: -look.level)
    assert len(rows) == len({look.level for look in looks})
    for row, level in zip(rows, sorted({look.level for look in looks}, reverse=True), strict=True):
        # of the search: the window of a second look is on no level's grid
        count = sum(len(look.addresses) for look in looks if look.level == level)
        assert row.startswith(f"Level {level}")
        assert f"{count} tile" in row


def test_evidence_stands_in_pixels_and_in_degrees(
    visit: Callable[..., Any], sessions: dict[str, SceneSession]
) -> None:
    page = visit()
    ask(page, QUESTION)
    wait_for_answer(page)
    first = sessions["1"].ask(QUESTION).evidence[0]
    x0, y0, x1, y1 = (round(side) for side in first.box_scene.as_tuple())
    place = page.locator(".gf-evidence tbody tr").first.locator(".gf-place")
    assert place.text_content().startswith(f"{x1 - x0} × {y1 - y0} at {x0}, {y0}")
    points = [((x0 + x1) / 2, (y0 + y1) / 2)]
    lon, lat = sessions["1"].scene.georeference.lonlat_from_scene(np.array(points))[0]
    degrees = [
        float(number)
        for number in re.findall(r"(\d+\.\d{5})°", place.locator("span").text_content())
    ]
    assert degrees == pytest.approx([lat, lon], abs=2e-5)


def test_escape_stops_a_question_and_the_next_one_is_answered(
    visit: Callable[..., Any], desk: Desk, slow: list[bool]
) -> None:
    page = visit()
    # another one in the queue: the page's own question has to wait until it is stopped
    before = desk.submit(JobRequest("3", "What is in the picture?"))
    ask(page, QUESTION)
    page.keyboard.press("Escape")
    expect(page.get_by_role("status")).to_have_text("Stopped.")
    assert not page.locator(".gf-answer").is_visible()
    assert desk.jobs()[0].state == "cancelled"
    slow.clear()
    desk.cancel(before.id)
    ask(page, QUESTION)
    wait_for_answer(page, 2)
    assert page.locator(".gf-text").text_content()


@pytest.mark.usefixtures("slow")
def test_the_stop_button_ends_a_question_that_is_being_answered(
    visit: Callable[..., Any], desk: Desk
) -> None:
    page = visit()
    ask(page, "How many planes are at the airport?")
    page.get_by_text("Looking at level").wait_for()
    page.get_by_role("button", name="Stop").click()
    ended(page, 1)
    assert page.get_by_role("status").text_content() == "Stopped."
    assert desk.jobs()[0].state == "cancelled"
    assert not page.get_by_role("button", name="Stop").is_visible()


def test_a_reload_goes_on_with_a_question_that_runs(visit: Callable[..., Any], desk: Desk) -> None:
    page = visit()
    for i in range(3):
        desk.submit(JobRequest("3", f"What stands in corner {i}?"))
    ask(page, QUESTION)
    expect(page.locator("#geofovea")).to_have_attribute("data-running", "true")
    deadline = time.monotonic() + 20
    while not any(job.request.question == QUESTION for job in desk.jobs()[:1]):
        assert time.monotonic() < deadline, "the question did not reach the server"
        time.sleep(0.01)
    page.witness.pause()
    page.reload()
    page.wait_for_selector("[data-ready]")
    page.witness.resume()
    wait_for_answer(page)
    assert page.get_by_label("Question").input_value()


def test_what_was_asked_before_is_shown_again_without_asking(
    visit: Callable[..., Any], desk: Desk
) -> None:
    page = visit()
    ask(page, QUESTION)
    wait_for_answer(page)
    count = len(desk.jobs())
    page.locator(".gf-history").get_by_role("button", name=QUESTION).first.click()
    ended(page, 2)
    assert page.locator(".gf-text").text_content()
    assert len(desk.jobs()) == count


def test_choices_come_back_with_their_shares(visit: Callable[..., Any]) -> None:
    page = visit()
    page.get_by_text("Options").click()
    page.get_by_label("Choose among").fill("red\ngreen\nblue")
    ask(page, QUESTION)
    wait_for_answer(page)
    choices = page.locator(".gf-choices li").all_text_contents()
    assert len(choices) == 3
    assert {choice.rstrip("0123456789%<") for choice in choices} == {"red", "green", "blue"}


def test_a_refused_question_says_why(visit: Callable[..., Any]) -> None:
    page = visit()
    page.get_by_text("Options").click()
    page.get_by_label("Choose among").fill("only one")
    ask(page, QUESTION)
    ended(page, 1)
    assert "give 2 to" in page.get_by_role("status").text_content()
    assert page.witness.take_refusals() == ["422: jobs"]


def test_an_error_in_the_middle_of_a_question_is_told_in_the_words_of_the_server(
    visit: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    looking, looks = JobWatcher.looking, list[int]()
    words = "tile (0, 3, 4) is damaged: <b>copy</b> the file again"

    def damaged(self: JobWatcher, tiles: Mapping[Tile, Box]) -> None:
        if looks:
            raise SceneReadError(words)
        looking(self, tiles)
        looks.append(len(tiles))

    monkeypatch.setattr(JobWatcher, "looking", damaged)
    page = visit()
    ask(page, QUESTION)
    ended(page, 1)
    assert looks
    assert words in page.get_by_role("status").text_content()
    assert not page.locator(".gf-answer").is_visible()
    assert not page.get_by_role("button", name="Stop").is_visible()
