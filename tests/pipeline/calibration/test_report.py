"""A calibration is written where the model is loaded from, with a card that says what was found."""

import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from dual_encoders import write_encoder
from PIL import Image
from pipeline_toys import load_anew

from geofovea.errors import BudgetError, ModelError, OutputError
from geofovea.pipeline.calibration.calibrate import CalibrationBudget
from geofovea.pipeline.calibration.focuses import focuses_of, measure_focuses
from geofovea.pipeline.calibration.idle_layers import write_with_idle_layers
from geofovea.pipeline.calibration.installation import (
    digest_of,
    install_calibration,
    record_of,
    settings_text,
)
from geofovea.pipeline.calibration.report import run_calibration, write_report
from geofovea.pipeline.cli.doctor import examine_here
from geofovea.pipeline.hosts.families.focus_state import focus_state
from geofovea.pipeline.hosts.load import embedded_model_path, load_host, load_uncalibrated
from geofovea.pipeline.hosts.settings import SETTINGS_FILE, user_calibration
from geofovea.pipeline.training.starting import shape_of
from geofovea.regionfocus.attention_mode import AttentionMode

PLACE = 3


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory):
    """A checkpoint that was calibrated, its folder, the report's, and the result."""
    folder = tmp_path_factory.mktemp("toy")
    write_with_idle_layers(
        embedded_model_path(), folder, good_layer=2, place=PLACE, depth=5, seed=1
    )
    host = load_anew(folder)
    assert "the default, not measured" in focus_state(str(folder))
    report = tmp_path_factory.mktemp("report")
    result = run_calibration(host, report, CalibrationBudget(looks=2), {})
    written = write_report(host, result, report, install=True)
    return SimpleNamespace(folder=folder, report=report, result=result, written=written)


def test_the_next_load_takes_the_calibration(calibrated):
    host = load_anew(calibrated.folder)
    assert host.focus_origin == "calibrated"
    assert host.attention_mode == calibrated.result.calibration.mode
    assert PLACE in host.attention_mode.layers
    assert focus_state(str(calibrated.folder)).startswith("calibrated, points at")


def test_doctor_tells_the_focus_of_a_folder_and_of_a_downloaded_hub_id(
    calibrated, tmp_path, monkeypatch
):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    repository = tmp_path / "models--someone--tiny"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0" * 40)
    (repository / "snapshots").mkdir()
    (repository / "snapshots" / ("0" * 40)).symlink_to(calibrated.folder)
    for name, told in {
        str(calibrated.folder): "calibrated, points at",
        "someone/tiny": "calibrated, points at",
        "someone/else": "neither a folder nor a downloaded model: geofovea models get someone/else",
        "no/such/id": "'no/such/id' is neither a folder nor a hub id",
        "openai:any": "an endpoint shows no attention",
    }.items():
        assert told in examine_here(model=name).focus[name]


def test_other_settings_of_the_model_stay(calibrated):
    settings = json.loads((calibrated.folder / SETTINGS_FILE).read_text("utf-8"))
    assert settings["domain"] == "synthetic"
    assert settings["calibration"]["weights"] == digest_of(str(calibrated.folder))


def test_a_calibrated_model_can_be_trained_further(calibrated, tmp_path):
    shape, record = shape_of(embedded_model_path()), calibrated.result.calibration
    shutil.copytree(embedded_model_path(), tmp_path, dirs_exist_ok=True)
    path = tmp_path / SETTINGS_FILE
    text = settings_text(AttentionMode((1,)), record_of(record, "0" * 64), path)
    path.write_text(text, "utf-8")
    assert shape_of(tmp_path) == shape
    # earlier releases left out where the attention was trained
    settings = {k: v for k, v in json.loads(text).items() if k != "focus_layer"}
    path.write_text(json.dumps(settings), "utf-8")
    assert shape_of(tmp_path) == replace(shape, focus_layer=1)


