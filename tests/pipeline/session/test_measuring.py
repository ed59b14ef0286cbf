"""Questions about places through the embedded model, on a scene whose every site is known."""

import itertools
import json
import math
import re

import pytest
import shapely
import torch

import geofovea as gf
from geofovea.datasets.synthetic.scene_files import write_scene
from geofovea.datasets.synthetic.vocabulary import SITES, THINGS
from geofovea.datasets.synthetic.world import GSD_M, make_world
from geofovea.errors import ModelError, QuestionError
from geofovea.pipeline.answers.measurement import LocatedPlace
from geofovea.pipeline.focus.presence import Presence
from geofovea.pipeline.places.as_answer import own_limits
from geofovea.pipeline.relations.locate import Located, Locator
from geofovea.pipeline.relations.place_question import distance_between
from geofovea.pipeline.session.measuring import measuring_request
from geofovea.regionfocus.search.looks import LevelLook
from geofovea.tiling.pyramid import Box


@pytest.fixture(scope="module")
def world():
    return make_world(940_003, 4096, 4096)


@pytest.fixture(scope="module")
def path(world, tmp_path_factory):
    path = tmp_path_factory.mktemp("measuring") / "scene.tif"
    write_scene(world, path)
    return path


@pytest.fixture(scope="module")
def session(path):
    return gf.SceneSession(gf.open_scene(path), gf.load_host("embedded"))


def test_every_comparison_of_two_sites_is_answered_right(world, session):
    for one, two in itertools.permutations(world.named_sites, 2):
        (x0, y0), (x1, y1) = one.box.center, two.box.center
        for direction, offset in {"north": y1 - y0, "west": x1 - x0}.items():
            if abs(offset) < world.cell_side / 2:
                continue
            answer = session.ask(f"Is the {one.kind} {direction} of the {two.kind}?")
            assert answer.text == ("yes" if offset > 0 else "no")
            assert answer.measurement is not None
            assert answer.confidence > 0.8
            assert answer.cost.tiles_encoded <= session.host.default_budget.tiles
            assert answer.cost.tokens_llm == 0


def test_a_distance_is_within_its_error(world, session):
    one, two = world.named_sites[:2]
    measured = session.measure(distance_between(one.kind, two.kind))
    distance = measured.quantities[0]
    truth = GSD_M * math.dist(one.box.center, two.box.center)
    value = distance.value * {"km": 1000, "m": 1}[distance.unit]
    error = distance.error * {"km": 1000, "m": 1}[distance.unit]
    assert abs(value - truth) <= error < truth / 4
    assert measured.cost.tiles_encoded > 0
    assert measured.model == "embedded"


def test_a_choice_is_scored_by_what_was_computed(world, session):
    one, two = world.named_sites[:2]
    north, south = sorted((one, two), key=lambda site: site.box.center[1])
    question = f"Which is farther north, the {one.kind} or the {two.kind}?"
    answer = session.ask(question, choices=(f"the {south.kind}", f"the {north.kind}"))
    assert answer.text == f"the {north.kind}"
    assert [c.text for c in answer.choices] == [f"the {south.kind}", f"the {north.kind}"]
    assert sum(c.probability for c in answer.choices) == pytest.approx(1)


def test_switched_off_the_model_answers(world, session):
    one, two = world.named_sites[:2]
    question = f"Is the {one.kind} north of the {two.kind}?"
    assert session.ask(question, geometry="off").measurement is None
    # ways of looking that ignore the question leave it to the model, too
    for focus in ("overview", "uniform"):
        assert session.ask(question, focus=focus).measurement is None


def test_other_questions_are_answered_as_before(session, world):
    site = world.named_sites[0]
    question = f"What is the shape of the hall at the {site.kind}?"
    # with fewer tiles than leave room for a second look, which "off" leaves out
    one, two = (session.ask(question, geometry=how, tiles=31) for how in ("auto", "off"))
    assert (one.text, one.confidence, one.warnings) == (two.text, two.confidence, two.warnings)
    assert one.looks[-1].addresses == two.looks[-1].addresses


