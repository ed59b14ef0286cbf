"""One call opens a scene to be asked; numbers of tiles and tokens need no budget object."""

import inspect
from typing import get_args

import pytest
import rasterio.shutil
from pipeline_toys import QUESTION

import geofovea as gf


def test_a_scene_is_opened_asked_once_and_many_times(tiny_folder, scene_path):
    few = gf.Budget(tiles=8, tokens=40)
    scene = gf.open(scene_path, model=str(tiny_folder))
    assert isinstance(scene, gf.SceneSession)
    answer = scene.ask(QUESTION, budget=few)
    requests = [gf.AskRequest(QUESTION, few), gf.AskRequest("What is it?", few)]
    assert [a.question for a in scene.ask_many(requests)] == [QUESTION, "What is it?"]
    assert scene.ask_many(requests)[0].text == answer.text
    assert [type(each) for each in scene.ask_many([None, ""])] == [gf.QuestionError] * 2
    with pytest.raises(gf.QuestionError, match="got the one text 'What is"):
        scene.ask_many("What is it?")


def test_a_path_is_opened_with_the_options_of_a_scene(tiny_host, scene_path, tmp_path):
    assert gf.open(scene_path, model=tiny_host, nodata=0).scene.mask_kind == "declared"
    virtual = tmp_path / "scene.vrt"
    rasterio.shutil.copy(scene_path, virtual, driver="VRT")
    assert gf.open(virtual, model=tiny_host, allow_vrt=True).scene.driver == "VRT"
    with pytest.raises(gf.SceneError, match="open already; pass nodata= to"):
        gf.open(gf.open_scene(scene_path), model=tiny_host, nodata=0)


def test_a_scene_that_needs_a_model_says_so(monkeypatch, make_png):
    monkeypatch.delenv("GEOFOVEA_MODEL")
    with pytest.raises(gf.NoModelError):
        gf.open(make_png(80, 80))


def test_a_widget_that_is_not_there_is_an_extra_to_install(tiny_folder, scene_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "anywidget", None)
    monkeypatch.delitem(sys.modules, "geofovea.pipeline.viewer.widget", raising=False)
    with pytest.raises(gf.MissingExtraError, match=r"geofovea\[notebook\]"):
        gf.open(scene_path, model=str(tiny_folder)).show()


def test_tiles_and_tokens_take_the_place_of_a_budget(tiny_host, scene_path):
    few = gf.ask(scene_path, QUESTION, model=tiny_host, tiles=8, tokens=40)
    assert (few.cost.budget.tiles, few.cost.budget.tokens) == (8, 40)
    given = gf.Budget(tiles=12, tokens=60)
    half = gf.ask(scene_path, QUESTION, model=tiny_host, budget=given, tokens=40)
    assert (half.cost.budget.tiles, half.cost.budget.tokens) == (12, 40)
    own = tiny_host.default_budget
    some = gf.ask(scene_path, QUESTION, model=tiny_host, tiles=9)
    assert (some.cost.budget.tiles, some.cost.budget.tokens) == (9, own.tokens)


@pytest.mark.parametrize("budget", [10, "ten", {"tiles": 3}])
def test_what_is_no_budget_is_said_to_be_none(tiny_host, scene_path, budget):
    with pytest.raises(gf.BudgetError, match="give tiles="):
        gf.ask(scene_path, QUESTION, model=tiny_host, budget=budget)
    with pytest.raises(gf.BudgetError, match="give tiles="):
        gf.ask(scene_path, QUESTION, model=tiny_host, budget=budget, tokens=5)


@pytest.mark.parametrize(
    ("error", "base"),
    [
        (gf.SceneNotFoundError, FileNotFoundError),
        (gf.BudgetError, ValueError),
        (gf.QuestionError, ValueError),
        (gf.GeometryError, ValueError),
        (gf.ConfigurationError, ValueError),
        (gf.MissingExtraError, ImportError),
    ],
)
def test_an_error_is_what_python_calls_it_too(error, base):
    assert issubclass(error, base)
    assert issubclass(error, gf.GeoFoveaError)


def test_a_missing_file_is_caught_as_people_catch_it(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file"):
        gf.open_scene(tmp_path / "missing.tif")


def test_types_of_public_signatures_are_public():
    answer_types = {"Answer", "EvidenceList", "Cost", "Choice"}
    question_types = {"Host", "EndpointSettings", "SpendLimit", "StopAt", "Region", "Budget", "Box"}
    assert answer_types | question_types | {"AskRequest"} <= set(gf.__all__)
    assert gf.load_model is gf.load_host


@pytest.mark.parametrize("opening", [gf.open, gf.open_stack, gf.open_pair])
def test_an_editor_completes_all_that_a_model_is_loaded_by(opening):
    function = inspect.unwrap(opening)
    (name,) = [
        p.name for p in inspect.signature(function).parameters.values() if p.kind == p.VAR_KEYWORD
    ]
    (options,) = get_args(eval(function.__annotations__[name], function.__globals__))
    loading = set(inspect.signature(gf.load_host).parameters) - {"name", "endpoint"}
    passed_on = set(inspect.signature(gf.open_stack).parameters) - {"scenes", "dates", "loading"}
    expected = loading | (passed_on if opening is gf.open_pair else set())
    assert options.__optional_keys__ == expected