@pytest.mark.parametrize(
    ("spoilt", "words"),
    [
        ({"weights": "0" * 64}, "was measured on weights 000000000000"),
        ({"accuracy": 1.7}, "1.7 cannot be the accuracy of a calibration"),
    ],
)
def test_what_a_calibration_that_does_not_fit_says_to_do_can_be_done(
    calibrated, tmp_path, spoilt, words
):
    for path in calibrated.folder.iterdir():
        (tmp_path / path.name).symlink_to(path)
    settings = json.loads((tmp_path / SETTINGS_FILE).read_text("utf-8"))
    settings["calibration"] |= spoilt
    (tmp_path / SETTINGS_FILE).unlink()
    (tmp_path / SETTINGS_FILE).write_text(json.dumps(settings))
    with pytest.raises(ModelError, match=words) as refused:
        load_anew(tmp_path)
    assert "geofovea calibrate" in str(refused.value)
    again = load_uncalibrated(str(tmp_path), device="cpu")
    assert again.focus_origin == "default"
    assert again.capabilities.domain == "synthetic"
    calibration = calibrated.result.calibration
    install_calibration(
        str(tmp_path), calibration.mode, record_of(calibration, digest_of(str(tmp_path)))
    )
    assert load_anew(tmp_path).focus_origin == "calibrated"


def test_an_interval_that_is_not_known_is_not_told_as_a_number(calibrated):
    path = calibrated.folder / SETTINGS_FILE
    before = path.read_text("utf-8")
    settings = json.loads(before)
    settings["calibration"] |= {"accuracy": 0.5, "interval": [0.5, 0.5]}
    path.write_text(json.dumps(settings))
    told = focus_state(str(calibrated.folder))
    path.write_text(before)
    assert "points at 0.50 [n/a] of" in told


def test_the_card_names_what_was_chosen_and_shows_a_picture(calibrated):
    card = (calibrated.report / "calibration.md").read_text("utf-8")
    assert f"**{calibrated.result.calibration.chosen}**" in card
    assert "without calibration" in card
    assert "| uncalibrated" in card or "**uncalibrated**" in card
    with Image.open(calibrated.report / "calibration.png") as picture:
        assert min(picture.size) > 300
        assert len(np.unique(np.asarray(picture.convert("L")))) > 20


def test_a_model_of_the_package_is_calibrated_in_the_users_folder(
    calibrated, tmp_path, monkeypatch
):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    before = (embedded_model_path() / SETTINGS_FILE).read_bytes()
    calibration = calibrated.result.calibration
    record = record_of(calibration, digest_of("embedded"))
    path = install_calibration("embedded", calibration.mode, record)
    assert path == user_calibration(digest_of("embedded"))
    assert path.is_relative_to(tmp_path)
    assert (embedded_model_path() / SETTINGS_FILE).read_bytes() == before


def test_where_nothing_can_be_written_beside_it_says_where_the_calibration_is(
    calibrated, tmp_path, monkeypatch
):
    # a file where a folder should be stops whoever may write everywhere, too
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "file"))
    (tmp_path / "file").write_text("")
    calibration = calibrated.result.calibration
    record = record_of(calibration, digest_of("embedded"))
    with pytest.raises(OutputError, match=r"geofovea\.json of the output folder") as refused:
        install_calibration("embedded", calibration.mode, record)
    assert "install=False" in str(refused.value)
    assert "name another folder" not in str(refused.value)


def test_what_has_no_weights_cannot_be_named_by_them(tmp_path):
    with pytest.raises(ModelError, match="no weights in safetensors"):
        digest_of(str(tmp_path))


def test_a_host_that_cannot_focus_is_refused_with_what_to_do(tmp_path):
    blind = SimpleNamespace(name="blind", capabilities=SimpleNamespace(attention=False))
    with pytest.raises(ModelError, match="focus_model="):
        run_calibration(blind, tmp_path, CalibrationBudget(looks=2), {})
    assert focuses_of(blind, "clip") == ("similarity",)


def test_attention_and_similarity_point_at_the_same_objects(tmp_path):
    write_encoder(tmp_path / "clip", "clip")
    host = load_host("embedded", "cpu")
    names = focuses_of(host, str(tmp_path / "clip"))
    assert names == ("attention", "similarity")
    attention, similarity = measure_focuses(
        host, names, tmp_path, scenes=1, focus_model=str(tmp_path / "clip")
    )
    assert [len(each) for each in attention.hits] == [len(each) for each in similarity.hits]
    assert attention.accuracy[0] > similarity.accuracy[0], "a random encoder points nowhere"
    assert attention.tokens > 0 == similarity.tokens
    with pytest.raises(BudgetError, match="seconds="):
        measure_focuses(host, ("attention",), tmp_path, scenes=1, seconds=0.0)
