"""An answer saves and shows itself, in words that fit a line or two."""

import json
import pickle
import sys
from pathlib import Path
from types import SimpleNamespace

import geopandas
import numpy as np
import pytest
import rasterio
from full_disks import few_bytes
from pipeline_toys import QUESTION, texture
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS

from geofovea.errors import MissingExtraError, OutputError
from geofovea.pipeline.answers import formats, showing
from geofovea.regionfocus.budget import Budget
from geofovea.tiling.opening import open_scene

FEW = Budget(tiles=12, tokens=60)


@pytest.fixture
def answer(make_session):
    return make_session().ask(QUESTION, budget=FEW)


def is_heat_of(answer, path):
    """Whether rasterio reads the heat map where it puts the scene."""
    heat = answer.to_xarray()
    with rasterio.open(path) as written, rasterio.open(answer.scene.path) as scene:
        assert written.bounds == pytest.approx(scene.bounds)
        assert written.crs == scene.crs
        assert np.isnan(written.nodata)
        return np.array_equal(written.read(1), heat.values, equal_nan=True)


def test_every_format_is_written_and_read_by_who_knows_it(answer, tmp_path):
    readers = {
        ".png": lambda p: p.read_bytes().startswith(b"\x89PNG\r\n"),
        ".json": lambda p: json.loads(p.read_text())["answer"] == answer.text,
        ".geojson": lambda p: len(geopandas.read_file(p)) == len(answer.evidence.tiles),
        ".gpkg": lambda p: (
            len(geopandas.read_file(p, layer="evidence")) == len(answer.evidence.tiles)
        ),
        ".parquet": lambda p: len(geopandas.read_parquet(p)) == len(answer.evidence.tiles),
        ".tif": lambda p: is_heat_of(answer, p),
        ".html": lambda p: "Content-Security-Policy" in p.read_text(),
    }
    assert set(readers) <= set(formats.formats())
    for suffix, is_right in readers.items():
        for path in (tmp_path / f"answer{suffix}", str(tmp_path / f"LOUD{suffix.upper()}")):
            answer.save(path)
            assert is_right(Path(path)), suffix


def test_a_full_disk_is_told_by_every_format_and_leaves_nothing(answer, tmp_path):
    for suffix in (".png", ".json", ".geojson", ".gpkg", ".parquet", ".tif", ".html"):
        with few_bytes(100), pytest.raises(OutputError) as refused:
            answer.save(tmp_path / f"answer{suffix}")
        told = str(refused.value)
        assert told.startswith(f"{tmp_path / 'answer'}{suffix} could not be written: "), told
        assert told.endswith("File too large; make room there, and run the same command again")
        assert len(told) < 400
        assert not list(tmp_path.glob("*answer*")), suffix


def test_a_heat_map_without_an_affine_is_placed_as_its_scene(
    make_session, make_tiff, make_png, tmp_path
):
    corners = [(0, 0), (0, 500), (300, 0), (300, 500)]
    gcps = [GroundControlPoint(row, col, 15 + col / 1e3, 50 - row / 1e3, 0) for row, col in corners]
    placed = make_tiff(texture(300, 500), gcps=gcps, crs=CRS.from_epsg(4326), transform=None)
    for path, kind in ((placed, "gcps"), (make_png(300, 500), "none")):
        answer = make_session(path).ask(QUESTION, budget=FEW)
        answer.save(tmp_path / "heat.tif")
        written = open_scene(tmp_path / "heat.tif")
        assert answer.scene.georef == written.georef == kind
        assert (written.width, written.height) == (500, 300)
        points, expected = written.georeference.gcps, answer.scene.georeference.gcps
        assert np.allclose(points, expected)


@pytest.mark.parametrize("name", ["answer", "answer.docx", "answer.pkl", ".png"])
def test_another_suffix_is_refused_with_those_that_there_are(answer, tmp_path, name):
    with pytest.raises(OutputError, match=r"\.geojson, \.gpkg"):
        answer.save(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_format_can_be_added(answer, tmp_path, monkeypatch):
    monkeypatch.setattr(formats, "_WRITERS", dict(formats._WRITERS))
    formats.register_format(".TXT", lambda a, path: path.write_text(a.text))
    answer.save(tmp_path / "a.txt")
    assert (tmp_path / "a.txt").read_text() == answer.text


def test_a_saved_answer_survives_being_pickled(answer, tmp_path):
    copy = pickle.loads(pickle.dumps(answer))
    assert copy.to_json() == answer.to_json()
    assert copy.evidence.geojson() == answer.evidence.geojson()
    copy.save(tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_shown_in_a_terminal_its_page_is_opened(answer, monkeypatch):
    opened = []
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(showing.webbrowser, "open", opened.append)
    path = answer.show()
    assert opened == [path.as_uri()]
    page = path.read_text(encoding="utf-8")
    assert answer.question in page
    assert '"media_type":"image/webp"' in page
    assert path.parent.stat().st_mode & 0o077 == 0
    assert len(page) <= 3_000_000


def test_shown_in_a_notebook_it_is_displayed(answer, monkeypatch):
    displayed = []
    notebook = SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=object()))
    monkeypatch.setitem(sys.modules, "IPython", notebook)
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=displayed.append))
    assert answer.show() is None
    assert displayed == [answer]


def test_explore_is_a_map_of_the_evidence_without_words_of_others(answer, make_session, make_png):
    from dataclasses import replace

    evil = "<img src=x onerror=alert(1)>"
    page = replace(answer, text=evil, question=evil).explore(tiles=None).get_root().render()
    assert "onerror" not in page
    assert "attention" in page
    placeless = make_session(make_png(300, 500)).ask(QUESTION, budget=FEW)
    assert "L.CRS.Simple" in placeless.explore().get_root().render()


def test_explore_without_folium_names_the_extra(answer, monkeypatch):
    monkeypatch.setitem(sys.modules, "folium", None)
    with pytest.raises(MissingExtraError, match=r"geofovea\[maps\]"):
        answer.explore()


def test_what_is_printed_of_an_object_fits_a_line_or_two(answer, make_session):
    session = make_session()
    for thing, words in (
        (answer, ("Answer(", "% sure", "scene.tif")),
        (answer.evidence, ("EvidenceList(", "level")),
        (answer.cost, ("Cost(", " tiles, ", " vision tokens, ", " MB)")),
        (answer.scene, ("Scene(", "2048 x 2048 px", "EPSG:32633")),
        (session, ("SceneSession(", "levels 0 to")),
    ):
        text = repr(thing)
        assert text.count("\n") <= 1
        assert len(text) < 500
        assert all(word in text for word in words), text


def test_what_is_printed_of_a_long_answer_is_cut_and_harmless(answer):
    from dataclasses import replace

    text = repr(replace(answer, text="\x1b[2J" + "very " * 1000))
    assert "\x1b" not in text
    assert len(text) < 500
