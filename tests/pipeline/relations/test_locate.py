"""Named places are found where they are, under one budget; toy tokens carry the truth."""

from types import SimpleNamespace

import pytest
import shapely
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from regionfocus_toys import pyramids, random_focus

from geofovea.pipeline.answers.measurement import LocatedPlace
from geofovea.pipeline.focus.presence import Presence
from geofovea.pipeline.hosts.base import Capabilities
from geofovea.pipeline.inference.decoder.outputs import Generation
from geofovea.pipeline.relations.locate import Locator, doubted
from geofovea.regionfocus.budget import Budget
from geofovea.regionfocus.focus import AttentionFocus
from geofovea.regionfocus.search.registry import walk
from geofovea.regionfocus.tokens import tokens_of_tiles
from geofovea.tiling.pyramid import Box, Pyramid

GRID, SIDE = (4, 4), 64
PYRAMID = Pyramid(4096, 4096, SIDE)
DEMO = SimpleNamespace(capabilities=Capabilities(attention=True, domain="synthetic", context=100))
REAL = SimpleNamespace(
    capabilities=Capabilities(attention=True, domain="general", context=100, choices=True)
)


class Painted:
    """Encodes tiles: ground, and boxes that look like nothing else; counts what it encodes."""

    def __init__(self, boxes, pyramid=PYRAMID, colors=None):
        self.boxes, self.pyramid, self.tiles, self.colors = boxes, pyramid, [], colors

    def __call__(self, tiles):
        self.tiles += tiles
        shape = (len(tiles), GRID[0] * GRID[1], 6)
        bare = tokens_of_tiles(torch.zeros(shape), GRID, tiles, self.pyramid)
        colors = torch.eye(6) if self.colors is None else self.colors
        features = colors[0].repeat(len(bare), 1)
        x, y = ((bare.boxes_scene[:, i] + bare.boxes_scene[:, i + 2]) / 2 for i in (0, 1))
        for color, box in enumerate(self.boxes, 1):
            inside = (x >= box.x0) & (x < box.x1) & (y >= box.y0) & (y < box.y1)
            features[inside] = colors[color]
        return type(bare)(features, bare.tiles, bare.tile_index, bare.boxes_scene)


def focus_on(*points, weights=None):
    """Mass on the tokens that contain points."""

    def score(tokens):
        b = tokens.boxes_scene
        total = torch.zeros(len(tokens))
        for (x, y), weight in zip(points, weights or [1.0] * len(points), strict=True):
            total += weight * ((b[:, 0] <= x) & (x < b[:, 2]) & (b[:, 1] <= y) & (y < b[:, 3]))
        return total

    return AttentionFocus(score)


def best_first(pyramid):
    return lambda tiles, encode, focus: walk("best_first", pyramid, tiles, encode, focus)


class Calls:
    """Answers yes to regions that overlap the given boxes."""

    def __init__(self, *boxes):
        self.boxes, self.asked = boxes, []

    def generate(self, prompt):
        self.asked.append((prompt.question, len(prompt.tokens)))
        shown = [Box(*b) for b in prompt.tokens.boxes_scene.tolist()]
        is_there = any(box.intersection(one) for box in self.boxes for one in shown)
        return Generation("yes", (0.0,), choices=(0.0, -3.0) if is_there else (-3.0, 0.0))


def located(encoder, foci, tiles=64, presence=None, pyramid=PYRAMID):
    presence = presence or Presence(DEMO, Calls(), 100)
    locator = Locator(pyramid, GRID, encoder, presence)
    return locator.locate(foci, Budget(tiles=tiles, tokens=100), best_first(pyramid))


AIRPORT, LAKE = Box(512, 512, 1536, 1280), Box(2560, 2048, 3584, 3328)
TRUCK = Box(2900, 3800, 2964, 3864)


def test_areas_are_outlined_exactly_wherever_the_focus_falls_on_them():
    encoder = Painted([AIRPORT, LAKE])
    result = located(
        encoder, [("airport", focus_on((1500, 600))), ("big lake", focus_on((2600, 2200)))]
    )
    assert [place.box_scene for place in result.places] == [AIRPORT, LAKE]
    assert [place.score for place in result.places] == [1, 1]
    assert len(result.tokens) > 0


def test_a_small_thing_is_walked_down_to():
    encoder = Painted([AIRPORT, LAKE, TRUCK])
    (place,) = located(encoder, [("truck", focus_on((2930, 3830)))]).places
    assert place.level == 0
    x, y = place.center
    assert abs(x - 2932) <= 16
    assert abs(y - 3832) <= 16
    assert place.token_side == 16


