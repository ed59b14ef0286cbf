"""The page without a mouse, by a screen reader, on a phone, in the dark."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from browser_toys import axe_violations
from page_toys import ask, ended, wait_for_answer
from playwright.sync_api import expect

from geofovea.pipeline.viewer.desk import Desk

QUESTION = "What is the color of the plane at the power plant?"
PHONE = (390, 844)

CONTROLS = """() => [...document.querySelectorAll(
    "button, select, textarea, input, summary, [tabindex='0']"
)].filter((e) => e.checkVisibility({ visibilityProperty: true }) && !e.disabled
    && !(e.type === "radio" && !e.checked)).length"""

FOCUSED = """() => {
    const all = [...document.querySelectorAll("*")];
    return all.indexOf(document.activeElement);
}"""

FOCUSED_NAME = "() => document.activeElement.ariaLabel ?? document.activeElement.textContent"

SMALL = """() => [...document.querySelectorAll("button, select, summary, input, .gf-check")]
    .filter((e) => e.checkVisibility() && e.type !== "radio" && !e.closest("label")?.matches("*")
        || e.matches("label.gf-check"))
    .map((e) => [e.outerHTML.slice(0, 90), e.getBoundingClientRect()])
    .filter(([, box]) => box.width < 24 || box.height < 24).map(([html]) => html)"""


@pytest.mark.parametrize(
    ("scheme", "size"), [("light", (1280, 800)), ("dark", (1280, 800)), ("light", PHONE)]
)
def test_axe_finds_nothing_before_and_after_a_question(
    visit: Callable[..., Any], scheme: str, size: tuple[int, int]
) -> None:
    page = visit(size=size, color_scheme=scheme)
    assert axe_violations(page) == []
    page.get_by_text("Options").click()
    page.get_by_text("Box", exact=True).click()
    ask(page, QUESTION)
    wait_for_answer(page)
    page.get_by_role("button", name="Show evidence 1 on the map").click()
    assert axe_violations(page) == []


def test_axe_finds_nothing_with_two_scenes_and_warnings(visit: Callable[..., Any]) -> None:
    page = visit()
    page.get_by_label("Compare with").select_option(label="turned.tif")
    ask(page, "Is this a rural or an urban area?")
    wait_for_answer(page, 2)
    assert page.locator(".gf-warnings").count()
    assert axe_violations(page) == []


def test_tab_reaches_every_control(visit: Callable[..., Any]) -> None:
    page = visit()
    ask(page, QUESTION)
    wait_for_answer(page)
    page.evaluate("document.activeElement.blur()")
    count = page.evaluate(CONTROLS)
    reached = set()
    for _ in range(count + 10):
        page.keyboard.press("Tab")
        reached.add(page.evaluate(FOCUSED))
    # the body between the last and the first is one more
    assert len(reached) >= count


BEFORE = """
- banner:
  - heading "GeoFovea" [level=1]
  - combobox "Scene"
  - combobox "Compare with"
- main:
  - application "Map of scene.tif. Arrow keys move it, plus and minus zoom."
  - button "Zoom in"
  - button "Zoom out"
  - button "Show the whole scene"
  - group "How the map is shown":
    - slider "Heat": "60"
    - checkbox "Follow the search" [checked]
    - checkbox "As the model sees it"
  - radiogroup "What to do":
    - radio "Ask" [checked]
    - radio "Find"
    - radio "Count"
  - textbox "Question"
  - radiogroup "Look in":
    - radio "Whole scene" [checked]
    - radio "This view"
    - radio "Box"
    - radio "Polygon"
  - button "Ask"
  - status
"""

AFTER = """
- main:
  - status: /Answer. .+/
  - region "scene.tif":
    - heading "scene.tif" [level=2]
    - heading "What is the color of the plane at the power plant?" [level=3]
    - paragraph: /.+/
    - paragraph: /% sure/
    - group "Save as":
      - button "Save as JSON"
      - button "Save as GeoJSON"
      - button "Save as PNG"
      - button "Save as Page"
    - heading "Where it looked" [level=3]
    - list "Levels that were looked at":
      - listitem:
        - button /Level 2 2 m.px 9 tiles, \\d+ tokens/
        - checkbox "Show level 2" [checked]
    - heading "Evidence" [level=3]
    - button "Ask again here"
    - table "Evidence"
  - heading "Asked before" [level=2]
  - list "Asked before"
