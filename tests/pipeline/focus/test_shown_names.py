"""Names of places are found in the tiles of a search; nothing is encoded again for that."""

import numpy as np
import pytest
import torch

import geofovea as gf
from geofovea.datasets.synthetic.vocabulary import (
    SITES,
    THINGS,
    sites_in,
    thing_called,
    things_taken_for_granted,
)
from geofovea.pipeline.engine.calls import DirectCalls
from geofovea.pipeline.focus import token_pair
from geofovea.pipeline.focus.presence import Presence
from geofovea.pipeline.focus.shown_names import LIKELY, ShownNames
from geofovea.pipeline.focus.token_pair import token_pair_beside
from geofovea.pipeline.hosts.scene_positions import SCENE_POSITION_FILE, shown_alone
from geofovea.regionfocus.tokens import TokenSet, tokens_of_tiles
from geofovea.tiling import TileReader, plan_radiometry
from geofovea.tiling.pyramid import Pyramid


@pytest.fixture
def reader(scene_path, embedded_host):
    scene = gf.open_scene(scene_path)
    return TileReader(scene, scene.pyramid(embedded_host.tile_size), plan_radiometry(scene))


def pictures(reader, tiles):
    return np.stack([reader.read(tile).rgb for tile in tiles])


def encoded(reader, host, tiles):
    features = host.encode(pictures(reader, tiles), tiles, reader.pyramid)
    return tokens_of_tiles(features, host.grid, tiles, reader.pyramid)


def coarse_tiles(pyramid):
    return [tile for tile in pyramid.tiles(1) if not tile.row % 2][:6]


def test_tokens_without_their_place_are_those_of_a_scene_of_one_tile(reader, embedded_host):
    host, tiles = embedded_host, coarse_tiles(reader.pyramid)
    alone = Pyramid(host.tile_size, host.tile_size, host.tile_size)
    expected = host.encode(pictures(reader, tiles), [alone.overview] * len(tiles), alone)
    weight = dict(host.weights())["scene_position.safetensors"]
    tokens = encoded(reader, host, tiles)
    moved = shown_alone(tokens, reader.pyramid, host.grid[0], weight)
    for tile, one, whole in zip(tokens.tiles, moved, expected, strict=True):
        own = whole[_of_scene(tile, reader.pyramid, host.grid[0])]
        torch.testing.assert_close(one, own, atol=2e-5, rtol=1e-5)


def _of_scene(tile, pyramid, grid):
    """The tokens of a tile that are not all padding."""
    side = (pyramid.tile_size << tile.level) / grid
    rows, cols = torch.meshgrid(torch.arange(grid), torch.arange(grid), indexing="ij")
    x = (tile.col * grid + cols) * side < pyramid.width
    y = (tile.row * grid + rows) * side < pyramid.height
    return (x & y).flatten()


def test_tokens_of_a_model_that_adds_no_places_stay_as_they_are(reader, embedded_host):
    tokens = encoded(reader, embedded_host, coarse_tiles(reader.pyramid)[:1])
    (moved,) = shown_alone(tokens, reader.pyramid, embedded_host.grid[0], None)
    assert torch.equal(moved, tokens.features.float())


def test_a_site_is_likely_where_the_scene_shows_it_and_nowhere_else(reader, embedded_host, world):
    named = ShownNames.of(embedded_host, reader.scene, reader.pyramid)
    tokens = encoded(reader, embedded_host, list(reader.pyramid.tiles(1)))
    shown = {site.kind for site in world.sites}
    likely = {site for site in SITES if named.site_probability(site, [tokens]) >= LIKELY}
    assert likely == shown