def test_an_area_of_many_coarse_tokens_is_drawn_finer_than_it_grew():
    # half a token of the base level wider on two sides than the 49 tokens that show it there
    bay = Box(256, 256, 3584, 3584)
    (place,) = located(Painted([bay]), [("bay", focus_on((1000, 1000)))]).places
    assert place.box_scene == bay


class SitesInTiles:
    """Tells that the tiles of a level over some boxes show a site, and others do not."""

    def __init__(self, *boxes):
        self.boxes = boxes

    def site_called(self, name):
        return name

    def thing_called(self, name):
        return None

    def site_probability(self, site, sets):
        return max(likely for _, likely in self.site_probabilities(site, sets))

    def site_probabilities(self, site, sets):
        tiles = [tile for tokens in sets for tile in tokens.tiles if tile.level > 0]
        overlaps = [any(PYRAMID.box_scene(t).intersection(b) for b in self.boxes) for t in tiles]
        return [(t, 0.99 if near else 0.0) for t, near in zip(tiles, overlaps, strict=True)]


def test_the_size_of_an_outline_that_fills_all_that_it_may_lie_in_is_hardly_known():
    # every tile is said to show the field, so that no part of an outline is denied
    whole, field = Box(0, 0, 4096, 4096), Box(1024, 1024, 2048, 2048)
    joined = Box(0, 0, 3584, 4096)
    presence = Presence(DEMO, Calls(), 100, SitesInTiles(whole))
    focus = focus_on((1500, 1500))
    doubts = [
        located(Painted([box]), [("field", focus)], presence=presence).places[0].area_doubt
        for box in (joined, field)
    ]
    assert doubts == [0.3, 0]


def test_a_thing_that_turns_out_large_is_outlined_from_afar():
    # nothing in the word tells that a mound is large
    encoder = Painted([AIRPORT, LAKE])
    (place,) = located(encoder, [("mound", focus_on((3000, 3000)))]).places
    assert place.box_scene == LAKE


def test_a_center_that_moves_while_the_outline_gets_finer_is_known_less_well():
    # in the middle of a coarse token that is mostly ground, a truck is seen near one corner only
    encoder = Painted([Box(2944, 3840, 2976, 3872)])
    focus = focus_on((2950, 3850))
    (place,) = located(encoder, [("field", focus)]).places
    coarse = Box(2816, 3840, 3072, 4096).center
    assert place.drift > 0
    on_whole_tokens = (0.49 * place.token_side) ** 2
    assert place.center_error == pytest.approx((on_whole_tokens + place.drift**2) ** 0.5, rel=1e-3)
    assert place.drift <= max(abs(c - e) for c, e in zip(coarse, place.center, strict=True)) * 2
    # one that fills whole tokens has the same center on every level
    field = Painted([Box(1024, 1024, 2048, 2048)])
    (place,) = located(field, [("field", focus_on((1500, 1500)))]).places
    assert place.drift == 0
    assert place.center_error == pytest.approx(0.49 * place.token_side, rel=1e-3)


def test_land_that_joined_an_outline_makes_its_size_and_its_center_less_certain():
    place = LocatedPlace("field", shapely.box(0, 0, 800, 400), 0, 16, 1.0)
    small, large = (outline_of(width) for width in (400, 800))
    joined, mended = (
        doubted(place, outlines, None) for outlines in ((small, large), (large, small, large))
    )
    assert joined.area_doubt == pytest.approx(0.75)
    assert joined.drift > 0.1 * 400
    assert mended.area_doubt == 0


