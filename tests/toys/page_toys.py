"""What a person does on the page, for the tests that drive a browser."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "ask",
    "drawn_after",
    "ended",
    "heat_pixels",
    "map_pixels",
    "rest",
    "view_at",
    "wait_for_answer",
    "wait_for_heat",
]

_FORGET = """event => {
    const cells = () => document.querySelectorAll(".gf-map-cell");
    const forget = () => cells().forEach((cell) => delete cell.dataset.renders);
    forget();
    // behind the listeners of the page: what is drawn from then on is drawn as it asked
    addEventListener(event, forget, { once: true });
}"""
_DRAWN = """() => [...document.querySelectorAll(".gf-map-cell")]
    .every((cell) => cell.dataset.renders)"""

_REST = """() => new Promise((done) => {
    let hash = location.hash, since = performance.now();
    const timer = setInterval(() => {
        const now = performance.now();
        if (location.hash !== hash) [hash, since] = [location.hash, now];
        else if (now - since > 700) { clearInterval(timer); done(); }
    }, 50);
})"""

HEAT = """() => {
    const overlay = document.querySelector(".gf-overlay");
    const canvas = new OffscreenCanvas(overlay.width, overlay.height);
    const pen = canvas.getContext("2d", { willReadFrequently: true });
    pen.drawImage(overlay, 0, 0);
    const { data } = pen.getImageData(0, 0, canvas.width, canvas.height);
    let count = 0;
    for (let i = 0; i < data.length; i += 4) {
        if (data[i] > 200 && data[i + 1] < 90 && data[i + 2] > 60 && data[i + 3] > 0) count += 1;
    }
    return count;
}"""


def ask(page: Any, question: str) -> None:
    """Type a question and send it."""
    page.get_by_label("Question", exact=True).fill(question)
    page.get_by_role("button", name="Ask", exact=True).click()


def ended(page: Any, count: int) -> None:
    """Wait until as many questions of this page have ended."""
    page.wait_for_selector(f"[data-ended='{count}']")


def wait_for_answer(page: Any, count: int = 1) -> None:
    """Wait until the question that ended last is answered on the page."""
    ended(page, count)
    page.locator(".gf-answer").first.wait_for()


def heat_pixels(page: Any) -> int:
    """How many pixels of the overlay have the color of heat."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 50)))")
    return int(page.evaluate(HEAT))


def wait_for_heat(page: Any) -> None:
    """Wait until heat is drawn."""
    page.wait_for_function(f"() => ({HEAT})() > 200")


def rest(page: Any) -> None:
    """Wait until the address has kept its view for longer than the page takes to write it.

    The page writes it 300 ms after a movement, and a movement takes 250 ms. The time runs in the
    page, behind its own timers, however slow the machine is.
    """
    page.evaluate(_REST)


@contextmanager
def drawn_after(page: Any, event: str) -> Iterator[None]:
    """At the end every map is drawn with all tiles, and moves no more.

    Args:
        page: The page.
        event: Of the browser; what is done inside causes it, and it moves or changes every map.
    """
    page.evaluate(_FORGET, event)
    yield
    page.wait_for_function(_DRAWN)


def view_at(page: Any, x: float, y: float, resolution: float, scene: str) -> None:
    """Show another place as a bookmark does, and wait until its tiles are drawn."""
    with drawn_after(page, "hashchange"):
        page.evaluate(f"location.hash = '#{x},{y},{resolution},{scene}'")


def map_pixels(page: Any, half: int) -> NDArray[np.uint8]:
    """What the screen shows around the middle of the map, uint8 ``(2 half, 2 half, 3)``."""
    import io

    from PIL import Image

    box = page.locator(".gf-map").bounding_box()
    left = box["x"] + box["width"] / 2 - half
    top = box["y"] + box["height"] / 2 - half
    clip = {"x": left, "y": top, "width": 2 * half, "height": 2 * half}
    picture = Image.open(io.BytesIO(page.screenshot(clip=clip)))
    return np.asarray(picture.convert("RGB"))
