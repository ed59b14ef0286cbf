"""The maps of the page: their pixels, their movement, what is drawn over them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from page_toys import (
    ask,
    drawn_after,
    heat_pixels,
    map_pixels,
    rest,
    view_at,
    wait_for_answer,
    wait_for_heat,
)
from playwright.sync_api import expect

from geofovea.pipeline.session.session import SceneSession
from geofovea.tiling.pyramid import Tile

QUESTION = "What is the color of the plane at the airport?"
HALF = 60
JPEG_ERROR = 24
"""JPEG at quality 92 without chroma subsampling, at the sharp edges of synthetic things."""

STATE = """() => location.hash"""


def model_pixels(session: SceneSession, x: int, y: int) -> np.ndarray:
    """Native pixels around a place as the model is given them, uint8 ``(120, 120, 3)``."""
    side = session.pyramid.tile_size
    rows = range((y - HALF) // side, (y + HALF - 1) // side + 1)
    cols = range((x - HALF) // side, (x + HALF - 1) // side + 1)
    read = session.reader.read
    mosaic = np.vstack([np.hstack([read(Tile(0, row, col)).rgb for col in cols]) for row in rows])
    top, left = y - HALF - rows[0] * side, x - HALF - cols[0] * side
    return mosaic[top : top + 2 * HALF, left : left + 2 * HALF]


def press(page: Any, *keys: str) -> None:
    """Press keys that move the maps, each when they rest."""
    for key in keys:
        with drawn_after(page, "keydown"):
            page.keyboard.press(key)


def place_of(page: Any) -> list[float]:
    """x, y and resolution that the address keeps, once the view rests."""
    rest(page)
    return [float(number) for number in page.evaluate(STATE)[1:].split(",")[:3]]


@pytest.mark.parametrize(("scene", "x", "y"), [("1", 1000, 1200), ("2", 400, 300)])
def test_a_pixel_on_the_screen_is_the_pixel_that_the_model_is_given(
    visit: Callable[..., Any], sessions: dict[str, SceneSession], scene: str, x: int, y: int
) -> None:
    # an even window: the middle lies between two pixels, as whole numbers of the scene do
    page = visit(size=(1404, 848))
    view_at(page, x, y, 1, scene)
    expected = model_pixels(sessions[scene], x, y).astype(int)
    difference = np.abs(map_pixels(page, HALF).astype(int) - expected)
    assert difference.max() <= JPEG_ERROR
    with drawn_after(page, "change"):
        page.get_by_label("As the model sees it").check()
    assert np.array_equal(map_pixels(page, HALF), expected)


def test_keys_move_the_map_and_zoom_it(visit: Callable[..., Any]) -> None:
    page = visit()
    page.locator(".gf-map").focus()
    press(page, "+", "+")
    before = place_of(page)
    press(page, "ArrowRight")
    right = place_of(page)
    assert right[0] > before[0]
    assert right[1:] == before[1:]
    press(page, "-")
    assert place_of(page)[2] > right[2]


def test_the_address_brings_the_view_back(visit: Callable[..., Any]) -> None:
    page = visit()
    view_at(page, 500, 400, 0.5, "3")
    page.mouse.move(400, 400)
    assert place_of(page) == [500, 400, 0.5]
    assert page.get_by_label("Scene", exact=True).input_value() == "2"


def test_a_view_that_comes_to_rest_does_not_undo_an_address_that_was_just_given(
    visit: Callable[..., Any],
) -> None:
    page = visit()
    with drawn_after(page, "hashchange"):
        # the browser tells of an address later than it takes it; the page may write in between
        page.evaluate(
            "() => { location.hash = '#500,400,0.5,3';"
            " history.replaceState(null, '', '#1024,1024,3,1'); }"
        )
    assert place_of(page) == [500, 400, 0.5]


def test_the_mouse_reads_pixel_and_place(
    visit: Callable[..., Any], sessions: dict[str, SceneSession]
) -> None:
    page = visit(size=(1404, 848))
    view_at(page, 400, 300, 1, "3")
    box = page.locator(".gf-map").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2 + 10.5, box["y"] + box["height"] / 2 + 20.5)
    text = page.locator(".gf-readout").text_content()
    assert text.startswith("410, 320 px")
    lon, lat = sessions["3"].scene.georeference.lonlat_from_scene(np.array([[410.5, 320.5]]))[0]
    degrees = [float(number) for number in re.findall(r"(\d+\.\d{5})°", text)]
    # a quarter of a pixel of 2 m is 0.5 m
    assert degrees == pytest.approx([lat, lon], abs=1e-5)


def test_north_is_up_after_the_needle_was_pressed(visit: Callable[..., Any]) -> None:
    page = visit()
    view_at(page, 400, 300, 1, "3")
    needle = page.get_by_role("button", name="Turn north up")
    turn = "element => new DOMMatrix(getComputedStyle(element).transform)"
    angle = f"element => {{ const m = ({turn})(element); return Math.atan2(m.b, m.a); }}"
    degrees = f"Math.abs(({angle})(element)) * 180 / Math.PI"
    # the needle turns in a few frames, which a busy machine draws late; the scene is turned by 30
    # degrees, and the meridians of its zone by less than one
    handle = needle.element_handle()
    page.wait_for_function(f"element => Math.abs({degrees} - 30) < 1.5", arg=handle)
    with drawn_after(page, "click"):
        needle.click()
    page.wait_for_function(f"element => {degrees} < 0.1", arg=handle)


def test_a_scene_without_georeference_has_no_needle_and_no_degrees(
    visit: Callable[..., Any],
) -> None:
    page = visit()
    view_at(page, 400, 300, 1, "2")
    assert not page.get_by_role("button", name="Turn north up").is_visible()
    page.mouse.move(400, 400)
    assert "°" not in page.locator(".gf-readout").text_content()
    assert page.locator(".gf-scale").text_content().endswith(" px")


def test_heat_follows_its_slider_and_the_levels_that_are_shown(visit: Callable[..., Any]) -> None:
    page = visit()
    ask(page, QUESTION)
    wait_for_answer(page)
    wait_for_heat(page)
    assert heat_pixels(page) > 500
    page.get_by_label("Heat").fill("0")
    assert heat_pixels(page) == 0
    page.get_by_label("Heat").fill("100")
    everything = heat_pixels(page)
    assert everything > 500
    for box in page.get_by_role("checkbox", name=re.compile("Show level")).all():
        box.uncheck()
    assert heat_pixels(page) == 0
    page.get_by_role("checkbox", name="Show level 0").check()
    assert 0 < heat_pixels(page) <= everything


def test_a_row_of_the_evidence_is_marked_on_the_map_and_back(visit: Callable[..., Any]) -> None:
    page = visit()
    ask(page, QUESTION)
    wait_for_answer(page)
    page.get_by_role("button", name="Show evidence 2 on the map").click()
    chosen = page.locator("tr.gf-marked")
    expect(chosen.locator("td").first).to_have_text("2")
    size, corner = chosen.locator(".gf-place").text_content().split(" at ")
    wide = int(size.split()[0])
    x0, y0 = (int(number) for number in re.match(r"(\d+), (\d+?)(?=\d\d\.)", corner).groups())
    x, y, _ = place_of(page)
    assert x0 < x < x0 + wide
    assert y0 < y < y0 + wide
    # the middle of the map shows the box: a click there marks it
    with drawn_after(page, "click"):
        page.get_by_role("button", name="Show evidence 1 on the map").click()
    box = page.locator(".gf-map").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    expect(page.locator("tr.gf-marked td").first).to_have_text("1")


def test_two_scenes_of_one_ground_move_together(visit: Callable[..., Any]) -> None:
    page = visit()
    page.get_by_label("Compare with").select_option(label="part.tif")
    assert page.get_by_label("Move the maps together").input_value() == "ground"
    first, second = page.locator(".gf-map").all()
    first.focus()
    press(page, "+", "ArrowRight", "ArrowDown", "+")
    places = []
    for map_element in (first, second):
        box = map_element.bounding_box()
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        text = page.locator(".gf-readout").text_content()
        pixel = re.match(r"([\d,]+), ([\d,]+) px", text).groups()
        places.append([int(number.replace(",", "")) for number in pixel])
    (x, y), (part_x, part_y) = places
    # the part begins at (512, 256) of the first scene; a pixel at most for the interpolation
    assert abs(x - part_x - 512) <= 1
    assert abs(y - part_y - 256) <= 1


def test_two_scenes_are_asked_at_once_and_have_a_card_each(visit: Callable[..., Any]) -> None:
    page = visit()
    page.get_by_label("Compare with").select_option(label="part.tif")
    ask(page, QUESTION)
    wait_for_answer(page, 2)
    assert page.locator(".gf-answer:visible").count() == 2
    names = page.locator(".gf-side h2").all_text_contents()
    assert names == ["scene.tif", "part.tif"]
    status = page.get_by_role("status").text_content()
    assert "scene.tif: Answer" in status
    assert "part.tif: Answer" in status
