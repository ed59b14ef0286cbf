"""Rows that ask for places, beside rows that ask questions."""

import random
import re

import numpy as np
import pytest
import shapely
import torch
from shapely.geometry import shape

import geofovea as gf
from geofovea.datasets.synthetic.scene_files import write_scene
from geofovea.datasets.synthetic.vocabulary import SITES, THINGS
from geofovea.datasets.synthetic.world import make_pad
from geofovea.errors import BudgetError, GeometryError, ModelError, NothingShownError, QuestionError
from geofovea.pipeline.engine.accounting import QuestionUsage
from geofovea.pipeline.engine.calls import DirectCalls
from geofovea.pipeline.hosts.load import load_host
from geofovea.pipeline.places.as_answer import answer_rows, asks_for_places, own_limits
from geofovea.pipeline.places.second_look import SecondLook
from geofovea.pipeline.session.request import AskRequest
from geofovea.pipeline.session.settings import AskSettings
from geofovea.tiling.arrays.scene import open_array
from geofovea.tiling.geo.region import Region
from geofovea.tiling.pyramid import Box, Tile


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


@pytest.mark.parametrize("name", ["tiles", "tokens", "seconds", "host_ram_mb"])
def test_what_a_run_may_spend_limits_its_searches_even_where_it_is_as_usual(tiny_host, name):
    # one that the model has for one answer, and that nobody chose, is none of a search
    assert own_limits(tiny_host, AskSettings("embedded").request(tiny_host, "find: truck")) == {}
    usual = getattr(tiny_host.default_budget, name)
    limits = {name: 5000 if usual is None else usual}
    request = AskSettings("embedded", limits=limits).request(tiny_host, "find: truck")
    assert own_limits(tiny_host, request) == limits
    # a caller of Python gives a budget as a whole
    assert own_limits(tiny_host, AskRequest("find: truck", tiny_host.default_budget)) == {}


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


@pytest.fixture(scope="module")
def pad(world, scene_path):
    """A session, the pad of the one site, a kind that stands there, and its northernmost thing."""
    site = world.named_sites[0]
    kinds = {thing.kind: site.of_kind(thing.kind) for thing in site.things}
    kind = max(kinds, key=lambda k: _lead(kinds[k]))
    session = gf.SceneSession(gf.open_scene(scene_path), load_host("embedded"))
    return session, Region(shapely.box(*site.apron.as_tuple())), kind, _northernmost(kinds[kind])


def _northernmost(things):
    return min(things, key=lambda thing: thing.box.center[1])


def _lead(things):
    """By how much the northernmost of some things leads, in pixels; 0 for a single one."""
    first, *others = sorted(thing.box.center[1] for thing in things)
    return others[0] - first if others else 0


def test_the_northernmost_of_a_kind_is_found_by_its_place(pad):
    session, region, kind, first = pad
    measured = session.measure(f"the northernmost {kind}", region=region)
    assert first.box.intersection(measured.places[0].box_scene)
    assert re.search(r"\d places compared, 100.0% of the area looked at", measured.sentence)
    assert measured.kind == "superlative"
    assert 0 < measured.confidence <= 1
    assert measured.cost.tiles_encoded <= measured.cost.budget.tiles
    assert any(warning.startswith("coverage: ") for warning in measured.warnings)


def test_an_extreme_and_a_number_may_be_those_of_a_half_of_the_scene(pad, world):
    session, region, kind, first = pad
    halves = ["upper", "lower"] if first.y < world.height / 2 else ["lower", "upper"]
    with_it, other = (
        session.measure(f"the northernmost {kind} in the {half} half", region=region)
        for half in halves
    )
    assert first.box.intersection(with_it.places[0].box_scene)
    assert f"farthest north in the {halves[0]} half" in with_it.sentence
    for place in other.places:
        assert (place.center[1] < world.height / 2) == (halves[1] == "upper")
    things = world.named_sites[0].of_kind(kind)
    numbers = [
        session.answer(AskRequest(f"How many {kind}s are in the {half} half?", region=region))
        for half in halves
    ]
    for number, half in zip(numbers, halves, strict=True):
        top, bottom = (0, world.height / 2) if half == "upper" else (world.height / 2, world.height)
        # a center is known to half a token
        most, least = (sum(top - d <= t.y < bottom + d for t in things) for d in (16, -16))
        assert number.text.isdecimal()
        assert "what has its center in the" in number.warnings[0]
        low, high = map(int, re.search(r"interval (\d+) to (\d+)", number.warnings[0]).groups())
        assert low <= most
        assert least <= high


