"""Expected recall, and the quantiles behind its interval."""

import math
import random
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from geofovea.errors import QuestionError
from geofovea.pipeline.places.coverage import (
    Coverage,
    expected_recall,
    gamma_quantile,
    upper_rate,
)
from geofovea.pipeline.places.place import Place
from geofovea.pipeline.places.report import sampled_recall
from geofovea.tiling.pyramid import Box, Pyramid, Tile


@pytest.mark.parametrize(
    ("shape", "probability", "value"),
    # half of the chi-square table: 2, 4, 10 and 20 degrees of freedom
    [(1, 0.975, 3.6889), (2, 0.025, 0.2422), (5, 0.975, 10.2416), (10, 0.025, 4.7954), (0, 0.5, 0)],
)
def test_gamma_quantiles_are_those_of_printed_tables(shape, probability, value):
    assert gamma_quantile(shape, probability) == pytest.approx(value, abs=2e-4)


@given(st.floats(0.5, 2000), st.floats(0.001, 0.999))
def test_a_gamma_quantile_undoes_the_distribution(shape, probability):
    value = torch.tensor(gamma_quantile(shape, probability), dtype=torch.float64)
    order = torch.tensor(shape, dtype=torch.float64)
    assert float(torch.special.gammainc(order, value)) == pytest.approx(probability, abs=1e-8)


def test_recall_counts_what_the_sample_says_of_the_rest():
    recall, low = expected_recall(10, [0, 1, 0, 0], 40)
    assert recall == 10 / (10 + 40 / 4)
    assert low == 10 / (10 + 40 * upper_rate(1, 4))


def test_recall_is_unknown_where_nothing_was_found_or_drawn():
    assert expected_recall(0, [0, 0], 10) == (None, None)
    assert expected_recall(3, [], 10) == (None, None)


def test_a_sample_without_any_place_bounds_the_rate_by_the_rule_of_three():
    assert upper_rate(0, 100) == pytest.approx(-math.log(0.025) / 100)


def test_the_lower_end_holds_for_nearly_all_draws():
    rng = random.Random(4)
    held = 0
    for _ in range(400):
        rest = [int(rng.random() < 0.05) for _ in range(300)]
        found = 20
        drawn, unseen = rest[:60], rest[60:]
        _, low = expected_recall(found + sum(drawn), drawn, len(unseen))
        held += (found + sum(drawn)) / (found + sum(rest)) >= low
    assert held >= 380


def test_what_is_ruled_out_has_the_miss_rate_of_those_that_were_looked_at():
    coverage = Coverage("search", 500, 60, 400, 0.12, sampled=40, stopped="tiles")
    assert coverage.ruled_out_miss_rate is None
    tested = replace(coverage, ruled_out_sampled=36, ruled_out_misses=1)
    # Garwood: 0.5 * chi2(0.975, 4) = 5.5716 places in 36 tiles
    assert tested.ruled_out_miss_rate == pytest.approx(5.5716 / 36, abs=1e-5)
    assert (
        "400 ruled out by a coarser level; 36 such tiles looked at as a check, 1 of them show it"
        in tested.text
    )
    with pytest.raises(QuestionError, match="among the tiles that were sampled"):
        replace(coverage, ruled_out_sampled=36, ruled_out_misses=37)


def test_the_expected_recall_is_that_of_searches_though_seams_cut_things():
    rng, pyramid = random.Random(8), Pyramid(2000, 2000, 100)
    tiles = list(pyramid.tiles(0))
    found = expected = there = held = 0
    for _ in range(300):
        corners = [(rng.uniform(0, 1960), rng.uniform(0, 1960)) for _ in range(20)]
        things = [Box(x, y, x + 40, y + 40) for x, y in corners]
        # a search knows half of the things, and draws from the other tiles
        chosen = {tile for thing in things[:10] for tile in pyramid.tiles_over(0, thing)}
        drawn = rng.sample([tile for tile in tiles if tile not in chosen], 60)
        looked = chosen | set(drawn)
        places = [
            Place(thing, 1.0, 0, "truck", evidence)
            for thing in things
            if (evidence := tuple(t for t in pyramid.tiles_over(0, thing) if t in looked))
        ]
        recall, low = sampled_recall(places, drawn, len(tiles) - len(looked), 100)
        found, there = found + len(places), there + len(things)
        expected += len(places) / recall
        held += len(places) / len(things) >= low
    assert found / expected == pytest.approx(found / there, abs=0.03)
    assert held >= 285


def test_what_a_chosen_tile_shows_in_part_was_not_missed():
    across = Place(Box(90, 10, 130, 40), 1.0, 0, "truck", (Tile(0, 0, 0), Tile(0, 0, 1)))
    assert sampled_recall([across], [Tile(0, 0, 1)], 8, 100)[0] == 1.0
    alone = Place(Box(110, 10, 130, 40), 1.0, 0, "truck", (Tile(0, 0, 1),))
    assert sampled_recall([across, alone], [Tile(0, 0, 1)], 8, 100)[0] == 2 / (2 + 8)