def outline_of(width):
    """What tokens 400 pixels high and so wide outlined."""
    shape = shapely.box(0, 0, width, 400)
    return SimpleNamespace(shape=shape, count=width // 16, level=0)


@pytest.mark.parametrize("side", [384, 512, 640])
def test_a_redrawn_outline_that_lost_the_place_is_not_taken(side):
    # seen closely, one corner of the field looks like nothing else
    field, corner = Box(1024, 1024, 1024 + side, 1024 + side), Box(1024, 1024, 1088, 1088)

    class Odd(Painted):
        def __call__(self, tiles):
            self.boxes = [field] if tiles[0].level > 2 else [corner]
            return super().__call__(tiles)

    (place,) = located(Odd([field]), [("field", focus_on((1030, 1030)))]).places
    assert place.box_scene == field


def test_a_focus_without_an_opinion_finds_nothing():
    result = located(Painted([AIRPORT]), [("airport", focus_on())])
    assert result.places == (None,)
    assert not len(result.tokens)


def test_a_focus_that_scatters_finds_nothing():
    points = [(200 + 900 * i, 300 + 800 * j) for i in range(4) for j in range(4)]
    (place,) = located(Painted([]), [("airport", focus_on(*points))]).places
    assert place is None or place.rivals


def test_two_places_that_draw_the_focus_alike_are_told():
    encoder = Painted([AIRPORT, LAKE])
    centers = (AIRPORT.center, LAKE.center)
    (place,) = located(encoder, [("airport", focus_on(*centers, weights=[0.55, 0.45]))]).places
    assert place.box_scene == AIRPORT
    (rival,) = place.rivals
    assert LAKE.x0 <= rival[0] <= LAKE.x1
    assert LAKE.y0 <= rival[1] <= LAKE.y1
    # half as much is no rival
    (place,) = located(encoder, [("airport", focus_on(*centers, weights=[2, 1]))]).places
    assert not place.rivals


def test_a_model_that_can_say_what_it_sees_decides():
    encoder = Painted([AIRPORT, LAKE])
    centers = (AIRPORT.center, LAKE.center)
    focus = focus_on(*centers, weights=[0.55, 0.45])
    calls = Calls(AIRPORT)
    presence = Presence(REAL, calls, 100)
    (place,) = located(encoder, [("airport", focus)], presence=presence).places
    # the other place draws the focus, and the model sees no airport there
    assert not place.rivals
    assert place.score == pytest.approx(1 / (1 + 2.718281828**-3))
    assert presence.tokens_llm == sum(tokens for _, tokens in calls.asked) <= 100
    (place,) = located(encoder, [("airport", focus)], presence=Presence(REAL, Calls(), 100)).places
    assert place is None


@settings(max_examples=40, deadline=None)
@given(pyramids, st.integers(1, 40), st.integers(0, 99), st.integers(1, 3), st.booleans())
def test_no_search_for_places_exceeds_its_budget(pyramid, tiles, seed, count, area):
    encoder = Painted([], pyramid)
    name = "airport" if area else "truck"
    foci = [(f"{name}", random_focus(seed + i)) for i in range(count)]
    result = located(encoder, foci, tiles=tiles, pyramid=pyramid)
    assert len(encoder.tiles) == len(set(encoder.tiles)) <= tiles
    assert {tile for look in result.looks for tile in look.tiles} == set(encoder.tiles)
    for place in result.places:
        assert place is None or pyramid.top_level >= place.level >= 0


class Widening(Painted):
    """A pad whose grounds look like it on finer levels alone, as fields of stripes do."""

    def __init__(self, pad, grounds):
        super().__init__([pad])
        self._finer = Painted([grounds])

    def __call__(self, tiles):
        if tiles[0].level >= 5:
            return super().__call__(tiles)
        self.tiles += tiles
        return self._finer(tiles)


@pytest.mark.parametrize(("tiles", "is_whole"), [(64, True), (10, False)])
def test_what_reaches_farther_on_a_finer_level_is_followed_or_stays_coarse(tiles, is_whole):
    pad, grounds = Box(512, 512, 1024, 1024), Box(512, 512, 2560, 2560)
    encoder = Widening(pad, grounds)
    (place,) = located(encoder, [("airport", focus_on((600, 600)))], tiles=tiles).places
    # the tiles over the pad and around it end at 2048: what they cut off would move the center
    assert place.box_scene == (grounds if is_whole else pad)
    assert len(encoder.tiles) <= tiles


def test_an_area_is_outlined_with_its_grounds_and_not_by_its_pad_alone():
    grounds, pad = Box(512, 512, 3584, 3584), Box(1536, 1536, 2560, 2560)

    def score(tokens):
        b = tokens.boxes_scene
        x, y = (b[:, 0] + b[:, 2]) / 2, (b[:, 1] + b[:, 3]) / 2
        levels = ((grounds, 0.5), (pad, 100.0))
        total = torch.full((len(tokens),), 0.01)
        for box, weight in levels:
            total[(x >= box.x0) & (x < box.x1) & (y >= box.y0) & (y < box.y1)] = weight
        return total

    # the pad is as unlike the grounds as the land is
    colors = torch.eye(6)
    colors[2, 1] = -1
    encoder = Painted([grounds, pad], colors=colors)
    result = located(encoder, [("airport", AttentionFocus(score))])
    (place,) = result.places
    assert place.box_scene.as_tuple() == pytest.approx(grounds.as_tuple(), abs=place.token_side)


class Told:
    """Names of places, told in tiles by the share of a tile that the place covers."""

    def __init__(self, things=(), **places):
        self.places, self.things = places, dict(things)

    def site_called(self, name):
        return name if name in self.places else None

    def thing_called(self, name):
        return name if name in self.things else None

    def thing_probabilities(self, thing, pictures):
        tiles = [picture.tiles[0] for picture in pictures]
        box = self.things[thing]
        return [
            None if tile.level else float(bool(box and PYRAMID.box_scene(tile).intersection(box)))
            for tile in tiles
        ]

    def site_probabilities(self, site, tokens):
        tiles = [tile for each in tokens for tile in each.tiles]
        boxes = [PYRAMID.box_scene(tile) for tile in tiles]
        shares = [self.places[site].share_inside(box) * self.places[site].area for box in boxes]
        return [
            (tile, 0.99 if share > 0.1 * box.area else 0.0)
            for tile, box, share in zip(tiles, boxes, shares, strict=True)
        ]

    def site_probability(self, site, tokens):
        return max((likely for _, likely in self.site_probabilities(site, tokens)), default=None)


def told(**places):
    return Presence(DEMO, Calls(), 100, Told(**places))


def test_a_place_that_tiles_show_is_outlined_there_wherever_the_focus_falls():
    focus = focus_on(AIRPORT.center, LAKE.center, weights=[0.9, 0.1])
    arguments = Painted([AIRPORT, LAKE]), [("lake", focus)]
    assert located(*arguments).places[0].box_scene == AIRPORT
    for far in (0.6, 0.9):
        focus = focus_on(AIRPORT.center, LAKE.center, weights=[far, 1 - far])
        encoder = Painted([AIRPORT, LAKE])
        (place,) = located(encoder, [("lake", focus)], presence=told(lake=LAKE)).places
        assert place.box_scene == LAKE
        # what lies elsewhere is none of the kind, however much of the focus it draws
        assert not place.rivals


def test_land_that_looks_like_a_place_joins_it_no_farther_than_tiles_show_it():
    land, focus = Box(512, 512, 4096, 4096), focus_on((900, 900))
    (place,) = located(Painted([land]), [("airport", focus)]).places
    assert place.box_scene == land
    (place,) = located(Painted([land]), [("airport", focus)], presence=told(airport=AIRPORT)).places
    # the airport reaches into tiles of 1,024 px, and an eighth of a base tile may be added to them
    assert place.box_scene == Box(512, 512, 2048 + 256, 2048 + 256)


def test_a_place_is_told_from_a_surround_that_looks_somewhat_like_it():
    colors = torch.eye(6)
    colors[1] = 0.75 * colors[2] + 0.66 * colors[1]
    land, focus = Box(0, 0, 2560, 2560), focus_on((900, 900))
    encoder = Painted([land, AIRPORT], colors=colors)
    (place,) = located(encoder, [("airport", focus)], presence=told(airport=AIRPORT)).places
    assert place.box_scene == AIRPORT


@pytest.mark.parametrize("tiles", [5, 20, 33, 48, 64])
def test_what_is_followed_on_several_levels_keeps_the_budget(tiles):
    encoder = Painted([AIRPORT])
    located(encoder, [("truck", focus_on(AIRPORT.center))], tiles=tiles)
    assert len(encoder.tiles) <= tiles


@pytest.mark.parametrize("tiles", [20, 48])
def test_a_thing_that_no_native_tile_shows_is_not_found(tiles):
    focus = focus_on(AIRPORT.center)
    encoder = Painted([AIRPORT])
    there = Presence(DEMO, Calls(), 100, Told([("truck", AIRPORT)]))
    (place,) = located(encoder, [("truck", focus)], tiles=tiles, presence=there).places
    assert any(tile.level == 0 for tile in encoder.tiles)
    assert len(encoder.tiles) <= tiles
    # it stands somewhere on ground that looks alike
    assert place.center_error >= place.box_scene.width / 2
    absent = Presence(DEMO, Calls(), 100, Told([("truck", None)]))
    encoder = Painted([AIRPORT])
    assert located(encoder, [("truck", focus)], tiles=tiles, presence=absent).places == (None,)


def test_what_tells_places_in_tiles_keeps_the_budget():
    for tiles in (1, 3, 9, 20, 64):
        encoder = Painted([AIRPORT, LAKE])
        foci = [("airport", focus_on(AIRPORT.center)), ("lake", focus_on(LAKE.center))]
        presence = told(airport=AIRPORT, lake=LAKE)
        located(encoder, foci, tiles=tiles, presence=presence)
        assert len(encoder.tiles) == len(set(encoder.tiles)) <= tiles
