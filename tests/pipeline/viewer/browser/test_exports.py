"""What the page saves, opened by the programs that it is for."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import shapely
from page_toys import ask, wait_for_answer
from PIL import Image

from geofovea.pipeline.session.session import SceneSession

QUESTION = "What is the color of the plane at the airport?"


@pytest.fixture
def saved(visit: Callable[..., Any], tmp_path: Path) -> Callable[[str], Path]:
    """``saved("PNG")``: the file that a press of that button gives."""
    page = visit(accept_downloads=True)
    ask(page, QUESTION)
    wait_for_answer(page)

    def save(kind: str) -> Path:
        with page.expect_download() as download:
            page.get_by_role("button", name=f"Save as {kind}", exact=True).click()
        path = tmp_path / download.value.suggested_filename
        download.value.save_as(path)
        return path

    return save


def test_json_is_the_answer(
    saved: Callable[[str], Path], sessions: dict[str, SceneSession]
) -> None:
    content = json.loads(saved("JSON").read_text())
    answer = sessions["1"].ask(QUESTION)
    assert content["answer"] == answer.text
    assert content["question"] == QUESTION
    assert len(content["evidence"]) == len(answer.evidence)
    assert str(Path(sessions["1"].scene.path).parent) not in json.dumps(content)


def test_geojson_lies_where_the_evidence_lies(
    saved: Callable[[str], Path], sessions: dict[str, SceneSession]
) -> None:
    content = json.loads(saved("GeoJSON").read_text())
    scene = sessions["1"].scene
    place = scene.georeference.lonlat_from_scene
    corner = place(shapely.get_coordinates(shapely.box(0, 0, scene.width, scene.height)))
    outline = shapely.Polygon(corner).buffer(1e-6)
    assert content["features"]
    for feature in content["features"]:
        assert outline.contains(shapely.from_geojson(json.dumps(feature["geometry"])))


def test_png_is_a_picture(saved: Callable[[str], Path]) -> None:
    with Image.open(saved("PNG")) as picture:
        picture.load()
        assert picture.format == "PNG"
        assert min(picture.size) > 200
