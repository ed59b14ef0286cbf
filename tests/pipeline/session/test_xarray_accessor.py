"""Questions to xarray objects, and answers that go back to them."""

import gc
import json
import re
import subprocess
import sys
import weakref
from dataclasses import replace
from html.parser import HTMLParser

import geopandas
import numpy as np
import pytest
import rasterio
import rioxarray
import shapely
import xarray as xr
from PIL import Image
from pipeline_toys import QUESTION, texture
from rasterio.transform import Affine

import geofovea as gf
from geofovea.errors import BudgetError, GeometryError, MissingExtraError, OutputError, SceneError
from geofovea.pipeline.answers import html as answer_html_module
from geofovea.pipeline.hosts.endpoint.host import endpoint_host
from geofovea.pipeline.hosts.endpoint.settings import EndpointSettings
from geofovea.pipeline.session.xarray_accessor import GeoFoveaBackend
from geofovea.regionfocus.budget import Budget
from geofovea.tiling.files.source import Source
from geofovea.tiling.pyramid import Pyramid

FEW = Budget(tiles=12, tokens=60)


@pytest.fixture
def answer(make_session):
    return make_session().ask(QUESTION, budget=FEW)


@pytest.fixture
def placeless(make_session, make_png):
    return make_session(make_png(300, 200)).ask(QUESTION, budget=FEW)


@pytest.fixture
def forms(scene_path):
    """The same scene in all the forms that it can have in xarray."""

    def make(form):
        if form == "tree":
            return xr.open_datatree(scene_path, engine=GeoFoveaBackend)
        if form == "chunked tree":
            return xr.open_datatree(scene_path, engine=GeoFoveaBackend, chunks={})
        if form == "one level":
            return xr.open_dataset(scene_path, engine=GeoFoveaBackend)
        array = rioxarray.open_rasterio(scene_path, chunks={} if form == "dask" else None)
        if form == "dataset":
            return array.to_dataset(dim="band").rename({1: "red", 2: "green", 3: "blue"})
        if form == "numpy, last":
            return array.load().transpose("y", "x", "band")
        return array.load() if form == "numpy" else array

    return make


def facts_of(answer):
    """What must not depend on the form of a scene."""
    row = answer.to_json()
    return [row[k] for k in ("answer", "confidence", "evidence")] + [
        row["cost"][k] for k in ("tiles_by_level", "tokens_total", "tokens_llm")
    ]


@pytest.mark.parametrize("form", ["tree", "chunked tree"])
def test_the_lazy_pyramid_of_a_file_is_answered_as_the_file(forms, form, tiny_host, scene_path):
    truth = gf.ask(scene_path, QUESTION, model=tiny_host, budget=FEW)
    found = gf.ask(forms(form), QUESTION, model=tiny_host, budget=FEW)
    assert facts_of(found) == facts_of(truth)
    # also that it is a synthetic scene
    assert found.warnings == truth.warnings


@pytest.mark.parametrize("form", ["one level", "dask", "numpy, last", "dataset"])
def test_every_form_of_an_array_is_answered_as_numpy(forms, form, tiny_host):
    truth = gf.ask(forms("numpy"), QUESTION, model=tiny_host, budget=FEW)
    found = gf.ask(forms(form), QUESTION, model=tiny_host, budget=FEW)
    assert facts_of(found) == facts_of(truth)


def test_an_object_is_searched_counted_and_measured_as_the_file(forms, tiny_host, scene_path):
    tree, how = forms("tree"), {"model": tiny_host, "tiles": 12}
    found, truth = tree.fovea.find("plane", **how), gf.find(scene_path, "plane", **how)
    assert [p.box_scene for p in found] == [p.box_scene for p in truth]
    assert found.coverage == truth.coverage
    found, truth = tree.fovea.count("truck", **how), gf.count(scene_path, "truck", **how)
    assert (found.value, found.low, found.high) == (truth.value, truth.low, truth.high)
    question = "distance from the plane to the truck"
    found, truth = tree.fovea.measure(question, **how), gf.measure(scene_path, question, **how)
    assert found.sentence == truth.sentence
    # the tokens of one verb are there for the next
    assert len(tree.fovea._sessions) == 1


def test_a_session_takes_limits_by_name_as_ask_does(make_session):
    session = make_session()
    truth = session.ask(QUESTION, budget=FEW)
    assert session.ask(QUESTION, tiles=12, tokens=60).cost.budget == truth.cost.budget
    assert session.ask(QUESTION, budget=FEW, tiles=7).cost.budget == replace(FEW, tiles=7)
    with pytest.raises(BudgetError, match="tiles"):
        session.measure("distance from the plane to the truck", tiles=0)


