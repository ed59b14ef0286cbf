"""A second look: what the grid cuts is seen whole, once, within the budget, in scene pixels."""

import math

import numpy as np
import pytest
import rasterio
import shapely
import shapely.ops
import torch

import geofovea as gf
from geofovea.pipeline.engine.accounting import QuestionUsage, StageClock
from geofovea.pipeline.engine.calls import DirectCalls
from geofovea.pipeline.engine.watching import Watcher
from geofovea.pipeline.hosts.base import Capabilities
from geofovea.pipeline.inference.decoder.outputs import Generation
from geofovea.pipeline.inference.vision.inputs import EncodePlan
from geofovea.pipeline.places.find import find_places
from geofovea.pipeline.places.second_look import SecondLook
from geofovea.regionfocus.budget import Budget
from geofovea.tiling.geo.region import Region
from geofovea.tiling.pyramid import Box, Tile

TILE, CELL, SIDE = 32, 8, 128


class RedHost:
    """A model that sees a red thing if three cells of it are in its tile, and no blue one.

    Fewer cells leave it in doubt, the more the fewer they are.
    """

    name, tile_size, grid = "red", TILE, (TILE // CELL, TILE // CELL)
    default_budget = Budget(64, 4096)
    capabilities = Capabilities(attention=True, domain="general", context=4096, choices=True)

    def encode(self, pixels, tiles, pyramid):
        side = TILE // CELL
        cells = torch.from_numpy(pixels).double().view(-1, side, CELL, side, CELL, 3)
        return cells.mean((2, 4)).flatten(1, 2)

    def scores(self, question, tokens):
        red = (tokens.features[:, 0] - tokens.features[:, 1]).clamp(min=0).float()
        return red / red.sum() if red.sum() else torch.full_like(red, 1 / len(red))

    def generate(self, question, tokens, choices=()):
        red = int((tokens.features[:, 0] - tokens.features[:, 1] > 100).sum())
        blue = int((tokens.features[:, 2] - tokens.features[:, 1] > 100).sum())
        yes = 0.01 if blue else (0.01, 0.25, 0.4, 0.9)[min(red, 3)]
        if not choices:
            return Generation("yes" if yes > 0.5 else "no", (math.log(max(yes, 1 - yes)),))
        return Generation("", (), choices=(math.log(yes), math.log(1 - yes)))

    def unknown_words(self, question):
        return []


@pytest.fixture
def session_of(tmp_path):
    def session_of(*boxes, blue=None):
        pixels = np.full((3, SIDE, SIDE), 90, np.uint8)
        if blue is not None:
            pixels[2, blue[1] : blue[3], blue[0] : blue[2]] = 250
        for x0, y0, x1, y1 in boxes:
            pixels[0, y0:y1, x0:x1], pixels[1:, y0:y1, x0:x1] = 250, 20
        path = tmp_path / "scene.tif"
        profile = {"driver": "GTiff", "width": SIDE, "height": SIDE, "count": 3, "dtype": "uint8"}
        with rasterio.open(path, "w", **profile, photometric="RGB") as out:
            out.write(pixels)
        return gf.SceneSession(gf.open_scene(path), RedHost())

    return session_of


def corners(places):
    return sorted(place.box_scene.as_tuple() for place in places)


def swept(session, **options):
    return session.find("red thing", coverage="sweep", **options)


WHOLE = (40, 40, 56, 56)
ON_COLUMN = (56, 0, 72, 24)
ON_ROW = (0, 56, 24, 72)
ON_CORNER = (80, 80, 104, 104)


@pytest.mark.parametrize("thing", [ON_COLUMN, ON_ROW, ON_CORNER])
def test_a_thing_on_a_seam_is_one_place_around_it(session_of, thing):
    session = session_of(thing)
    places = swept(session)
    assert corners(places) == [thing]
    assert places.coverage.looked_again == 1
    assert places.cost.tiles_encoded == places.coverage.tiles_total + 1
    assert places[0].evidence == tuple(session.pyramid.tiles_over(0, places[0].box_scene))


def test_a_part_grows_to_the_whole(session_of):
    thing = (56, 8, 80, 24)
    session = session_of(thing)
    # two cells on one side are too few
    assert corners(swept(session, second_look=False)) == [(64, 8, 80, 24)]
    assert corners(swept(session)) == [thing]


FAINT_ON_COLUMN = (56, 8, 72, 24)
FAINT_ON_CORNER = (88, 88, 104, 104)


@pytest.mark.parametrize("thing", [FAINT_ON_COLUMN, FAINT_ON_CORNER])
def test_a_thing_of_which_no_part_is_sure_is_found(session_of, thing):
    session = session_of(thing)
    assert len(swept(session, second_look=False)) == 0
    places = swept(session)
    assert corners(places) == [thing]
    assert places[0].score == pytest.approx(0.9)
    assert places.coverage.looked_again == 1


def test_a_count_tells_its_second_looks_as_a_search_does(session_of):
    count = session_of(FAINT_ON_COLUMN).count("red thing")
    assert (len(count.places), count.coverage.looked_again) == (1, 1)
    assert "1 looked at again" in count.coverage.text


def test_a_faint_part_is_a_place_only_where_the_whole_is_sure(session_of):
    # two cells, and nothing beyond the seam
    places = swept(session_of((56, 8, 64, 24)))
    assert (len(places), places.coverage.looked_again) == (0, 1)
    assert len(swept(session_of(FAINT_ON_COLUMN), min_score=0.95)) == 0


@pytest.mark.parametrize(
    ("tiles", "found"),
    [
        (16, []),
        (17, [FAINT_ON_COLUMN]),
        (18, [FAINT_ON_COLUMN, FAINT_ON_CORNER]),
        (99, [FAINT_ON_COLUMN, FAINT_ON_CORNER]),
    ],
)
def test_the_likeliest_of_the_faint_are_looked_at_within_the_budget(session_of, tiles, found):
    places = swept(session_of(FAINT_ON_COLUMN, FAINT_ON_CORNER), tiles=tiles)
    assert corners(places) == found
    assert places.cost.tiles_encoded == 16 + len(found)
    assert places.coverage.looked_again == len(found)


def test_places_are_looked_at_again_before_what_is_faint(session_of):
    # the place is denied in a second look
    things = (56, 96, 64, 120), FAINT_ON_COLUMN, FAINT_ON_CORNER
    session = session_of(*things, blue=(64, 96, 72, 120))
    assert corners(swept(session, tiles=16)) == [(56, 96, 64, 120)]
    assert corners(swept(session, tiles=17)) == []
    assert corners(swept(session, tiles=18)) == [FAINT_ON_COLUMN]


def test_every_thing_is_there_once(session_of):
    things = sorted([WHOLE, ON_COLUMN, ON_ROW, ON_CORNER, (72, 40, 88, 56)])
    assert corners(swept(session_of(*things))) == things


def test_what_reaches_no_seam_takes_no_second_look(session_of):
    coverage = swept(session_of(WHOLE)).coverage
    assert coverage.looked_again == 0
    assert "again" not in coverage.text


def test_a_part_that_is_taken_for_the_thing_is_no_place(session_of):
    # red on one side of a seam, blue on the other: a thing of another kind
    session = session_of((56, 8, 64, 32), blue=(64, 8, 72, 32))
    assert corners(swept(session, second_look=False)) == [(56, 8, 64, 32)]
    places = swept(session)
    assert (len(places), places.coverage.looked_again) == (0, 1)


@pytest.mark.parametrize("tiles", [16, 17, 18])
def test_second_looks_count_toward_the_budget(session_of, tiles):
    places = swept(session_of(ON_COLUMN, ON_ROW), tiles=tiles)
    assert places.coverage.is_complete
    assert (places.coverage.looked_again, len(places)) == (tiles - 16, 2)
    assert places.cost.tiles_encoded == tiles


def test_a_search_keeps_its_budget(session_of):
    for tiles in range(4, 16):
        places = session_of(ON_COLUMN, ON_ROW).find("red thing", tiles=tiles)
        assert places.cost.tiles_encoded <= tiles
        assert places.cost.tokens_llm <= 4 * 16 * tiles


def test_a_region_is_that_of_the_scene(session_of):
    session = session_of(ON_COLUMN, ON_CORNER)
    region = Region(shapely.box(40, 0, 96, 32))
    assert corners(swept(session, region=region)) == [ON_COLUMN]
    assert len(swept(session, region=Region(shapely.box(0, 0, 30, 30)))) == 0


@pytest.mark.parametrize("verb", ["find", "count"])
@pytest.mark.parametrize("thing", [WHOLE, ON_COLUMN, ON_ROW, ON_CORNER])
@pytest.mark.parametrize(
    "direction", [(0, 1), (1, 0), (1, 1), (2, 1), (-1, 3)], ids=lambda way: f"{way[0]} to {way[1]}"
)
def test_of_two_regions_that_share_an_edge_one_has_what_lies_on_it(
    session_of, verb, thing, direction
):
    session, center = session_of(thing), np.array(Box(*thing).center)
    way = 2 * SIDE * np.array(direction)
    edge = shapely.LineString([center - way, center + way])
    halves = shapely.ops.split(shapely.box(0, 0, SIDE, SIDE), edge).geoms
    places = []
    for half in halves:
        result = getattr(session, verb)("red thing", region=Region(half))
        found = result if verb == "find" else result.places
        places += corners(found)
        cut = [each for each in found.warnings if "at the edge of the area" in each]
        assert len(cut) == 1 - len(found)
    assert len(halves) == 2
    assert places == [thing]


def test_a_look_at_one_place_shows_the_region_alone(session_of):
    session = session_of(WHOLE)
    calls = DirectCalls(session.host, session.tiles)
    usage = QuestionUsage.of(session.host, EncodePlan(), StageClock(calls.now))
    again = SecondLook(
        *(session.tiles, session.pyramid, "red thing", calls, usage, Budget(8, 4096), 8)
    )
    assert again.probability(Box(*WHOLE)) == pytest.approx(0.9)
    # half of it, which is two cells, and nothing of it
    again.region = Region(shapely.box(48, 40, 56, 56))
    assert again.probability(Box(*WHOLE)) == pytest.approx(0.4)
    again.region = Region(shapely.box(0, 0, 30, 30))
    assert again.probability(Box(*WHOLE)) is None


def test_a_watcher_hears_where_the_second_look_goes(session_of):
    class Ear(Watcher):
        boxes = ()

        def looking(self, tiles):
            self.boxes = [box.as_tuple() for box in tiles.values()]

    ear = Ear()
    find_places(session_of(ON_CORNER), "red thing", coverage="sweep", watch=ear)
    assert ear.boxes == [(80, 80, 112, 112)]


def test_a_count_sees_what_find_sees(session_of):
    session = session_of(WHOLE, ON_COLUMN, ON_CORNER)
    count = session.count("red thing")
    assert corners(count.places) == corners(swept(session))
    assert count.value == 3


def test_a_sample_of_tiles_says_what_whole_things_were_missed(session_of):
    session = session_of(WHOLE, ON_COLUMN)
    places = session.find("red thing", tiles=12, sampled_share=0.5)
    coverage = places.coverage
    drawn = {tile for place in places for tile in place.evidence}
    assert all(isinstance(tile, Tile) for tile in drawn)
    assert coverage.recall is None or 0 < coverage.recall_low <= coverage.recall <= 1