def test_a_tile_is_pooled_once_whichever_names_are_looked_for(reader, embedded_host, monkeypatch):
    pair, tiles = token_pair_beside(embedded_host, "embedded"), list(reader.pyramid.tiles(1))
    tokens = encoded(reader, embedded_host, tiles)
    # the first tile shows less of itself, as one at a border does
    tokens = tokens.select(torch.arange(7, len(tokens)))
    space, of_tiles, pooled = pair._space, pair._space.of_tiles, []
    monkeypatch.setattr(
        space, "of_tiles", lambda some: (pooled.append(len(some)), of_tiles(some))[1]
    )
    few = tokens.select(tokens.tile_index < 2)
    pair.forget()
    first = pair.probabilities([few], reader.pyramid, "car park")
    assert sorted(pooled) == [1, 1]
    both = [pair.probabilities([tokens], reader.pyramid, text) for text in ("car park", "depot")]
    # those of one shape go together, and nothing is pooled twice
    assert sum(pooled) == len(tiles)
    assert len(pooled) <= 2 + len({int(n) for n in tokens.tile_index.bincount()[2:]})
    # the last bits of a product hang on how many rows it has and on the processor
    torch.testing.assert_close(both[0][:2], first, rtol=1e-5, atol=0)
    place = dict(embedded_host.weights()).get(SCENE_POSITION_FILE)
    alone = shown_alone(tokens, reader.pyramid, embedded_host.grid[0], place)
    with torch.inference_mode():
        vectors = torch.cat([of_tiles(each[None]) for each in alone])
        for text, likely in zip(("car park", "depot"), both, strict=True):
            logits = space.logits(vectors, pair.embed_text(text)[None])[:, 0]
            torch.testing.assert_close(likely, logits.sigmoid(), atol=1e-5, rtol=0)


def test_a_phrase_is_embedded_once_for_all_questions_until_it_is_forgotten(
    embedded_host, monkeypatch
):
    pair = token_pair_beside(embedded_host, "embedded")
    space, of_texts, means = pair._space, pair._space.of_texts, []
    monkeypatch.setattr(space, "of_texts", lambda mean: (means.append(mean), of_texts(mean))[1])
    pair.forget()
    texts = ("car park", "depot")
    first = [pair.embed_text(text) for text in texts]
    again = [token_pair_beside(embedded_host, "embedded").embed_text(text) for text in texts]
    assert all(map(torch.equal, first, again))
    assert len(means) == 2
    assert not torch.equal(*first)
    pair.forget()
    pair.embed_text("depot")
    assert len(means) == 3


def test_tiles_of_all_looks_are_placed_together_and_told_as_each_by_itself(
    reader, embedded_host, monkeypatch
):
    named = ShownNames.of(embedded_host, reader.scene, reader.pyramid)
    tiles = coarse_tiles(reader.pyramid)
    # a native tile between them, which is not asked, must not shift what follows it
    mixed = [tiles[0], next(iter(reader.pyramid.tiles(0))), *tiles[1:]]
    tokens = encoded(reader, embedded_host, mixed)
    # nor must a tile of which no token is left
    kept = tokens.tile_index != mixed.index(tiles[2])
    tokens = TokenSet(
        tokens.features[kept], tokens.tiles, tokens.tile_index[kept], tokens.boxes_scene[kept]
    )
    each = [tokens.select(tokens.tile_index == i) for i in range(len(mixed))]
    apart = [pair for one in each for pair in named.site_probabilities("airport", [one])]
    assert [tile for tile, _ in apart] == [tiles[0], tiles[1], *tiles[3:]]
    calls = []
    monkeypatch.setattr(
        token_pair, "shown_alone", lambda *args: calls.append(args) or shown_alone(*args)
    )
    pair = token_pair_beside(embedded_host, "embedded")
    for looks in ([tokens], each):
        pair.forget()
        together = named.site_probabilities("airport", looks)
        assert [tile for tile, _ in together] == [tile for tile, _ in apart]
        assert [likely for _, likely in together] == pytest.approx(
            [likely for _, likely in apart], rel=1e-4
        )
    assert len(calls) == 2
    # what is known of a tile is neither placed nor embedded again, whatever is new beside it
    with monkeypatch.context() as without:
        without.setattr(embedded_host, "weights", None)
        known = ShownNames.of(embedded_host, reader.scene, reader.pyramid)
        known.site_probabilities("depot", [tokens])
    assert len(calls) == 2
    pair.forget()
    partly = named.site_probabilities("airport", [each[0], each[-1]])
    together = named.site_probabilities("airport", [tokens])
    assert [shown.tiles for shown, *_ in calls[3:]] == [(tiles[1], *tiles[3:-1])]
    assert dict(partly) == pytest.approx(
        {tile: dict(together)[tile] for tile in (tiles[0], tiles[-1])}, rel=1e-4
    )