def test_a_thing_on_the_edge_of_an_area_counts_where_its_center_lies(embedded_host, tmp_path):
    # the edge between the halves cuts two of three tanks
    write_scene(make_pad(random.Random(30), 288), tmp_path / "pad.tif")
    session = gf.SceneSession(gf.open_scene(tmp_path / "pad.tif"), embedded_host)
    halves = ("in the upper half", "in the lower half")
    whole = session.find("tank", coverage="sweep")
    found = [session.find(f"tanks {half}", coverage="sweep") for half in halves]
    assert len(whole) == sum(map(len, found)) == 3
    assert sum(len(session.count(f"tanks {half}").places) for half in halves) == 3
    numbers = [session.ask(f"How many tanks are {half}?", tiles=9).text for half in halves]
    assert sum(map(int, numbers)) == 3


def test_a_number_and_presence_are_those_around_a_place_that_was_found(pad, world):
    session, _, kind, first = pad
    site = world.named_sites[0]
    limits = {"tiles": 60}
    around = session.ask(f"How many {kind}s are within 200 m of the {site.kind}?", **limits)
    low, high = map(int, re.search(r"interval (\d+) to (\d+)", around.warnings[0]).groups())
    assert low <= len(site.of_kind(kind)) <= high
    assert f"within 200 m of the {site.kind} is measured from its outline" in around.warnings[1]
    assert around.cost.tiles_encoded <= around.cost.budget.tiles == 60
    found = session.find(f"{kind} within 200 m of the {site.kind}", tiles=60)
    assert any(place.box_scene.intersection(first.box) for place in found)
    assert f"read as '{kind}' within 200 m of the {site.kind}" in found.warnings[0]
    assert found.cost.tiles_encoded <= 60
    near = session.ask(f"Is there a {kind} within 200 m of the {site.kind}?", **limits)
    assert near.text == "yes"
    assert any(piece.box_scene.intersection(first.box) for piece in near.evidence)


def test_find_and_count_look_only_in_the_area_that_their_phrase_names(pad, world):
    session, region, kind, first = pad
    half = "upper" if first.y < world.height / 2 else "lower"
    words = f"{kind}s in the {half} half"
    found, number = (look(words, region=region) for look in (session.find, session.count))
    middle = world.height / 2
    for places in (found, number.places):
        assert places.phrase == words
        assert any(place.box_scene.intersection(first.box) for place in places)
        assert all((p.box_scene.y0 < middle) == (half == "upper") for p in places)
        assert f"was read as '{kind}s' in the {half} half of the scene" in places.warnings[0]
        assert not any("limits nothing" in each for each in places.warnings)
        area = places.to_dict()["area"]
        assert (area["thing"], area["where"]) == (f"{kind}s", f"in the {half} half of the scene")
        x0, y0, x1, y1 = region.geometry.bounds
        inside = (y0, min(y1, middle)) if half == "upper" else (max(y0, middle), y1)
        assert area["box_scene"] == [x0, inside[0], x1, inside[1]]
        assert shape(area["geometry"]).area > 0
    assert number.to_dict()["area"] == found.to_dict()["area"] == found.geojson()["area"]
    assert session.find(kind, tiles=9).to_dict()["area"] is None
    assert number.coverage.tiles_total == found.coverage.tiles_total
    # the region lies in that half, and the scene in both
    top, bottom = (0, middle) if half == "upper" else (middle, world.height)
    in_half = session.pyramid.tiles_over(0, Box(0, top, world.width, bottom))
    for look in (session.find, session.count):
        assert look(words, tiles=9).coverage.tiles_total == len(in_half)
    (row,) = answer_rows(session, [AskRequest(f"count: {words}", region=region)])
    assert row.text == number.text
    assert any("was read as" in each for each in row.warnings)
    other = "lower" if half == "upper" else "upper"
    nowhere = Region(shapely.box(*first.box.as_tuple()))
    with pytest.raises(NothingShownError, match="shares no area with the region"):
        session.find(f"{kind} in the {other} half", region=nowhere)


def test_a_place_that_is_not_found_is_said_with_what_looking_for_it_took(pad, world):
    session, _, kind, _ = pad
    absent = next(site for site in SITES if site not in {each.kind for each in world.sites})
    with pytest.raises(NothingShownError) as error:
        session.find(f"{kind} within 200 m of the {absent}", tiles=40)
    told = re.search(
        r"looking for it took (\d+) tiles?, (\d+) vision tokens? and", str(error.value)
    )
    assert f"not found: {absent}" in str(error.value)
    # a quarter of the tiles may go to the place
    assert 0 < int(told[1]) <= 10


def test_an_area_that_is_not_computed_is_said_and_meters_without_a_ground_are_refused(pad):
    session, region, kind, _ = pad
    request = AskRequest(f"What color is the {kind} in the upper left corner?", region=region)
    warnings = session.answer(request).warnings
    assert any("'in the upper left corner' was left to the model" in each for each in warnings)
    bare = gf.SceneSession(open_array(np.ones((300, 300, 3), np.uint8)), session.host)
    for question in (
        f"How many {kind}s are within 90 m of the pond?",
        f"the largest {kind} within 90 m of the pond",
    ):
        with pytest.raises(GeometryError, match="so 90 m cannot be laid out"):
            bare.ask(question)


