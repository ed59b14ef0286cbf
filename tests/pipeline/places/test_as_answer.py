"""Rows that ask for places, beside rows that ask questions."""

import re

import pytest
import shapely

import geofovea as gf
from geofovea.errors import QuestionError
from geofovea.pipeline.hosts.load import load_host
from geofovea.pipeline.places.as_answer import answer_rows, asks_for_places
from geofovea.pipeline.session.request import AskRequest
from geofovea.tiling.geo.region import Region


@pytest.mark.parametrize(
    ("question", "is_verb"),
    [
        ("find: red truck", True),
        (" COUNT : trucks", True),
        ("find:", True),
        ("find the red truck", False),
        ("What can you find: a truck?", False),
        ("measure: the pad", False),
    ],
)
def test_a_verb_and_a_colon_ask_for_places(question, is_verb):
    assert asks_for_places(question) is is_verb


def test_rows_of_verbs_and_questions_are_answered_in_their_order(scene_path, world):
    site = world.named_sites[0]
    kind, region = site.things[0].kind, Region(shapely.box(*site.apron.as_tuple()))
    session = gf.SceneSession(gf.open_scene(scene_path), load_host("embedded"))
    rows = [
        AskRequest(f"find: {kind}", region=region),
        AskRequest(f"How many {kind}s are at the {site.kind}?"),
        AskRequest("find: ", region=region),
        AskRequest(f"count: {kind}", region=region),
    ]
    found, answer, failure, counted = answer_rows(session, rows)
    assert found.text == f"{len(found.evidence)} place" + "s" * (len(found.evidence) != 1)
    assert answer.text.isdecimal()
    assert isinstance(failure, QuestionError)
    assert re.fullmatch(r"\d+ \(95 % interval \d+ to \d+\)", counted.text)
    assert len(counted.evidence) == len(found.evidence)
    assert found.to_json()["confidence"] is None
    assert found.warnings[0].startswith("coverage: ")
    assert counted.evidence.geojson()["features"]
