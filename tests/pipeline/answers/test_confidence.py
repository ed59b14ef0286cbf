"""How sure an answer is: the probability of its words, or what a temperature makes of it."""

import json
import math
import shutil

import pytest
from pipeline_toys import QUESTION, load_anew

import geofovea as gf
from geofovea.errors import ModelError
from geofovea.pipeline.answers.confidence import Choice, confidence_of
from geofovea.pipeline.focus.stopping import StopAt
from geofovea.pipeline.hosts.load import EMBEDDED_EARTH, embedded_model_path
from geofovea.pipeline.hosts.settings import SETTINGS_FILE, HostSettings

BUDGET = gf.Budget(tiles=12, tokens=60)
TEMPERATURE = 3.0


@pytest.mark.parametrize(
    ("probability", "temperature", "told"),
    [(0.5, 3.0, 0.5), (0.9, 2.0, 0.75), (0.1, 2.0, 0.25), (0.9, 1.0, 0.9), (0.0, 3.0, 0.0)],
)
def test_a_temperature_divides_log_odds(probability, temperature, told):
    logs = (math.log(max(probability, 1e-300)),)
    assert confidence_of(logs, temperature) == pytest.approx(told, abs=1e-6)
    assert confidence_of((), temperature) == 0


def test_above_a_temperature_of_1_no_answer_is_entirely_sure():
    assert confidence_of((0.0,)) == 1
    assert 0.99 < confidence_of((0.0,), TEMPERATURE) < 0.999


def test_choices_are_shared_out_by_the_temperature_and_keep_their_order():
    logs = [math.log(p) for p in (0.9, 0.09, 0.01)]
    shares = [choice.probability for choice in Choice.of("abc", logs, 2.0)]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(1)
    assert shares[0] / shares[1] == pytest.approx(math.sqrt(10))


@pytest.fixture(scope="module")
def hosts(tiny_folder, tmp_path_factory):
    """A model as it is, and the same one with a temperature."""
    folder = tmp_path_factory.mktemp("tempered") / "model"
    shutil.copytree(tiny_folder, folder)
    settings = json.loads((folder / SETTINGS_FILE).read_text("utf-8"))
    settings["confidence_temperature"] = TEMPERATURE
    (folder / SETTINGS_FILE).write_text(json.dumps(settings), "utf-8")
    return load_anew(tiny_folder), load_anew(folder)


def answers_of(hosts, path, **options):
    return [
        gf.SceneSession(gf.open_scene(path), host).ask(QUESTION, budget=BUDGET, **options)
        for host in hosts
    ]


def test_an_answer_is_as_sure_as_the_temperature_of_its_model_says(hosts, scene_path):
    plain, tempered = answers_of(hosts, scene_path)
    assert tempered.text == plain.text
    assert tempered.confidence != pytest.approx(plain.confidence)
    assert tempered.confidence == confidence_of((math.log(plain.confidence),), TEMPERATURE)


def test_a_choice_is_as_sure_as_it_is_likely_among_the_choices(hosts, scene_path):
    for answer in answers_of(hosts, scene_path, choices=["red", "green", "blue"]):
        (chosen,) = [each for each in answer.choices if each.text == answer.text]
        assert answer.confidence == pytest.approx(chosen.probability)


def test_a_search_that_stops_when_sure_means_the_confidence_of_the_answer(hosts, scene_path):
    plain, tempered = (
        answer.confidence for answer in answers_of(hosts, scene_path, focus="overview")
    )
    low, high = sorted((plain, tempered))
    told = [
        a.stopped for a in answers_of(hosts, scene_path, stop=StopAt(confidence=(low + high) / 2))
    ]
    assert told.count("confident") == 1, (plain, tempered, told)


@pytest.mark.parametrize("temperature", [0, -1, True, "hot", math.inf, None])
def test_a_temperature_that_is_none_is_refused(temperature):
    with pytest.raises(ModelError, match="cannot be the setting confidence_temperature"):
        HostSettings(confidence_temperature=temperature)


def test_no_answer_of_the_demo_model_of_the_second_world_claims_to_be_entirely_sure():
    settings = HostSettings.read(embedded_model_path(EMBEDDED_EARTH) / SETTINGS_FILE)
    # its words have no larger probability on any scene that was measured
    assert confidence_of((math.log(0.9998),), settings.confidence_temperature) < 0.98
