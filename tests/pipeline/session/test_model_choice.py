"""Who answers where no model is named: the demo model what it knows, and nobody anything else."""

import json
import warnings

import pytest
from cli_toys import FEW
from click.testing import CliRunner
from pipeline_toys import texture

import geofovea as gf
from geofovea.datasets.synthetic.scene_files import write_scene
from geofovea.datasets.synthetic.versions import world_of
from geofovea.errors import DemoModelWarning, NoModelError
from geofovea.pipeline.cli import main
from geofovea.pipeline.evaluation.harness import make_answerer
from geofovea.pipeline.hosts import load
from geofovea.pipeline.hosts.load import embedded_model_path
from geofovea.pipeline.session.model_choice import chosen_model, usual_tile_size
from geofovea.pipeline.session.settings import AskSettings
from geofovea.pipeline.session.xarray_accessor import FoveaAccessor

QUESTION = "How many planes are there?"
WAYS = ("ollama pull", "vllm serve", "downloads 1.8 GB once")
needs_model = pytest.mark.skipif(
    not (embedded_model_path() / "config.json").exists(), reason="no embedded model here"
)


@pytest.fixture(autouse=True)
def no_model_named(monkeypatch):
    monkeypatch.delenv("GEOFOVEA_MODEL")


@pytest.fixture
def raster(make_tiff):
    """A raster that does not say that it is synthetic."""
    return make_tiff(texture(300, 300))


@pytest.fixture
def run():
    return lambda *words: CliRunner().invoke(main, [str(word) for word in words])