def test_the_same_tokens_at_another_place_of_the_scene_are_not_taken_for_known(
    reader, embedded_host
):
    pair, pyramid = token_pair_beside(embedded_host, "embedded"), reader.pyramid
    tokens = encoded(reader, embedded_host, coarse_tiles(pyramid)[1:3])
    here, there = (tokens.select(tokens.tile_index == i) for i in range(2))
    assert len(here) == len(there)
    moved = TokenSet(here.features, there.tiles, there.tile_index, there.boxes_scene)
    pair.forget()
    known = pair.probabilities([here], pyramid, "depot")
    after = pair.probabilities([moved], pyramid, "depot")
    pair.forget()
    assert torch.equal(pair.probabilities([moved], pyramid, "depot"), after)
    assert not torch.equal(known, after)


def test_native_tiles_alone_tell_nothing(reader, embedded_host):
    named = ShownNames.of(embedded_host, reader.scene, reader.pyramid)
    native = encoded(reader, embedded_host, list(reader.pyramid.tiles(0))[:1])
    assert named.site_probability("depot", [native]) is None
    assert named.site_probability("depot", [native.select(torch.arange(0))]) is None
    assert named.site_probability("depot", []) is None


@pytest.mark.parametrize(
    ("text", "sites"),
    [
        ("What color is the plane at the airport?", ("airport",)),
        ("is the Harbor larger than the rail yard", ("harbour", "rail yard")),
        ("the camp, the depot and the camp", ("camp", "depot")),
        ("camping at a campsite", ()),
        ("", ()),
    ],
)
def test_sites_of_a_text_are_those_that_it_names(text, sites):
    assert sites_in(text) == sites


@pytest.mark.parametrize(
    ("text", "things"),
    [
        ("What color is the plane at the airport?", ("plane",)),
        ("Is the parked white truck, or the TENT, at the depot damaged?", ("truck", "tent")),
        ("What status do the two boats at the harbor have?", ("boat",)),
        ("is that tank green", ("tank",)),
        ("How many of the trucks are red?", ("truck",)),
        ("How many trucks are at the depot?", ()),
        ("What is the number of planes at the airport?", ()),
        ("Is there a truck at the depot?", ()),
        ("Is the depot without a truck?", ()),
        ("Does the camp have any tents?", ()),
        ("What is the color of the hall?", ()),
        ("the planetarium", ()),
        ("", ()),
    ],
)
def test_things_that_a_text_takes_for_granted_follow_the(text, things):
    assert things_taken_for_granted(text) == things


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("harbor", "harbour"),
        ("Car Park", "car park"),
        ("old airport", None),
        ("truck", None),
        ("camp and depot", None),
        ("", None),
    ],
)
def test_a_name_is_known_where_it_is_that_of_a_site_and_no_more(embedded_host, name, known):
    pair = token_pair_beside(embedded_host, "embedded")
    assert ShownNames(pair, Pyramid(384, 384, 192)).site_called(name) == known


def test_a_model_without_a_dual_encoder_and_a_scene_of_another_kind_have_no_such_names(
    reader, embedded_host, monkeypatch
):
    other = gf.open_scene(np.zeros((64, 64, 3), np.uint8))
    assert ShownNames.of(embedded_host, other, reader.pyramid) is None
    monkeypatch.setattr(embedded_host, "parts", None)
    assert ShownNames.of(embedded_host, reader.scene, reader.pyramid) is None


class Scripted:
    """Names of places with one probability, and one for the native tiles of a thing."""

    def __init__(self, likely, native=()):
        self.likely, self.native = likely, native

    def thing_called(self, name):
        return name if name in THINGS else None

    def thing_probabilities(self, thing, pictures):
        return list(self.native)

    def site_called(self, name):
        return name if name in SITES else None

    def site_probability(self, name, tokens):
        return self.likely


