"""A question about a part of a scene: the view, a box, a polygon."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import shapely
from page_toys import ask, ended, rest, view_at, wait_for_answer
from playwright.sync_api import expect

from geofovea.pipeline.viewer.desk import Desk
from geofovea.pipeline.viewer.job_request import JobRequest

QUESTION = "What is the color of the plane at the airport?"


def region_asked(desk: Desk) -> shapely.Geometry:
    """The region of the newest question, in scene pixels."""
    region = desk.jobs()[0].request.region
    assert region is not None
    return region.geometry


def overlay_at(page: Any, x: float, y: float) -> list[int]:
    """Red, green, blue and opacity of the overlay at a place of the scene that is shown whole."""
    script = """([x, y, width, height]) => {
        const overlay = document.querySelector(".gf-overlay");
        const scale = Math.min(overlay.width / (1.04 * width), overlay.height / (1.04 * height));
        const at = [overlay.width / 2 + (x - width / 2) * scale,
            overlay.height / 2 + (y - height / 2) * scale].map(Math.round);
        // a copy, for a canvas that is read often would be slow to draw on
        const copy = new OffscreenCanvas(1, 1).getContext("2d");
        copy.drawImage(overlay, ...at, 1, 1, 0, 0, 1, 1);
        return [...copy.getImageData(0, 0, 1, 1).data];
    }"""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 50)))")
    return page.evaluate(script, [x, y, 2048, 2048])


def middle_of(page: Any) -> tuple[float, float]:
    """The middle of the map on the screen."""
    box = page.locator(".gf-map").bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_a_question_in_this_view_is_about_what_the_window_shows(
    visit: Callable[..., Any], desk: Desk
) -> None:
    page = visit(size=(1404, 848))
    view_at(page, 1000, 900, 0.5, "1")
    size = page.locator(".gf-map").bounding_box()
    page.get_by_text("This view").click()
    ask(page, QUESTION)
    wait_for_answer(page)
    left, top, right, bottom = region_asked(desk).bounds
    assert abs(right - left - size["width"] / 2) <= 1
    assert abs(bottom - top - size["height"] / 2) <= 1
    assert abs((left + right) / 2 - 1000) <= 1
    answer = desk.jobs()[0].answer
    window = region_asked(desk)
    finest = min(item.tile.level for item in answer.evidence)
    for item in answer.evidence:
        if item.tile.level == finest:
            assert shapely.box(*item.box_scene.as_tuple()).intersects(window)


def test_a_drawn_box_is_what_is_asked_about(visit: Callable[..., Any], desk: Desk) -> None:
    page = visit(size=(1404, 848))
    view_at(page, 1000, 900, 1, "1")
    x, y = middle_of(page)
    page.get_by_text("Box", exact=True).click()
    page.mouse.move(x - 100, y - 80)
    page.mouse.down()
    page.mouse.move(x + 50, y + 40, steps=4)
    page.mouse.up()
    expect(page.get_by_text("150 × 120 at 900, 820")).to_be_visible()
    ask(page, QUESTION)
    wait_for_answer(page)
    assert region_asked(desk).equals(shapely.box(900, 820, 1050, 940))


def test_a_drawn_polygon_is_what_is_asked_about(visit: Callable[..., Any], desk: Desk) -> None:
    page = visit(size=(1404, 848))
    view_at(page, 1000, 900, 1, "1")
    x, y = middle_of(page)
    page.get_by_text("Polygon", exact=True).click()
    corners = [(-100, -80), (120, -60), (10, 90)]
    for dx, dy in corners:
        page.mouse.move(x + dx, y + dy)
        page.mouse.click(x + dx, y + dy)
        # two clicks at once would be a double click, wherever they are
        rest(page)
    # the first corner again closes it
    page.mouse.click(x + corners[0][0], y + corners[0][1])
    expect(page.get_by_text("Polygon: 220 × 170 at 900, 820")).to_be_visible()
    ask(page, QUESTION)
    wait_for_answer(page)
    expected = shapely.Polygon([(1000 + dx, 900 + dy) for dx, dy in corners])
    assert region_asked(desk).equals(expected)


def test_the_history_shows_the_polygon_that_was_asked_about(
    visit: Callable[..., Any], desk: Desk
) -> None:
    # a triangle: the lower left corner of its box is outside
    polygon = [[600, 600], [1400, 600], [1400, 1400]]
    desk.submit(JobRequest("1", QUESTION, {"polygon": polygon}))
    page = visit()
    page.locator(".gf-history").get_by_role("button").first.click()
    ended(page, 1)
    page.get_by_role("button", name="Show the whole scene").click()
    for box in page.locator(".gf-ladder input").all():
        box.uncheck()
    inside, outside = (overlay_at(page, x, y) for x, y in ((1300, 700), (700, 1300)))
    assert inside[3] < outside[3] == pytest.approx(0.35 * 255, abs=3)


def test_escape_gives_up_a_drawing(visit: Callable[..., Any], desk: Desk) -> None:
    page = visit()
    page.get_by_text("Box", exact=True).click()
    expect(page.get_by_text("Drag a box on the map")).to_be_visible()
    page.keyboard.press("Escape")
    assert page.get_by_label("Whole scene", exact=True).is_checked()
    ask(page, QUESTION)
    ended(page, 1)
    assert desk.jobs()[0].request.region is None


def test_asking_again_here_takes_the_marked_evidence(visit: Callable[..., Any], desk: Desk) -> None:
    page = visit()
    ask(page, QUESTION)
    wait_for_answer(page)
    first = desk.jobs()[0].answer
    page.get_by_role("button", name="Show evidence 2 on the map").click()
    page.get_by_role("button", name="Ask again here").click()
    ask(page, QUESTION)
    ended(page, 2)
    assert region_asked(desk).equals(shapely.box(*first.evidence[1].box_scene.as_tuple()))


def test_a_drawing_is_carried_to_the_other_scene_by_the_ground(
    visit: Callable[..., Any], desk: Desk
) -> None:
    page = visit()
    page.get_by_label("Compare with").select_option(label="part.tif")
    page.get_by_text("Box", exact=True).click()
    first = page.locator(".gf-map").first
    box = first.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x - 40, y - 40)
    page.mouse.down()
    page.mouse.move(x + 40, y + 40, steps=4)
    page.mouse.up()
    ask(page, QUESTION)
    ended(page, 2)
    by_scene = {job.scene.id: job.request.region.geometry.bounds for job in desk.jobs()[:2]}
    moved = [a - b for a, b in zip(by_scene["1"], by_scene["4"], strict=True)]
    assert all(abs(d - e) <= 1 for d, e in zip(moved, (512, 256, 512, 256), strict=True))
