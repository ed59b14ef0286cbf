"""Two browsers at one server, each of which stops its own question alone; and one at none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from browser_toys import serving
from page_toys import ask, ended, wait_for_answer
from playwright.sync_api import expect

from geofovea.pipeline.viewer.desk import Desk

QUESTION = "What is the color of the plane at the airport?"
OTHER = "How many planes are at the airport?"


def test_one_window_zooms_while_the_other_asks_and_each_stops_its_own_question(
    visit: Callable[..., Any], desk: Desk, slow: list[bool]
) -> None:
    first, second = visit(), visit()
    ask(first, QUESTION)
    first.get_by_text("Looking at level").wait_for()
    # the other one sees pixels while the model is busy, and nothing to stop
    cell = second.locator(".gf-map-cell")
    renders = cell.get_attribute("data-renders")
    second.get_by_role("button", name="Zoom in").click()
    expect(cell).not_to_have_attribute("data-renders", renders)
    second.keyboard.press("Escape")
    assert not second.get_by_role("button", name="Stop").is_visible()
    ask(second, OTHER)
    expect(second.get_by_role("status")).to_have_text("Waiting: 1 before this one.")
    second.get_by_role("button", name="Stop").click()
    ended(second, 1)
    assert second.get_by_role("status").text_content() == "Stopped."
    states = {job.request.question: job.state for job in desk.jobs()[:2]}
    assert states == {OTHER: "cancelled", QUESTION: "running"}
    slow.clear()
    wait_for_answer(first)
    ask(second, OTHER)
    wait_for_answer(second, 2)
    assert second.locator(".gf-asked").text_content() == OTHER
    assert first.locator(".gf-asked").text_content() == QUESTION


def test_a_server_that_is_gone_is_named(chromium: Any, desk: Desk) -> None:
    context = chromium.new_context(reduced_motion="reduce")
    try:
        with serving(desk) as listening:
            page = context.new_page()
            page.goto(listening.address)
            page.wait_for_selector("[data-ready]")
        ask(page, QUESTION)
        ended(page, 1)
        assert "see whether geofovea serve still runs" in page.get_by_role("status").text_content()
    finally:
        context.close()
