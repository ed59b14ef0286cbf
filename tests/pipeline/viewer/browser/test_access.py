"""The page without a mouse, by a screen reader, on a phone, in the dark."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from browser_toys import axe_violations
from page_toys import ask, wait_for_answer

QUESTION = "What is the color of the plane at the airport?"
PHONE = (390, 844)

CONTROLS = """() => [...document.querySelectorAll(
    "button, select, textarea, input, summary, [tabindex='0']"
)].filter((e) => e.checkVisibility({ visibilityProperty: true }) && !e.disabled
    && !(e.type === "radio" && !e.checked)).length"""

FOCUSED = """() => {
    const all = [...document.querySelectorAll("*")];
    return all.indexOf(document.activeElement);
}"""

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


def test_the_page_holds_where_colors_are_forced(visit: Callable[..., Any]) -> None:
    page = visit(forced_colors="active")
    checked = page.locator(".gf-segments input:checked + label")
    assert checked.evaluate("e => getComputedStyle(e).outlineStyle") == "solid"