"""

UNNAMED = """() => [...document.querySelectorAll(
    "button, select, textarea, input, summary, table, [role=application], [role=group]"
)].filter((e) => e.checkVisibility() && !e.ariaLabel && !e.textContent.trim()
    && !e.labels?.length && !e.hasAttribute("aria-labelledby")).map((e) => e.outerHTML)"""


def test_a_screen_reader_finds_every_part_by_role_and_name(visit: Callable[..., Any]) -> None:
    page = visit()
    expect(page.locator("#geofovea")).to_match_aria_snapshot(BEFORE)
    ask(page, QUESTION)
    wait_for_answer(page)
    expect(page.locator("#geofovea")).to_match_aria_snapshot(AFTER)
    assert page.evaluate(UNNAMED) == []


def test_a_screen_reader_hears_how_far_a_question_is_and_its_answer(
    visit: Callable[..., Any], slow: list[bool]
) -> None:
    page = visit()
    page.evaluate("""() => {
        window.heard = [];
        const region = document.querySelector("[role=status]");
        const hear = () => window.heard.push(region.textContent);
        const all = { childList: true, characterData: true, subtree: true };
        new MutationObserver(hear).observe(region, all);
    }""")
    ask(page, QUESTION)
    # a page that is late gets all events at once, and a reader hears the last
    page.get_by_text("Looking at level").wait_for()
    slow.clear()
    wait_for_answer(page)
    heard = page.evaluate("window.heard")
    assert any(text.startswith("Looking at level") for text in heard)
    assert heard[-1].startswith("Answer: ")
    # what is the same is not said again
    assert all(a != b for a, b in pairwise(heard))


def test_a_question_is_asked_looked_at_and_asked_again_with_keys_alone(
    visit: Callable[..., Any], desk: Desk
) -> None:
    page = visit()

    def tab_to(name: str) -> None:
        for _ in range(60):
            page.keyboard.press("Tab")
            if name in page.evaluate(FOCUSED_NAME):
                return
        raise AssertionError(f"Tab never reaches {name}")

    tab_to("Map of scene.tif")
    before = page.url
    page.keyboard.press("+")
    page.wait_for_url(lambda url: url != before)
    page.get_by_label("Question", exact=True).focus()
    page.keyboard.type(QUESTION)
    page.keyboard.press("Enter")
    wait_for_answer(page)
    tab_to("Ask again here")
    page.keyboard.press("Enter")
    assert page.get_by_label("Box", exact=True).is_checked()
    tab_to("Show evidence 2 on the map")
    page.keyboard.press("Space")
    assert page.locator(".gf-evidence tr.gf-marked button").text_content() == "2"
    page.get_by_label("Question", exact=True).focus()
    page.keyboard.press("Enter")
    ended(page, 2)
    assert desk.jobs()[0].request.region is not None


def test_nothing_overflows_on_a_phone(visit: Callable[..., Any]) -> None:
    page = visit(size=PHONE, has_touch=True, is_mobile=True)
    ask(page, QUESTION)
    wait_for_answer(page)
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE[0]
    right = """() => Math.max(...[...document.querySelectorAll(".gf-panel *")]
        .map((e) => e.getBoundingClientRect().right))"""
    assert page.evaluate(right) <= PHONE[0]


def test_targets_are_large_enough_for_a_finger(visit: Callable[..., Any]) -> None:
    page = visit(size=PHONE)
    ask(page, QUESTION)
    wait_for_answer(page)
    assert page.evaluate(SMALL) == []
    page.get_by_text("Find", exact=True).click()
    assert page.evaluate(SMALL) == []
    row = page.locator("label", has_text="Look at every tile").bounding_box()
    assert row["height"] >= 24


def test_the_page_holds_where_colors_are_forced(visit: Callable[..., Any]) -> None:
    page = visit(forced_colors="active")
    checked = page.locator(".gf-segments input:checked + label").all()
    styles = [e.evaluate("e => getComputedStyle(e).outlineStyle") for e in checked]
    assert styles == ["solid", "solid"]
