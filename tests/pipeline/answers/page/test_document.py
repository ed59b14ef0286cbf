"""One answer as one HTML file."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from geofovea.errors import OutputError
from geofovea.pipeline.answers.answer import Answer
from geofovea.pipeline.answers.evidence_list import EvidenceList
from geofovea.pipeline.answers.page.document import MOST_PAGE_BYTES, answer_page, save_answer_page
from geofovea.pipeline.answers.page.tiles import tiles_by_use
from geofovea.pipeline.session.session import SceneSession
from geofovea.tiling.pyramid import Tile
from geofovea.tiling.reader import TileReader

HOSTILE = "</script><!--<script>alert(1)</script>\u2028&amp;<img src=x onerror=alert(1)>"


class Parts(HTMLParser):
    """What a browser takes for scripts, styles, and everything else."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.contents: list[str] = []
        self._is_inside = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.contents.append("")
        self._is_inside = True

    def handle_endtag(self, tag: str) -> None:
        self._is_inside = False

    def handle_data(self, data: str) -> None:
        if self._is_inside:
            self.contents[-1] += data

    def of(self, tag: str, **attributes: str) -> str:
        """The text of the one element with these attributes."""
        found = [
            content
            for (name, attrs), content in zip(self.tags, self.contents, strict=True)
            if name == tag and attributes.items() <= attrs.items()
        ]
        assert len(found) == 1
        return found[0]


@pytest.fixture
def answer(make_session: Callable[..., SceneSession]) -> Answer:
    """An answer of the tiny model about the synthetic scene."""
    return make_session().ask("What is the color of the plane at the airport?")


def data_of(page: str) -> dict[str, Any]:
    """The data that a page holds."""
    return json.loads(Parts(page).of("script", id="geofovea-data"))


def test_the_page_holds_the_answer_and_no_path(answer: Answer) -> None:
    page = answer_page(answer)
    data = data_of(page)
    assert data["answer"]["answer"]["answer"] == answer.text
    assert len(data["answer"]["answer"]["evidence"]) == len(answer.evidence)
    assert sum(len(look["boxes"]) for look in data["answer"]["looks"]) == answer.cost.tokens_total
    assert data["overview"]["scenes"][0]["name"] == "scene.tif"
    assert str(Path(answer.scene.path).parent) not in page


def test_only_the_script_and_the_style_of_the_page_may_run(answer: Answer) -> None:
    page = answer_page(answer)
    parts = Parts(page)
    policy = next(
        attributes["content"]
        for tag, attributes in parts.tags
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    )
    for directive, text in (
        ("script-src", parts.of("script", type="module")),
        ("style-src", parts.of("style")),
    ):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}';" in policy
    assert policy.startswith("default-src 'none';")
    assert "connect-src" not in policy
    assert "unsafe" not in policy


def test_texts_of_people_and_models_stay_texts(answer: Answer) -> None:
    hostile = replace(answer, question=HOSTILE, text=HOSTILE, warnings=(HOSTILE,))
    page = answer_page(hostile)
    parts = Parts(page)
    assert [tag for tag, _ in parts.tags if tag in ("script", "img")] == ["script", "script"]
    assert not any(name.startswith("on") for _, attrs in parts.tags for name in attrs)
    assert data_of(page)["answer"]["answer"]["question"] == HOSTILE
    raw = parts.of("script", id="geofovea-data")
    assert not set(raw) & set("<>&\u2028\u2029")


def test_numbers_that_are_none_make_no_broken_data(answer: Answer) -> None:
    evidence = EvidenceList([replace(answer.evidence[0], score=float("nan"))], answer.scene)
    page = answer_page(replace(answer, evidence=evidence, confidence=float("inf")))
    text = Parts(page).of("script", id="geofovea-data")

    def refuse(name: str) -> None:
        raise AssertionError(f"a browser does not read {name}")

    data = json.loads(text, parse_constant=refuse)
    assert data["answer"]["answer"]["evidence"][0]["score"] is None


def test_tiles_show_the_pixels_that_the_model_saw(answer: Answer) -> None:
    tiles = data_of(answer_page(answer))["tiles"]
    reader = TileReader(answer.scene, answer.scene.pyramid(512), answer.radiometry)
    assert "0/0/0" in tiles or any(key.startswith("0/") for key in tiles)
    for key, text in tiles.items():
        pixels = reader.read(Tile(*map(int, key.split("/"))))
        with Image.open(io.BytesIO(base64.b64decode(text))) as picture:
            shown = np.asarray(picture.convert("RGBA"))
        assert np.array_equal(shown[..., 3] > 127, pixels.valid)
        known = shown[..., :3][pixels.valid].astype(int) - pixels.rgb[pixels.valid]
        # WebP at quality 82 with halved colors: on average a few gray levels
        assert np.abs(known).mean() < 6


def test_a_page_is_no_larger_than_allowed(answer: Answer) -> None:
    whole = answer_page(answer)
    small = answer_page(answer, most_bytes=len(whole.encode()) - 100_000)
    assert len(whole.encode()) <= MOST_PAGE_BYTES
    assert len(small.encode()) <= len(whole.encode()) - 100_000
    assert len(data_of(small)["tiles"]) < len(data_of(whole)["tiles"])


def test_the_way_in_comes_before_the_surroundings(answer: Answer) -> None:
    pyramid = answer.scene.pyramid(512)
    order = tiles_by_use(answer, pyramid)
    assert order[0] == Tile(pyramid.top_level, 0, 0)
    assert len(order) == len(set(order))
    finest = min(item.tile.level for item in answer.evidence)
    boxes = [item.box_scene for item in answer.evidence if item.tile.level == finest]
    needed = {
        tile
        for level in range(pyramid.top_level + 1)
        for tile in order
        if tile.level == level and any(_meet(pyramid.box_scene(tile), box) for box in boxes)
    }
    last = max(order.index(tile) for tile in needed)
    others = [tile for tile in order[: last + 1] if tile not in needed]
    # before the last of them stand only levels that are shown whole
    assert all(np.prod(pyramid.grid_shape(tile.level)) <= 4 for tile in others)


def _meet(a: Any, b: Any) -> bool:
    (ax0, ay0, ax1, ay1), (bx0, by0, bx1, by1) = a.as_tuple(), b.as_tuple()
    return ax0 < bx1 and bx0 < ax1 and ay0 < by1 and by0 < ay1


def test_a_folder_that_is_not_there_is_told(answer: Answer, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="nowhere"):
        save_answer_page(answer, tmp_path / "nowhere" / "answer.html")


def test_the_document_names_no_address(answer: Answer) -> None:
    page = answer_page(answer)
    assert re.findall(r"""(?:src|href)=["']?(?:https?:)?//""", page) == []