@pytest.mark.parametrize(
    "question",
    [
        "How far is the {there} from the {absent}?",
        "How large is the {absent}?",
        "Is the {absent} north of the {there}?",
        "Which is closer to the {there}, the {absent} or the {second}?",
    ],
)
def test_ask_says_as_measure_does_that_a_place_is_not_found(world, session, question):
    there, second = (site.kind for site in world.named_sites[:2])
    absent = next(kind for kind in SITES if kind not in {each.kind for each in world.sites})
    words = question.format(there=there, second=second, absent=absent)
    answer, measured = session.ask(words), session.measure(words)
    assert answer.text == measured.sentence == f"not found: {absent}"
    assert answer.measurement.missing == measured.missing == (absent,)
    assert not answer.confidence_known
    assert answer.to_json()["confidence"] is None
    # among answers to choose from, one has to be chosen
    chosen = session.ask(words, choices=("yes", "no"))
    assert chosen.measurement is None
    assert any("could not be computed" in warning for warning in chosen.warnings)


def test_a_model_that_was_not_measured_for_presence_answers_where_a_place_is_not_found(
    world, session, monkeypatch
):
    monkeypatch.setattr(Presence, "is_there", lambda *_: (False, 0.0))
    monkeypatch.setattr(Presence, "is_measured", False)
    answer = session.ask(f"How large is the {world.named_sites[0].kind}?")
    assert answer.measurement is None
    assert answer.text
    assert any("could not be computed" in warning for warning in answer.warnings)


def test_a_name_of_which_the_model_knows_no_word_is_not_found(world, session):
    site = world.named_sites[0].kind
    measured = session.measure(f"How far is the hovercraft of the zeppelin from the {site}?")
    assert not measured.text
    assert measured.missing == ("hovercraft of the zeppelin",)
    assert measured.warnings[0] == "not found: hovercraft of the zeppelin"
    assert [place.label for place in measured.places] == [site]


def test_a_measure_in_words_that_are_not_read_is_left_to_the_model_with_a_sign(world, session):
    one, two = (site.kind for site in world.named_sites[:2])
    unread = f"Is the {one} many times as large as the {two}?"
    vague = f"Is the {one} within a few hundred meters of the {two}?"
    for question, sign in ((unread, "nothing was measured"), (vague, "a few hundred meters")):
        answer = session.ask(question)
        assert answer.measurement is None
        assert sign in answer.warnings[0]
    with pytest.raises(QuestionError, match="'a few hundred meters' is no number; write one"):
        session.measure(vague)
    for question, options in (
        (unread, {"geometry": "off"}),
        (f"What color is the plane at the {one}?", {}),
    ):
        warnings = session.ask(question, **options).warnings
        assert not any("nothing was measured" in warning for warning in warnings)


def test_a_site_that_is_seen_but_was_not_outlined_is_pointed_at(world, session, monkeypatch):
    monkeypatch.setattr(Presence, "is_there", lambda *_: (False, 0.0))
    site = world.named_sites[0]
    absent = next(kind for kind in SITES if kind not in {each.kind for each in world.sites})
    measured = session.measure(distance_between(site.kind, absent))
    assert measured.missing == (site.kind, absent)
    (hint,) = (w for w in measured.warnings if "was not outlined" in w)
    x, y = map(int, re.search(rf"the {site.kind} .* x (\d+), y (\d+) px", hint).groups())
    assert Box(x - 400, y - 400, x + 400, y + 400).intersection(site.box)


def test_an_outline_over_tiles_that_hardly_show_the_place_is_doubted(world, session, monkeypatch):
    one, two = world.named_sites[:2]
    pyramid, words = session.pyramid, f"How large is the {one.kind}?"
    shapes = [shapely.box(*site.box.as_tuple()) for site in (one, two)]
    for shape, is_doubted in ((shapes[0], False), (shapely.union_all(shapes), True)):
        wide = LocatedPlace(one.kind, shape, 1, 24.0, 1.0)
        tiles = session.tokens(pyramid.tiles_over(pyramid.base_level - 1, wide.box_scene))
        looks = [LevelLook(pyramid.base_level - 1, tiles.tiles, tiles, torch.zeros(len(tiles)))]
        found = Located((wide,), tuple(looks), tiles)
        monkeypatch.setattr(Locator, "locate", lambda *_, found=found: found)
        warnings = session.measure(words).warnings
        assert any("may be too large" in warning for warning in warnings) == is_doubted