def test_ask_and_a_row_and_a_batch_answer_as_measure_does(pad):
    session, region, kind, first = pad
    question = f"Which {kind} is the northernmost?"
    measured = session.measure(question, region=region)
    request = AskRequest(question, region=region)
    answers = [session.answer(request), *answer_rows(session, [request, request])]
    for answer in answers:
        assert (answer.text, answer.confidence) == (measured.text, measured.confidence)
        assert answer.measurement.to_json()["places"] == measured.to_json()["places"]
        assert answer.evidence[0].box_scene.intersection(first.box)
        assert answer.to_json()["measurement"]["kind"] == "superlative"
        assert answer.evidence.geojson()["features"]


def test_a_distance_to_a_named_place_pays_for_both(pad, world):
    session, _, kind, _ = pad
    site = world.named_sites[0]
    measured = session.measure(f"closest {kind} to the {site.kind}", budget=gf.Budget(tiles=40))
    assert measured.cost.tiles_encoded <= measured.cost.budget.tiles == 40
    assert [place.label for place in measured.places] == [kind, site.kind]
    center = measured.places[1].center
    truth = min(site.of_kind(kind), key=lambda t: (t.x - center[0]) ** 2 + (t.y - center[1]) ** 2)
    assert truth.box.intersection(measured.places[0].box_scene)
    with pytest.raises(BudgetError, match="allow at least 2"):
        session.measure(f"closest {kind} to the {site.kind}", budget=gf.Budget(tiles=1))


def test_a_class_that_is_not_there_has_no_answer_and_the_share(pad, world):
    session, region, _, _ = pad
    absent = min(set(THINGS) - {thing.kind for thing in world.named_sites[0].things})
    answer = session.answer(AskRequest(f"the largest {absent}", region=region))
    assert answer.measurement.text == ""
    assert "0 places compared, 100.0% of the area looked at" in answer.text
    assert not answer.confidence_known
    measured = session.measure(f"closest {absent} to the {absent}", budget=gf.Budget(tiles=30))
    assert measured.text == ""


def test_choices_switches_and_baselines_leave_an_extreme_to_the_model(pad):
    session, region, kind, _ = pad
    question = f"Which {kind} is the northernmost?"
    assert session.ask(question, geometry="off", region=region).measurement is None
    assert session.ask(question, choices=("left", "right"), region=region).measurement is None
    assert session.ask(question, focus="overview", region=region).measurement is None
    with pytest.raises(ModelError, match="does not look for named places"):
        session.measure(question, focus="overview", region=region)


def _again(session, phrase, **limits):
    budget = gf.Budget(**{"tiles": 9, "tokens": 999, **limits})
    calls = DirectCalls(session.host, session.tiles)
    return SecondLook(
        session.tiles, session.pyramid, phrase, calls, QuestionUsage(), budget, budget.tiles
    )


def test_a_second_look_believes_in_what_is_there_and_not_in_bare_ground(pad, world):
    session, _, kind, _ = pad
    site = world.named_sites[0]
    again = _again(session, kind)
    there = [again.probability(thing.box) for thing in site.of_kind(kind)]
    corner = Box(site.box.x0, site.box.y0, site.box.x0 + 40, site.box.y0 + 40)
    assert max(there) > 0.9
    assert again.probability(corner) < 0.1
    assert again.looked == len(there) + 1 == again.usage.tiles_encoded


def test_a_second_look_keeps_its_budget(pad, world):
    session, _, kind, first = pad
    for limits in ({"tiles": 1}, {"tokens": 9}):
        again = _again(session, kind, **limits)
        looks = [again.probability(first.box) for _ in range(3)]
        assert looks[0] is not None
        assert looks[-1] is None
        assert again.looked <= again.budget.tiles
        assert again.asker.tokens <= again.budget.tokens


def test_tokens_around_a_point_lie_around_it_and_within_the_scene(pad):
    session, _, _, _ = pad
    side, width = session.pyramid.tile_size, session.pyramid.width
    usage = QuestionUsage()
    for point, left in (((500.0, 300.0), 500 - side // 2), ((width - 1.0, 300.0), width - side)):
        tokens = session.tiles.around(point, usage)
        low, high = tokens.boxes_scene[:, :2].amin(0), tokens.boxes_scene[:, 2:].amax(0)
        assert low.tolist() == [left, 300 - side // 2]
        assert high.tolist() == [left + side, 300 + side // 2]
        assert len(tokens) == session.host.grid[0] * session.host.grid[1]
    # a window that is a tile of the grid has the tokens of that tile
    middle = (2.5 * side, 1.5 * side)
    tile = session.tiles.of([Tile(0, 1, 2)], usage)
    assert torch.allclose(session.tiles.around(middle, usage).features, tile.features, atol=1e-5)