@pytest.mark.parametrize(
    ("region", "message"),
    [
        (geopandas.GeoSeries([shapely.box(0, 0, 9, 9)] * 2, crs=4326), "got a GeoSeries; make"),
        (
            geopandas.GeoDataFrame(geometry=[shapely.box(0, 0, 9, 9)]),
            "frame.union_all(), frame.crs",
        ),
        (shapely.box(0, 0, 9, 9), "geofovea.Region.from_crs(scene, polygon, crs)"),
        (np.eye(3), "geofovea.Region(polygon)"),
    ],
    ids=["series", "frame", "polygon", "array"],
)
def test_what_is_no_region_is_refused_in_one_line_with_what_would_be(region, message, make_session):
    with pytest.raises(GeometryError, match=re.escape(message)) as told:
        make_session().ask(QUESTION, region=region)
    assert "\n" not in str(told.value)


def test_an_array_is_answered_as_the_file_whose_overviews_are_exact_averages(make_tiff, tiny_host):
    path = make_tiff(texture(512, 512), photometric="rgb")
    with rasterio.open(path, "r+") as dataset:
        dataset.build_overviews((2, 4, 8), rasterio.enums.Resampling.average)
    truth = gf.ask(path, QUESTION, model=tiny_host, budget=FEW)
    with rioxarray.open_rasterio(path) as array:
        found = gf.ask(array, QUESTION, model=tiny_host, budget=FEW)
    assert facts_of(found) == facts_of(truth)
    assert any("guess" in warning for warning in found.warnings)


@pytest.mark.parametrize("form", ["bands first", "bands last", "PIL", "dataset"])
def test_a_picture_that_a_program_holds_is_answered_as_the_file(make_tiff, tiny_host, form):
    path = make_tiff(texture(512, 512), photometric="rgb")
    with rasterio.open(path, "r+") as dataset:
        dataset.build_overviews((2, 4, 8), rasterio.enums.Resampling.average)
    truth = gf.ask(path, QUESTION, model=tiny_host, budget=FEW)
    with rasterio.open(path) as dataset:
        first = dataset.read()
        last = np.moveaxis(first, 0, 2).copy()
        pictures = {"bands first": first, "bands last": last, "dataset": dataset}
        picture = Image.fromarray(last) if form == "PIL" else pictures[form]
        found = gf.open(picture, model=tiny_host).ask(QUESTION, budget=FEW)
    looks, expected = ([facts_of(a)[n] for n in (0, 1, 3, 4, 5)] for a in (found, truth))
    assert looks == expected
    assert [e.box_scene for e in found.evidence] == [e.box_scene for e in truth.evidence]
    # pixels alone know no place on the map
    assert (facts_of(found) == facts_of(truth)) == (form == "dataset")


def test_the_accessor_asks_and_keeps_what_it_read(forms, tiny_host):
    tree = forms("tree")
    truth = gf.ask(tree, QUESTION, model=tiny_host, budget=FEW)
    objects = (tree, tree["0"].to_dataset(), tree["0"]["band_data"])
    for obj in objects:
        first = obj.fovea.ask(QUESTION, model=tiny_host, budget=FEW)
        again = obj.fovea.ask(QUESTION, model=tiny_host, budget=FEW)
        assert facts_of(again) == facts_of(first)
        assert first.cost.tiles_read == first.cost.tiles_encoded
        assert again.cost.tiles_read == 0
    assert facts_of(tree.fovea.ask(QUESTION, model=tiny_host, budget=FEW)) == facts_of(truth)
    assert tree.fovea.scene.crs_name == "EPSG:32633"


def test_the_accessor_refuses_what_is_no_image(tiny_host):
    with pytest.raises(SceneError, match="rows called y"):
        xr.DataArray([1, 2, 3], dims="time").fovea.ask(QUESTION, model=tiny_host)


