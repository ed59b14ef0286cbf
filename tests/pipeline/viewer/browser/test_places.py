"""Places on the page: found and counted, listed, on the map, saved."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from browser_toys import axe_violations
from page_toys import ended, view_at, wait_for_answer

from geofovea.datasets.synthetic.world import World
from geofovea.pipeline.session.session import SceneSession
from geofovea.pipeline.viewer.desk import Desk


def test_places_are_found_listed_and_saved(
    visit: Callable[..., Any],
    desk: Desk,
    sessions: dict[str, SceneSession],
    world: World,
    tmp_path: Path,
) -> None:
    site = max(world.named_sites, key=lambda site: len(site.things))
    kind = site.things[0].kind
    page = visit(accept_downloads=True, size=(1000, 800))
    view_at(page, *site.pad.center, 0.6, "1")
    page.get_by_text("Find", exact=True).click()
    page.get_by_label("What to find", exact=True).fill(kind)
    page.get_by_label("Look at every tile").check()
    page.get_by_text("This view").click()
    assert axe_violations(page) == []
    page.get_by_role("button", name="Find", exact=True).click()
    wait_for_answer(page)
    job = desk.jobs()[0]
    places = sessions["1"].find(kind, coverage="sweep", region=job.request.region)
    assert len(places)
    # a tile of the shifted grid has the address of another one
    assert places.coverage.looked_again
    (row,) = page.locator(".gf-ladder li").all_text_contents()
    assert f"{places.cost.tiles_encoded} tiles" in row
    words = f"{len(places)} place" + "s" * (len(places) != 1)
    assert page.locator(".gf-text").text_content() == words
    assert page.locator(".gf-evidence th").all_text_contents() == ["#", "Level", "Score", "Pixels"]
    row = page.locator(".gf-evidence tbody tr").first.text_content()
    assert row.startswith(f"10{places[0].score:.0%}"), row
    page.get_by_role("button", name="Show place 1 on the map").click()
    assert axe_violations(page) == []
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as GeoJSON", exact=True).click()
    download.value.save_as(tmp_path / "places.geojson")
    saved = json.loads((tmp_path / "places.geojson").read_text())
    assert len(saved["features"]) == len(places)
    assert page.locator(".gf-history li").first.text_content() == (
        f"{kind}find · {words} · scene.tif · in a part"
    )


def test_a_count_has_its_interval_and_a_phrase_stays_a_text(
    visit: Callable[..., Any], desk: Desk
) -> None:
    page = visit()
    page.get_by_text("Count", exact=True).click()
    page.get_by_text("Options").click()
    assert page.get_by_label("Choose among").is_hidden()
    assert page.get_by_label("Tiles at most").get_attribute("max") == str(desk.search_budget.tiles)
    page.get_by_label("Tiles at most").fill("6")
    phrase = "<img src=x onerror=alert(1)>"
    page.get_by_label("What to count", exact=True).fill(phrase)
    page.get_by_role("button", name="Count", exact=True).click()
    ended(page, 1)
    assert page.locator(".gf-asked").text_content() == phrase
    assert "95 % interval" in page.locator(".gf-text").text_content()
    assert page.locator(".gf-answer img").count() == 0
    assert desk.jobs()[0].places.cost.tiles_encoded <= 6
    # a question is as it was
    page.get_by_text("Ask", exact=True).first.click()
    assert page.get_by_label("Question", exact=True).is_visible()
    assert page.get_by_label("Choose among").is_visible()