@pytest.mark.parametrize(
    ("name", "likely", "share", "verdict"),
    [
        ("depot", 0.9, 0.1, (True, 0.9)),
        ("depot", 0.2, 1.0, (False, 0.2)),
        ("depot", None, 0.9, (True, 0.9)),
        ("depot", None, 0.5, (False, 0.5)),
        ("truck", 0.2, 0.9, (True, 0.9)),
    ],
)
def test_the_dual_encoder_decides_over_names_that_it_has_learned(
    embedded_host, name, likely, share, verdict
):
    presence = Presence(embedded_host, DirectCalls(embedded_host, None), 10, Scripted(likely))
    nothing = tokens_of_tiles(torch.zeros(0, 6, 6), (2, 3), [], Pyramid(64, 64, 64))
    assert presence.is_there(name, nothing, share, []) == verdict


@pytest.mark.parametrize(
    ("name", "thing"),
    [
        ("truck", "truck"),
        ("the red trucks", "truck"),
        ("large white plane at the depot", "plane"),
        ("helicopter pad", None),
        ("tank farm", None),
        ("depot", None),
        ("depot with a truck", None),
        ("", None),
    ],
)
def test_a_name_calls_the_thing_at_its_head(name, thing):
    assert thing_called(name) == thing


@pytest.mark.parametrize(
    ("native", "is_there"),
    [((), True), ((None, 0.9, 0.1), True), ((None, 0.3, 0.1), False), ((None,), True)],
)
def test_native_tiles_deny_a_thing_that_none_of_them_shows(embedded_host, native, is_there):
    scripted = Scripted(None, native)
    presence = Presence(embedded_host, DirectCalls(embedded_host, None), 10, scripted)
    nothing = tokens_of_tiles(torch.zeros(0, 6, 6), (2, 3), [], Pyramid(64, 64, 64))
    assert presence.is_there("truck", nothing, 0.95, []) == (is_there, 0.95)


def test_a_thing_is_likely_in_native_tiles_that_show_it(reader, embedded_host, world):
    names = ShownNames.of(embedded_host, reader.scene, reader.pyramid)
    things = [thing for site in world.sites for thing in site.things]
    kind = max({thing.kind for thing in things}, key=[thing.kind for thing in things].count)
    over = [reader.pyramid.tiles_over(0, thing.box)[0] for thing in things if thing.kind == kind]
    tiles = list(dict.fromkeys([*over, *list(reader.pyramid.tiles(0))[::7]]))
    shown = encoded(reader, embedded_host, tiles)
    pictures = [shown.select(shown.tile_index == n) for n in range(len(tiles))]
    likely = names.thing_probabilities(f"{kind}s", pictures)
    boxes = [reader.pyramid.box_scene(tile) for tile in tiles]
    shares = [
        max(thing.box.share_inside(box) for thing in things if thing.kind == kind) for box in boxes
    ]
    assert min(p for p, share in zip(likely, shares, strict=True) if share > 0.6) > 0.5
    absent = [p for p, share in zip(likely, shares, strict=True) if share == 0]
    assert sum(p < 0.5 for p in absent) >= 0.95 * len(absent)


def test_pictures_of_one_tile_are_judged_each_by_itself(reader, embedded_host, world):
    names = ShownNames.of(embedded_host, reader.scene, reader.pyramid)
    (thing, *_) = (thing for site in world.sites for thing in site.things)
    whole = encoded(reader, embedded_host, reader.pyramid.tiles_over(0, thing.box)[:1])
    half = torch.arange(len(whole) // 2)
    pictures = [whole, whole.select(half), whole.select(half + len(whole) // 2)]
    together = names.thing_probabilities(thing.kind, pictures)
    alone = [names.thing_probabilities(thing.kind, [picture])[0] for picture in pictures]
    assert together == pytest.approx(alone, abs=1e-5)
    assert len(set(together)) == len(pictures)


def test_nothing_is_told_of_other_nouns_and_of_coarser_tiles(reader, embedded_host):
    names = ShownNames.of(embedded_host, reader.scene, reader.pyramid)
    native, coarse = (
        encoded(reader, embedded_host, list(reader.pyramid.tiles(level))[:1]) for level in (0, 1)
    )
    empty = native.select(torch.arange(0))
    assert names.thing_probabilities("lighthouse", [native]) == [None]
    assert names.thing_probabilities("truck", [coarse, empty]) == [None, None]
