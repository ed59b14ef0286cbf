"""What changed between the two scenes that the page shows."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from browser_toys import axe_violations
from page_toys import drawn_after, ended
from playwright.sync_api import expect
from viewer_toys import ended as job_ended

from geofovea.pipeline.viewer.desk import Desk
from geofovea.pipeline.viewer.job_request import JobRequest

CHANGE = (400, 600, 464, 664)
"""In pixels of the part; it begins at (512, 256) of the whole scene."""

WHITE = """overlay => {
    const copy = new OffscreenCanvas(overlay.width, overlay.height).getContext("2d");
    copy.drawImage(overlay, 0, 0);
    const { data } = copy.getImageData(0, 0, overlay.width, overlay.height);
    let count = 0;
    for (let i = 0; i < data.length; i += 4) {
        if (data[i] > 240 && data[i + 1] > 200 && data[i + 3] > 200) count += 1;
    }
    return count;
}"""


def compare(page: Any) -> None:
    """Show the part and the whole scene, and choose the task without a mouse."""
    page.get_by_label("Scene", exact=True).select_option(label="part.tif")
    page.get_by_label("Compare with").select_option(label="scene.tif")
    page.get_by_label("Ask", exact=True).focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    assert page.get_by_label("What changed", exact=True).is_checked()


def covers_change(row: dict[str, Any], scene: str, shift: tuple[int, int]) -> bool:
    """Whether a place meets the block that differs, in pixels of a scene."""
    x0, y0, x1, y1 = row["box_by_scene"][scene]
    left, top, right, bottom = (side + shift[i % 2] for i, side in enumerate(CHANGE))
    return x0 < right and left < x1 and y0 < bottom and top < y1


def test_what_changed_is_listed_shown_on_both_maps_saved_and_shown_again(
    visit: Callable[..., Any], desk: Desk, tmp_path: Path
) -> None:
    page = visit(accept_downloads=True)
    assert page.get_by_label("What changed", exact=True).is_hidden()
    compare(page)
    expect(page.get_by_text("From part.tif (left) to scene.tif (right).")).to_be_visible()
    assert axe_violations(page) == []
    page.get_by_label("What came or went", exact=True).focus()
    page.keyboard.press("Enter")
    ended(page, 1)
    job = desk.jobs()[0]
    assert [scene.id for scene in job.scenes] == ["1", "4"]
    rows = json.loads(job.events_after(0)[-1].text)["answer"]["evidence"]
    assert rows
    assert covers_change(rows[0], "4", (0, 0))
    assert covers_change(rows[0], "1", (512, 256))
    words = f"{len(rows)} place" + "s" * (len(rows) != 1)
    assert page.locator(".gf-text:visible").all_text_contents() == [words]
    assert page.get_by_role("status").text_content() == f"scene.tif: Answer: {words}."
    assert page.get_by_role("list", name="Warnings").is_visible()
    assert axe_violations(page) == []
    x0, y0, x1, y1 = rows[0]["box_by_scene"]["1"]
    cell = page.locator(".gf-evidence:visible tbody tr").first.locator(".gf-place")
    assert cell.text_content().startswith(f"{x1 - x0} × {y1 - y0} at {x0}, {y0}")
    with drawn_after(page, "click"):
        page.get_by_role("button", name="Show place 1 on the map").click()
    # the marked place is drawn in yellow, over the pixels of each date
    assert all(overlay.evaluate(WHITE) > 50 for overlay in page.locator(".gf-overlay").all())
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as GeoJSON", exact=True).click()
    download.value.save_as(tmp_path / "changes.geojson")
    assert len(json.loads((tmp_path / "changes.geojson").read_text())["features"]) == len(rows)
    line = page.locator(".gf-history li").first
    assert line.text_content() == f"Every changewhat changed · {words} · part.tif to scene.tif"
    # other scenes bear nothing of it; the history brings both back
    page.get_by_label("Compare with").select_option(label="None")
    assert page.get_by_label("Ask", exact=True).is_checked()
    assert not page.locator(".gf-answer").is_visible()
    line.get_by_role("button").click()
    ended(page, 2)
    assert page.locator(".gf-text:visible").all_text_contents() == [words]
    assert page.locator(".gf-map").count() == 2


def test_a_comparison_is_stopped_and_goes_on_after_a_reload(
    visit: Callable[..., Any], desk: Desk, slow: list[bool]
) -> None:
    page = visit()
    compare(page)
    page.get_by_role("button", name="List changes").click()
    page.get_by_text("Looking tile by tile").wait_for()
    page.witness.pause()
    page.reload()
    page.wait_for_selector("[data-ready]")
    page.witness.resume()
    page.get_by_text("Looking tile by tile").wait_for()
    assert page.get_by_label("What changed", exact=True).is_checked()
    page.get_by_role("button", name="Stop").click()
    ended(page, 1)
    assert page.get_by_role("status").text_content() == "scene.tif: Stopped."
    assert desk.jobs()[0].state == "cancelled"
    slow.clear()


def test_the_scenes_change_places_and_the_earlier_one_is_the_left_one(
    visit: Callable[..., Any], desk: Desk
) -> None:
    page = visit()
    swap = page.get_by_role("button", name="Swap the scenes")
    assert not swap.is_visible()
    compare(page)
    page.get_by_text("Options").click()
    page.get_by_label("Tiles at most").fill("8")
    page.get_by_role("button", name="List changes").click()
    ended(page, 1)
    expect(page.locator(".gf-answer:visible")).to_have_count(1)
    swap.focus()
    page.keyboard.press("Enter")
    # the list that was there had the other order
    expect(page.get_by_text("From scene.tif (left) to part.tif (right).")).to_be_visible()
    expect(page.locator(".gf-answer:visible")).to_have_count(0)
    assert page.get_by_label("Scene", exact=True).input_value() == "0"
    assert page.get_by_label("Compare with").input_value() == "3"
    assert page.get_by_label("Map of").first.get_attribute("aria-label").startswith("Map of scene")
    assert axe_violations(page) == []
    page.get_by_role("button", name="List changes").click()
    ended(page, 2)
    later_first = [[scene.id for scene in job.scenes] for job in desk.jobs()[:2]]
    assert later_first == [["4", "1"], ["1", "4"]]
    # the same scene twice has no order
    page.get_by_label("Compare with").select_option(label="scene.tif")
    assert not swap.is_visible()


def test_a_region_of_the_later_scene_bounds_the_list_in_both(desk: Desk) -> None:
    # around the block that differs; the grid is that of the earlier scene
    box = [700, 600, 1400, 1200]
    job = desk.submit(JobRequest("1", "", {"box": box}, task="changes", before="4"))
    job_ended(job)
    rows = json.loads(job.events_after(0)[-1].text)["answer"]["evidence"]
    assert any(covers_change(row, "1", (512, 256)) for row in rows)
    # a token at the edge may reach beyond it
    left, top, right, bottom = box[0] - 64, box[1] - 64, box[2] + 64, box[3] + 64
    for row in rows:
        x0, y0, x1, y1 = row["box_by_scene"]["1"]
        assert left <= x0 < x1 <= right
        assert top <= y0 < y1 <= bottom
        assert row["box_by_scene"]["4"] == [x0 - 512, y0 - 256, x1 - 512, y1 - 256]


def test_scenes_that_share_no_ground_are_refused_in_words(desk: Desk) -> None:
    job = desk.submit(JobRequest("3", "", task="changes", before="4"))
    job_ended(job)
    message = json.loads(job.events_after(0)[-1].text)["message"]
    assert "share no ground" in message
    assert "turned.tif" in message
    assert "/" not in message
