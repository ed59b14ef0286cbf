"""What a person does on the page, for the tests that drive a browser."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["ask", "ended", "heat_pixels", "view_at", "wait_for_answer"]

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


def view_at(page: Any, x: float, y: float, resolution: float, scene: str) -> None:
    """Show a place as a bookmark does, and wait until its tiles are drawn."""
    page.evaluate(f"location.hash = '#{x},{y},{resolution},{scene}'")
    page.wait_for_timeout(800)
    page.wait_for_selector(".gf-map-cell[data-renders]")


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