def test_a_batch_measures_as_one_question_does(world, session):
    one, two, *_ = world.named_sites
    questions = [
        f"Is the {one.kind} north of the {two.kind}?",
        f"What is the shape of the hall at the {one.kind}?",
        f"How far is the {one.kind} from the {two.kind}?",
    ]
    together = session.ask_many(questions)
    for question, answer in zip(questions, together, strict=True):
        alone = session.ask(question)
        assert answer.text == alone.text
        assert (answer.measurement is None) == (alone.measurement is None)


@pytest.mark.parametrize(
    ("question", "options", "error", "message"),
    [
        (
            "What is it?",
            {},
            QuestionError,
            "is not understood as a question about where",
        ),
        ("How large is the camp?", {"focus": "overview"}, ModelError, "looks? for named places"),
        ("How large is the camp?", {"budget": 7}, gf.BudgetError, "geofovea.Budget"),
        ("", {}, QuestionError, "empty"),
    ],
)
def test_what_cannot_be_measured_is_refused(session, question, options, error, message):
    with pytest.raises(error, match=message):
        session.measure(question, **options)


def test_a_budget_of_one_tile_is_kept_and_said(world, session):
    one, two = world.named_sites[:2]
    measured = session.measure(
        distance_between(one.kind, two.kind), budget=gf.Budget(tiles=1, tokens=10)
    )
    assert measured.cost.tiles_encoded == 1
    assert measured.text == "" or measured.quantities[0].error > 0


def test_an_option_that_is_none_is_refused(session):
    with pytest.raises(QuestionError, match="geometry='maybe' is not one of auto, off"):
        session.ask("Is the camp north of the depot?", geometry="maybe")


def test_the_door_of_the_package_measures_a_file(world, path):
    one, two = world.named_sites[:2]
    measured = gf.measure(path, f"How far is the {one.kind} from the {two.kind}?", tiles=40)
    assert measured.quantities[0].name == "distance"
    record = json.loads(json.dumps(measured.to_json()))
    assert [place["label"] for place in record["places"]] == [one.kind, two.kind]
    assert record["cost"]["budget"]["tiles"] == 40
    assert len(record["geojson"]["features"]) == 3


def test_a_thing_that_stands_elsewhere_has_no_distance(world, session):
    one, two = world.named_sites[:2]
    standing = {thing.kind for thing in two.things}
    absent = next(kind for kind in THINGS if kind not in standing)
    measured = session.measure(f"How far is the {absent} at the {two.kind} from the {one.kind}?")
    assert not measured.text
    assert measured.missing == (f"{absent} at the {two.kind}",)


def test_the_size_of_a_thing_is_that_of_the_tokens_on_it_and_hardly_known(world, session):
    # the first thing that is found; the model doubts some that are there
    names = ((t, f"{t.kind} at the {site.kind}") for site in world.named_sites for t in site.things)
    measured = ((t, session.measure(f"How large is the {name}?")) for t, name in names)
    thing, found = next(each for each in measured if each[1].text)
    alike = [t for site in world.named_sites for t in site.things if t.kind == thing.kind]
    assert any(found.places[0].box_scene.intersection(each.box) for each in alike)
    area = found.quantities[0]
    assert area.error > area.value / 2


def test_most_bare_things_are_measured_where_one_stands(world, session):
    site = world.named_sites[0]
    things = [thing for each in world.sites for thing in each.things]
    kinds, right = sorted({thing.kind for thing in site.things}), 0
    for kind in kinds:
        measured = session.measure(f"How far is the {kind} from the {site.kind}?")
        assert measured.cost.tiles_encoded <= session.host.default_budget.tiles
        boxes = [place.box_scene for place in measured.places if place.label == kind]
        alike = [thing.box for thing in things if thing.kind == kind]
        # one that stands beside its kind is what was outlined, and no site around it
        right += any(b.intersection(t) and b.area < 9 * t.area for b in boxes for t in alike)
    assert right > len(kinds) / 2


def test_a_limit_that_equals_the_usual_one_is_a_limit_of_extremes_and_of_things(session):
    # a search for the places of a class takes more tiles by default than one answer does
    usual = session.host.default_budget.tiles
    request = measuring_request(session.host, "the northernmost truck", tiles=usual)
    assert own_limits(session.host, request) == {"tiles": usual}
    assert own_limits(session.host, measuring_request(session.host, "the northernmost truck")) == {}