def table(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_synthetic_scenes_are_answered_by_the_embedded_model(scene_path):
    assert chosen_model("auto", [gf.open_scene(scene_path)]) == "embedded"


@pytest.mark.parametrize(("model", "side"), [("", 256), ("embedded", 192), ("embedded-earth", 256)])
def test_the_usual_tile_is_that_of_the_model_that_would_answer(monkeypatch, tmp_path, model, side):
    earth = tmp_path / "earth"
    earth.mkdir()
    config = json.loads((embedded_model_path("embedded-earth") / "config.json").read_text())
    config["vision_config"]["image_size"] = 256
    (earth / "config.json").write_text(json.dumps(config))
    monkeypatch.setitem(load._FOLDERS, "embedded-earth", earth)
    path = tmp_path / "scene.tif"
    write_scene(world_of(2, 7, 768, 768), path)
    monkeypatch.setenv("GEOFOVEA_MODEL", model)
    assert usual_tile_size(gf.open_scene(path)) == side


def test_a_name_and_the_variable_go_before_what_the_scene_is(monkeypatch, raster):
    scenes = [gf.open_scene(raster)]
    assert chosen_model("owner/name", scenes) == "owner/name"
    monkeypatch.setenv("GEOFOVEA_MODEL", "openai:x")
    assert chosen_model("auto", scenes) == "openai:x"
    assert chosen_model("owner/name", scenes) == "owner/name"
    monkeypatch.setenv("GEOFOVEA_MODEL", " ")
    with pytest.raises(NoModelError):
        chosen_model("auto", scenes)


def test_one_scene_of_another_kind_is_enough_to_refuse_all(scene_path, raster):
    with pytest.raises(NoModelError, match=raster.name):
        chosen_model("auto", [gf.open_scene(scene_path), gf.open_scene(raster)])


def test_every_door_of_python_refuses_another_scene_and_says_how_to_get_a_model(raster):
    rioxarray = pytest.importorskip("rioxarray")
    with rioxarray.open_rasterio(raster) as array:
        doors = {
            "ask": lambda: gf.ask(raster, QUESTION),
            "accessor": lambda: FoveaAccessor(array).ask(QUESTION),
            "harness": lambda: make_answerer()(str(raster), QUESTION),
        }
        for name, door in doors.items():
            with pytest.raises(NoModelError) as caught:
                door()
            assert [way for way in WAYS if way not in str(caught.value)] == [], name


@pytest.mark.parametrize("verb", ["ask", "batch", "eval"])
def test_every_verb_that_asks_refuses_another_scene_with_exit_code_2(verb, run, raster, tmp_path):
    out = tmp_path / "out"
    rows = table(tmp_path / "rows.jsonl", {"scene": str(raster), "question": QUESTION})
    sample = {"question_id": "1", "image": raster.name, "text": QUESTION, "ground_truth": "2"}
    table(raster.parent / "annotations.jsonl", sample | {"category": "count"})
    result = {
        "ask": lambda: run("ask", raster, QUESTION),
        "batch": lambda: run("batch", rows, "--output", out, "--jsonl-only"),
        "eval": lambda: run("eval", "synthetic", "--root", raster.parent, "--output", out),
    }[verb]()
    assert result.exit_code == 2, result.stderr
    assert [way for way in WAYS if way not in result.stderr] == []
    assert not (out / "journal.sqlite").exists()


def test_a_scene_that_cannot_be_opened_does_not_settle_the_model(run, tmp_path):
    rows = table(tmp_path / "rows.jsonl", {"scene": "missing.tif", "question": QUESTION})
    result = run("batch", rows, "--output", tmp_path / "out", "--jsonl-only")
    assert "no model is named" not in result.stderr
    row = json.loads((tmp_path / "out" / "answers.jsonl").read_text())
    assert "missing.tif" in row["error"]


def test_the_demo_model_answers_by_name_without_a_confidence(tiny_folder, run, raster):
    result = run("ask", raster, QUESTION, "--model", tiny_folder, *FEW)
    assert result.exit_code == 0, result.stderr
    assert "(no confidence: demo model)" in result.stdout.splitlines()[0]
    assert "% sure" not in result.stdout
    assert "DemoModelWarning" not in result.stderr
    row = json.loads(run("ask", raster, QUESTION, "--model", tiny_folder, *FEW, "--json").stdout)
    assert (row["confidence"], row["confidence_known"]) == (None, False)
    assert row["confidence_text"] == "no confidence: demo model"


def test_python_warns_of_each_guess_at_the_line_that_asked(make_session, raster):
    session = make_session(raster)
    few = gf.Budget(tiles=8, tokens=40)
    for _ in range(2):
        with pytest.warns(DemoModelWarning, match="is not synthetic") as caught:
            answer = session.ask(QUESTION, budget=few)
        assert [w.filename for w in caught] == [__file__]
        assert (answer.is_demo, answer.confidence, answer.confidence_known) == (True, 0.0, False)
    with pytest.warns(DemoModelWarning) as caught:
        session.ask_many([QUESTION, "What is it?", ""])
    assert [w.filename for w in caught] == [__file__] * 2
    with pytest.warns(DemoModelWarning) as caught:
        gf.ask(raster, QUESTION, model=session.host, budget=few)
    assert [w.filename for w in caught] == [__file__]


def test_a_guess_about_another_version_of_the_world_is_told_from_one_about_a_photo(
    make_session, tmp_path
):
    world = world_of(2, 3, 768, 768)
    write_scene(world, tmp_path / "other.tif", bands=4)
    session = make_session(tmp_path / "other.tif")
    with pytest.warns(DemoModelWarning, match="another version of the synthetic world"):
        assert session.ask(QUESTION, budget=gf.Budget(tiles=8, tokens=40)).is_demo


@needs_model
def test_the_demo_model_that_learned_the_world_of_a_scene_answers(scene_path, tmp_path, run):
    earth = tmp_path / "earth.tif"
    write_scene(world_of(2, 3, 768, 768), earth)
    scenes = [gf.open_scene(path) for path in (scene_path, earth)]
    assert [chosen_model("auto", [scene]) for scene in scenes] == ["embedded", "embedded-earth"]
    assert chosen_model("auto", scenes) == "embedded-earth", "it knows both"
    few = ("--json", "--tiles", "8", "--tokens", "200")
    answers = [
        json.loads(run("ask", path, QUESTION, "--model", name, *few).stdout)
        for name, path in (("auto", earth), ("embedded-earth", scene_path), ("embedded", earth))
    ]
    assert [row["model"] for row in answers] == ["embedded-earth", "embedded-earth", "embedded"]
    assert [row["confidence_known"] for row in answers] == [True, True, False]


def test_a_synthetic_scene_has_a_confidence_and_no_warning(make_session):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        answer = make_session().ask(QUESTION, budget=gf.Budget(tiles=8, tokens=40))
    assert answer.confidence_known
    assert not answer.is_demo
    assert answer.confidence_text.endswith("% sure")


@needs_model
def test_a_synthetic_scene_needs_no_name_at_any_door(scene_path, run):
    xarray = pytest.importorskip("xarray")
    few = gf.Budget(tiles=8, tokens=200)
    answer = gf.ask(scene_path, QUESTION, budget=few)
    assert (answer.model, answer.is_demo) == ("embedded", False)
    with xarray.open_datatree(scene_path, engine="geofovea") as tree:
        assert tree.fovea.ask(QUESTION, budget=few).text == answer.text
    printed = run("ask", scene_path, QUESTION, "--json", "--tiles", "8", "--tokens", "200")
    assert json.loads(printed.stdout)["answer"] == answer.text


def test_settings_of_the_same_run_have_one_hash_however_the_model_was_settled(
    monkeypatch, scene_path
):
    named = AskSettings("embedded")
    settled = AskSettings("auto").for_scenes([gf.open_scene(scene_path)])
    monkeypatch.setenv("GEOFOVEA_MODEL", "embedded")
    configured = AskSettings("auto").for_scenes([])
    assert settled.hash == configured.hash == named.hash


@pytest.mark.parametrize("model", [3, None, object(), ["embedded"]])
def test_what_is_neither_a_name_nor_a_host_is_refused(scene_path, model):
    with pytest.raises(gf.ModelError, match="neither the name of a model nor a loaded one"):
        gf.ask(scene_path, "Is there a plane?", model=model)


def test_a_folder_may_be_given_as_a_path(scene_path, tiny_folder):
    assert gf.open(scene_path, model=tiny_folder).host.name == str(tiny_folder)
