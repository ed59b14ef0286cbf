"""Every policy keeps its budgets exactly, reaches native, and shows the place asked for."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from regionfocus_toys import ToyEncoder, point_focus, pyramids, random_focus

from geofovea.errors import BudgetError
from geofovea.regionfocus.focus import AttentionFocus
from geofovea.regionfocus.reductions.registry import make_reduction
from geofovea.regionfocus.scoring import chain_masses
from geofovea.regionfocus.search.best_first import descend_best_first
from geofovea.regionfocus.search.descent import descend
from geofovea.regionfocus.search.diversity import BestOnly, DiscountedPlaces
from geofovea.regionfocus.search.registry import DESCENTS, walk
from geofovea.regionfocus.search.stopping import FirstStop, FlatStop, NeverStop
from geofovea.regionfocus.search.tile_budget import AllToBestSplit, GeometricSplit, start_tiles
from geofovea.regionfocus.selection.allocation import even_shares
from geofovea.regionfocus.selection.kept_tokens import keep_tokens
from geofovea.regionfocus.selection.places import best_places, clusters, concentrate
from geofovea.regionfocus.tokens import TokenSet
from geofovea.tiling.pyramid import Box, Pyramid, Tile

BIG = Pyramid(32768, 32768, 192)


def bare_enough(pyramid):
    start = start_tiles(pyramid, 10**6)
    return len(start) + start[-1].level


@given(
    pyramids,
    st.integers(1, 200),
    st.integers(1, 3000),
    st.sampled_from(sorted(DESCENTS)),
    st.integers(0, 99),
    st.integers(1, 4),
    st.integers(1, 4),
    st.sampled_from(["top_score", "strided", "random"]),
    st.sampled_from([BestOnly(), DiscountedPlaces(0.3)]),
)
def test_no_policy_exceeds_its_tiles_or_its_tokens(
    pyramid, tiles, tokens, name, seed, side, places, reduction, diversity
):
    encode = ToyEncoder(pyramid, (side, side))
    descent = walk(name, pyramid, tiles, encode, random_focus(seed), diversity=diversity)
    assert len(encode.tiles) == len(set(encode.tiles)) == descent.tiles_encoded <= tiles
    assert all(pyramid.contains(tile) for tile in encode.tiles)
    chosen = best_places(descent, places)
    shown = concentrate(descent, chosen)
    kept, scores = keep_tokens(shown, tokens, make_reduction(reduction), chosen)
    offered = sum(len(look.tokens) for look in shown.looks)
    assert len(kept) == len(scores) == min(tokens, offered)
    places_kept = zip(kept.levels.tolist(), kept.boxes_scene.tolist(), strict=True)
    assert len({(level, *box) for level, box in places_kept}) == len(kept)


@given(pyramids, st.integers(1, 200), st.sampled_from(sorted(DESCENTS)), st.integers(0, 99))
def test_every_policy_reaches_native_whenever_a_tile_is_left_for_it(pyramid, budget, name, seed):
    descent = walk(name, pyramid, budget, ToyEncoder(pyramid, (2, 2)), random_focus(seed))
    start = start_tiles(pyramid, budget)
    if start[-1].level and len(start) < budget:
        assert (descent.finest_level, descent.stopped) == (0, "native")


@given(pyramids, st.sampled_from(sorted(DESCENTS)), st.floats(0, 0.999), st.floats(0, 0.999))
def test_every_policy_finds_a_bright_point_and_concentrates_on_it(pyramid, name, right, down):
    x, y = right * pyramid.width, down * pyramid.height
    encode = ToyEncoder(pyramid)
    descent = walk(name, pyramid, bare_enough(pyramid) + 20, encode, point_focus(x, y))
    (target,) = pyramid.tiles_over(0, Box(int(x), int(y), int(x) + 1, int(y) + 1))
    shown = concentrate(descent, best_places(descent))
    assert target in shown.looks[-1].tiles


def two_points(strong, weak):
    """A strong and a weak place, seen from afar; from near the weak one shouts."""

    def score(tokens):
        masses = torch.zeros(len(tokens))
        for (x, y), afar, near in ((strong, 0.6, 0.1), (weak, 0.4, 0.9)):
            x0, y0, x1, y1 = tokens.boxes_scene.T
            inside = (x0 <= x) & (x < x1) & (y0 <= y) & (y < y1)
            is_afar = tokens.levels >= 6
            masses += inside * torch.where(is_afar, afar, near)
        return masses

    return AttentionFocus(score)


@pytest.mark.parametrize("name", ["geometric_chained", "all_to_best", "best_first"])
def test_chains_keep_to_the_place_that_was_best_where_all_were_seen(name):
    strong, weak = (4000, 5000), (30000, 20000)
    descent = walk(name, BIG, 48, ToyEncoder(BIG), two_points(strong, weak))
    (place,) = best_places(descent)
    (target,) = BIG.tiles_over(0, Box(*strong, strong[0] + 1, strong[1] + 1))
    assert target in place


def test_scores_of_levels_alone_are_led_astray_by_what_shouts_from_near():
    descent = walk("geometric", BIG, 48, ToyEncoder(BIG), two_points((4000, 5000), (30000, 20000)))
    (place,) = best_places(descent)
    assert BIG.tiles_over(0, Box(30000, 20000, 30001, 20001))[0] in place


def test_best_first_turns_back_where_a_place_is_no_longer_the_likeliest():
    # 800² with tiles of 100: overview 3, base 2 with 2 × 2 tiles
    pyramid = Pyramid(800, 800, 100, base_side=200)
    base = {Tile(2, 0, 0): 0.4, Tile(2, 1, 1): 0.35, Tile(2, 0, 1): 0.15, Tile(2, 1, 0): 0.1}

    def score(tokens):
        of_tile = [base.get(tile, 1.0) / 16 for tile in tokens.tiles]
        return torch.tensor(of_tile)[tokens.tile_index]

    encode = ToyEncoder(pyramid)
    descend_best_first(pyramid, 5 + 20, encode, AttentionFocus(score), width=1)
    order = encode.tiles[5:]
    # a quarter of 0.4 each; only then those of 0.35, before any of their own children
    assert {tile.row // 2 for tile in order[:4]} == {tile.col // 2 for tile in order[:4]} == {0}
    assert [tile.level for tile in order[:8]] == [1] * 8
    assert order[4].row // 2 == order[4].col // 2 == 1


class WaveFocus:
    """A focus that takes the looks of a wave in one call, and remembers their levels."""

    name = "attention"

    def __init__(self, focus):
        self.focus, self.waves = focus, []

    def score(self, tokens):
        return self.score_each([tokens])[0]

    def score_each(self, looks):
        self.waves.append([tokens.tiles[0].level for tokens in looks])
        return [self.focus.score(tokens) for tokens in looks]


def test_a_wave_of_several_levels_is_scored_in_one_call_and_leads_to_the_same_tiles():
    one, together = (
        two_points((4000, 5000), (30000, 20000)),
        two_points((4000, 5000), (30000, 20000)),
    )
    waves = WaveFocus(together)
    alone = descend_best_first(BIG, 48, ToyEncoder(BIG), one)
    encode = ToyEncoder(BIG)
    descent = descend_best_first(BIG, 48, encode, waves)
    assert len(waves.waves) == len(encode.calls)
    assert max(len(levels) for levels in waves.waves) > 1
    assert descent.tiles_by_level == alone.tiles_by_level
    for own, expected in zip(descent.looks, alone.looks, strict=True):
        assert own.tiles == expected.tiles
        assert torch.equal(own.scores, expected.scores)


def test_chained_scores_of_a_tile_sum_to_what_led_to_it():
    tokens = ToyEncoder(BIG)([Tile(3, 1, 1), Tile(3, 1, 2)])
    masses = torch.arange(32.0)
    led = {Tile(3, 1, 1): 0.25, Tile(3, 1, 2): 0.5}
    chained = chain_masses(tokens, masses, led)
    assert chained[:16].sum() == pytest.approx(0.25)
    assert chained[16:].sum() == pytest.approx(0.5)
    assert torch.allclose(chained[:16], masses[:16] / masses[:16].sum() * 0.25)
    silent = chain_masses(tokens, torch.zeros(32), led)
    assert torch.allclose(silent[:16], torch.full((16,), 0.25 / 16))
    assert chain_masses(tokens, masses).sum() == pytest.approx(1)


def test_chained_flat_scores_spread_as_those_of_levels_do():
    pyramid = Pyramid(1600, 1600, 100, base_side=200)
    flat = AttentionFocus(lambda tokens: torch.ones(len(tokens)))
    descent = descend(pyramid, 5 + 12, ToyEncoder(pyramid), flat, chained=True)
    corners = {(tile.row // 2, tile.col // 2) for tile in descent.looks[2].tiles}
    assert corners == {(0, 0), (0, 1), (1, 0), (1, 1)}


def at(*places):
    return {Tile(0, row, col): score for row, col, score in places}


@pytest.mark.parametrize(
    ("scores", "places"),
    [
        (at((0, 0, 1.0)), [[(0, 0)]]),
        (at((0, 0, 1.0), (1, 1, 0.5), (5, 5, 2.0)), [[(5, 5)], [(0, 0), (1, 1)]]),
        # touching by a corner is touching; two columns away is another place
        (at((0, 0, 1.0), (0, 1, 0.9), (0, 2, 0.8)), [[(0, 0), (0, 1)], [(0, 2)]]),
        (at((0, 1, 1.0), (0, 0, 0.9), (0, 2, 0.8)), [[(0, 0), (0, 1), (0, 2)]]),
    ],
)
def test_clusters_are_peaks_with_their_neighbors(scores, places):
    found = [[(tile.row, tile.col) for tile in place] for place in clusters(scores)]
    assert found == places


@given(
    st.dictionaries(
        st.builds(Tile, st.just(0), st.integers(0, 6), st.integers(0, 6)), st.floats(0, 1)
    ),
    st.integers(0, 3),
)
def test_every_tile_belongs_to_one_cluster(scores, reach):
    places = clusters(scores, reach)
    assert sorted(tile for place in places for tile in place) == sorted(scores)
    peaks = [max(scores[tile] for tile in place) for place in places]
    assert peaks == sorted(peaks, reverse=True)


def test_concentrating_keeps_the_map_and_drops_the_way():
    descent = walk("geometric", BIG, 48, ToyEncoder(BIG), point_focus(20000, 9000, 0.01))
    shown = concentrate(descent, best_places(descent))
    assert [look.level for look in shown.looks] == [8, 6, 0]
    assert shown.looks[:2] == descent.looks[:2]
    assert concentrate(descent, ()) is descent
    with pytest.raises(BudgetError, match="at least 1 place"):
        best_places(descent, 0)


@given(st.lists(st.integers(0, 50)), st.integers(0, 300))
def test_even_shares_spend_all_that_fits_and_favour_nobody(sizes, total):
    shares = even_shares(sizes, total)
    assert sum(shares) == min(total, sum(sizes))
    assert all(0 <= share <= size for share, size in zip(shares, sizes, strict=True))
    open_shares = [s for s, size in zip(shares, sizes, strict=True) if s < size]
    assert not open_shares or max(shares) - min(open_shares) <= 1


def test_each_place_gets_the_same_share_of_the_finest_tokens():
    descent = walk("geometric", BIG, 48, ToyEncoder(BIG, (8, 8)), point_focus(20000, 9000, 0.01))
    finest = descent.looks[-1].tiles
    places = (finest[:1], finest[1:3])
    shown = concentrate(descent, places)
    kept, _ = keep_tokens(shown, 64 + 40, make_reduction("top_score"), places)
    native = kept.at_level(0)
    in_first = sum(native.tiles[i] in places[0] for i in native.tile_index.tolist())
    # 0.6 of all, the half of it rounded down to the first
    assert (len(native), in_first) == (63, 31)


@pytest.mark.parametrize(
    ("budget", "counts"),
    [
        (10, {}),
        (12, {3: 1, 0: 1}),
        (34, {5: 4, 4: 4, 3: 4, 2: 4, 1: 4, 0: 4}),
        (48, {5: 4, 4: 4, 3: 4, 2: 4, 1: 4, 0: 18}),
    ],
)
def test_all_to_best_leaves_the_rest_to_native(budget, counts):
    assert AllToBestSplit().tiles_per_level(BIG, budget) == counts


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.integers(0, 25))
def test_a_discount_of_one_is_no_diversity(scores, count):
    tiles = [Tile(0, i // 5, i % 5) for i in range(len(scores))]
    masses = torch.tensor(scores, dtype=torch.float32)
    best = BestOnly().choose(tiles, masses, count)
    assert DiscountedPlaces(1).choose(tiles, masses, count, tiles[:2], 2) == best


def test_near_identical_tiles_of_one_place_do_not_starve_another():
    tiles = [Tile(0, 0, 0), Tile(0, 0, 1), Tile(0, 1, 0), Tile(0, 4, 4)]
    masses = torch.tensor([0.3, 0.29, 0.28, 0.2])
    assert BestOnly().choose(tiles, masses, 2) == tiles[:2]
    assert DiscountedPlaces(0.5).choose(tiles, masses, 2, (), 1) == [tiles[0], tiles[3]]
    # what a place had before counts as well
    assert DiscountedPlaces(0.5).choose(tiles, masses, 1, tiles[:1], 1) == [tiles[3]]
    with pytest.raises(BudgetError, match="factor in"):
        DiscountedPlaces(0)


def test_impossible_policies_are_refused():
    with pytest.raises(BudgetError, match="floor >= 1"):
        AllToBestSplit(0)
    with pytest.raises(BudgetError, match="at least 1 tile"):
        descend_best_first(BIG, 48, ToyEncoder(BIG), point_focus(1, 1), width=0)


def test_the_first_rule_with_a_reason_gives_it():
    rules = FirstStop((NeverStop(), FlatStop(0.5)))
    assert rules.reason(torch.ones(4)) == "flat"
    assert rules.reason(torch.tensor([9.0, 1.0])) is None
    for name in DESCENTS:
        flat = AttentionFocus(lambda tokens: torch.ones(len(tokens)))
        descent = walk(name, BIG, 48, ToyEncoder(BIG), flat, stop=rules)
        assert (descent.finest_level, descent.stopped) == (6, "flat")


def test_a_deadline_ends_a_best_first_search():
    times = iter([0.0, 1.0, 2.0])
    descent = descend_best_first(
        BIG, 48, ToyEncoder(BIG), point_focus(9, 9), deadline=2.0, clock=lambda: next(times)
    )
    assert (descent.tiles_encoded, descent.stopped) == (18, "time")


def test_best_first_ends_where_there_is_no_data():
    encode = ToyEncoder(BIG, nodata_from_x=-1)
    descent = descend_best_first(BIG, 48, encode, point_focus(9, 9))
    assert (descent.finest_level, descent.stopped) == (6, "nodata")


def test_best_first_spends_all_its_tiles_on_a_large_scene():
    assert math.prod(BIG.grid_shape(0)) > 300
    descent = descend_best_first(BIG, 300, ToyEncoder(BIG), random_focus(3))
    assert descent.tiles_encoded == 300
    assert GeometricSplit() != AllToBestSplit()


class Watching:
    """A stop rule that keeps what it is shown, and whether it looks at it."""

    def __init__(self, *, looking):
        self.looking, self.seen = looking, []

    def reason(self, candidate_scores, looks=()):
        self.seen.append(tuple(looks) if self.looking else looks)


def test_a_stop_rule_sees_all_looks_so_far_coarse_to_fine():
    rule = Watching(looking=True)
    descent = descend_best_first(BIG, 40, ToyEncoder(BIG), point_focus(9, 9), stop=rule)
    sizes = [sum(len(look.tokens) for look in looks) for looks in rule.seen]
    assert sizes == sorted(set(sizes))
    assert sizes[-1] < sum(len(look.tokens) for look in descent.looks)
    for looks in rule.seen:
        assert [look.level for look in looks] == [
            look.level for look in descent.looks[: len(looks)]
        ]


def test_nothing_is_put_together_for_a_rule_that_does_not_look(monkeypatch):
    joined = []
    concat = TokenSet.concat
    monkeypatch.setattr(
        TokenSet, "concat", staticmethod(lambda sets: joined.append(len(sets)) or concat(sets))
    )
    rule = Watching(looking=False)
    descend_best_first(BIG, 40, ToyEncoder(BIG), point_focus(9, 9), stop=rule)
    assert len(rule.seen) > 5
    assert len(joined) <= BIG.top_level + 1