def test_listing_engines_loads_no_model_and_no_raster_library():
    code = (
        "import sys, geofovea.pipeline.session.xarray_accessor; "
        "print(*(n for n in ('torch', 'rasterio', 'transformers', 'PIL') if n in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_asking_about_a_file_needs_no_xarray():
    code = "import sys, geofovea; geofovea.ask; geofovea.open_scene; print('xarray' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_heat_map_lies_on_the_scene_and_rioxarray_reads_it_back(answer, scene_path):
    heat = answer.to_xarray()
    assert heat.dims == ("y", "x")
    assert heat.dtype == np.float32
    assert heat.shape == (2048, 2048)
    with rasterio.open(scene_path) as dataset:
        assert heat.rio.crs == dataset.crs
        assert heat.rio.bounds() == pytest.approx(tuple(dataset.bounds))
        assert heat.rio.transform() == dataset.transform
    half = answer.to_xarray(1)
    assert half.rio.resolution() == pytest.approx((1.0, -1.0), rel=0.02)
    assert half.rio.bounds() == pytest.approx(heat.rio.bounds())


@pytest.mark.parametrize("level", [0, 1, 3, 6])
def test_a_heat_map_has_the_finest_look_and_its_strongest_token(answer, level):
    heat = answer.to_xarray(level)
    step = 1 << level
    values, seen_from = heat.to_numpy(), heat["look_level"].to_numpy()
    assert heat.shape == (2048 // step, 2048 // step)
    assert np.nanmin(values) >= 0
    assert np.nanmax(values) == 1
    assert ((seen_from == -1) == np.isnan(values)).all()
    finest = answer.looks[-1]
    boxes, scores = finest.token_boxes, finest.token_scores
    if step <= boxes[:, 2].max() - boxes[:, 0].min():
        x, y = (boxes[:, :2] + boxes[:, 2:])[scores.argmax()] / 2 // step
        assert values[int(y), int(x)] == 1
        assert seen_from[int(y), int(x)] == finest.level
    if level == 0:
        for box, score in zip(boxes, scores, strict=True):
            x0, y0, x1, y1 = box.astype(int)
            assert (values[y0:y1, x0:x1] == np.float32(score / scores.max())).all()


def test_a_heat_map_shows_coarser_looks_where_there_is_no_finer_one(answer):
    levels = {look.level for look in answer.looks[1:]}
    assert set(np.unique(answer.to_xarray(0)["look_level"])) <= levels | {-1}
    assert len(levels) > 1
    # the first look is the overview, whose scores say nothing
    assert answer.looks[0].level not in levels


def test_a_heat_map_can_be_written_and_clipped(answer, tmp_path):
    heat = answer.to_xarray(2)
    heat.rio.to_raster(tmp_path / "heat.tif")
    with rasterio.open(tmp_path / "heat.tif") as dataset:
        assert dataset.crs.to_epsg() == 32633
        np.testing.assert_array_equal(dataset.read(1), heat.to_numpy())
    left, bottom, right, top = heat.rio.bounds()
    middle = (left + right) / 2
    assert heat.rio.clip_box(left, bottom, middle, top).shape == (512, 256)


def test_a_heat_map_without_a_place_has_pixels_only(placeless):
    heat = placeless.to_xarray(0)
    assert heat.shape == (300, 200)
    assert heat.rio.crs is None
    assert not {"x", "y"} & set(heat.coords)


def test_a_heat_map_of_a_turned_scene_keeps_its_transform(make_session, make_tiff):
    turned = Affine.translation(500_000, 5_400_000) @ Affine.rotation(30) @ Affine.scale(2, -2)
    answer = make_session(make_tiff(texture(200, 300), transform=turned)).ask(QUESTION, budget=FEW)
    heat = answer.to_xarray(1)
    assert not {"x", "y"} & set(heat.coords)
    assert tuple(heat.rio.transform()) == pytest.approx(tuple(turned @ Affine.scale(2)))
    assert gf.open_scene(heat).georef == "affine"


@pytest.mark.parametrize("level", [-1, -5])
def test_a_heat_map_has_no_negative_level(answer, level):
    with pytest.raises(GeometryError, match="use a level from 0 up"):
        answer.to_xarray(level)


def test_a_heat_map_is_bounded(answer, monkeypatch):
    monkeypatch.setattr("geofovea.pipeline.answers.heat_map.MAX_PIXELS", 1024**2)
    with pytest.raises(GeometryError, match="use a level from 1 up"):
        answer.to_xarray(0)
    assert answer.to_xarray(1).shape == (1024, 1024)


def test_geoparquet_keeps_the_crs_and_the_rows(answer, placeless, tmp_path):
    import geopandas

    for name, one in (("a.parquet", answer), ("b.parquet", placeless)):
        one.evidence.to_geoparquet(tmp_path / name)
        read, frame = geopandas.read_parquet(tmp_path / name), one.evidence.to_geodataframe()
        assert read.crs == frame.crs
        assert read.geometry.equals(frame.geometry)
        assert list(read.columns) == list(frame.columns)
        assert read.score.tolist() == frame.score.tolist()
    with pytest.raises(OutputError, match="there is no folder"):
        answer.evidence.to_geoparquet(tmp_path / "nowhere" / "a.parquet")


def test_geoparquet_without_pyarrow_names_the_extra(answer, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(MissingExtraError, match=r"geofovea\[geo\]"):
        answer.evidence.to_geoparquet(tmp_path / "a.parquet")


class Reading(HTMLParser):
    """What a browser makes of a page: its tags with their attributes, and its text."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def test_html_shows_the_picture_the_words_and_the_cost(answer):
    page = answer._repr_html_()
    read = Reading(page)
    images = [attrs for tag, attrs in read.tags if tag == "img"]
    assert len(images) == 1
    assert images[0]["src"].startswith("data:image/webp;base64,UklGR")
    for words in (QUESTION, answer.text, f"{answer.confidence:.0%} sure"):
        assert words in images[0]["alt"]
    assert page.count(QUESTION) == 1, "the picture says it; nobody reads it twice"
    assert f"{answer.cost.tokens_llm} of {answer.cost.tokens_total}" in read.text
    for warning in answer.warnings:
        assert warning in read.text
    assert len(page) <= 150_000


def test_html_asks_nobody_for_anything(answer):
    page = answer._repr_html_()
    words = re.sub(r"src='data:image/webp;base64,[A-Za-z0-9+/=]+'", "", page)
    assert "src=" not in words
    assert "http" not in words
    assert "url(" not in words
    assert not {tag for tag, _ in Reading(page).tags} & {"script", "link", "iframe", "style"}


def test_words_of_others_are_text_and_never_tags(answer, monkeypatch):
    evil = "</p><script>alert('x')</script><img src=x onerror='alert(1)'>\"&"
    for name in ("question", "text", "model"):
        object.__setattr__(answer, name, evil)
    object.__setattr__(answer, "warnings", (evil,) * 50)
    object.__setattr__(answer.scene, "path", evil)
    read = Reading(answer._repr_html_())
    assert [tag for tag, _ in read.tags if tag in ("script", "img")] == ["img"]
    assert not [attrs for _, attrs in read.tags if "onerror" in attrs]
    assert read.text.count("alert('x')") >= 3
    (alt,) = [attrs["alt"] for tag, attrs in read.tags if tag == "img"]
    assert alt.count("alert('x')") == 2


def test_html_of_a_vanished_file_keeps_its_words(make_session, make_tiff):
    answer = make_session(make_tiff(texture(200, 200))).ask(QUESTION, budget=FEW)
    gone = replace(answer.scene, source=Source("gone.tif", "GTiff", 1, 1))
    answer = replace(answer, scene=gone)
    read = Reading(answer._repr_html_())
    assert "no picture" in read.text
    assert answer.text in read.text
    assert not [tag for tag, _ in read.tags if tag == "img"]


def test_a_large_picture_becomes_a_smaller_one(answer, monkeypatch):
    whole = answer._repr_html_()
    monkeypatch.setattr(answer_html_module, "MAX_NOTEBOOK_BYTES", 30_000)
    assert len(answer._repr_html_()) <= 30_000 < len(whole)


def test_an_answer_about_an_array_is_shown_and_written_too(forms, tiny_host, tmp_path):
    answer = gf.ask(forms("dask"), QUESTION, model=tiny_host, budget=FEW)
    assert "data:image/webp" in answer._repr_html_()
    assert answer.to_xarray(2).rio.crs.to_epsg() == 32633
    answer.evidence.to_geojson(tmp_path / "evidence.geojson")
    assert json.loads((tmp_path / "evidence.geojson").read_text(encoding="utf-8"))["features"]
    assert Pyramid(2048, 2048, 64).top_level + 1 == answer.levels


def test_an_object_remembers_four_sessions_and_the_hosts_that_they_are_named_by(forms):
    accessor = forms("numpy").fovea
    hosts = [
        endpoint_host(f"toy{number}", EndpointSettings("http://127.0.0.1:1/v1"))
        for number in range(5)
    ]
    names = [accessor._session(host).host.name for host in hosts]
    assert names == [host.name for host in hosts]
    assert accessor._session(hosts[4]) is accessor._session(hosts[4])
    references = [weakref.ref(host) for host in hosts]
    del hosts[:]
    gc.collect()
    # an id that is free again may be that of another model
    assert [reference() is None for reference in references] == [True, False, False, False, False]
