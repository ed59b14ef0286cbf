"""Scores travel from tokens to tiles without loss, and ties are broken the same way everywhere."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from regionfocus_toys import ToyEncoder, pyramids

from geofovea.errors import GeometryError, ModelError
from geofovea.regionfocus.focus import AttentionFocus, OracleFocus
from geofovea.regionfocus.scoring import (
    as_masses,
    clean_scores,
    is_flat,
    mass_collector,
    top_indices,
)
from geofovea.tiling.pyramid import Box, Pyramid, Tile

inf, nan = torch.inf, torch.nan


@given(pyramids, st.integers(1, 7), st.integers(1, 7), st.randoms())
def test_scores_over_a_partition_sum_to_the_total_of_the_tokens(pyramid, rows, cols, random):
    level = random.randint(max(0, pyramid.top_level - 2), pyramid.top_level)
    finer = random.randint(max(0, level - 3), level)
    tokens = ToyEncoder(pyramid, (rows, cols))(list(pyramid.tiles(level)))
    scores = torch.rand(len(tokens), generator=torch.Generator().manual_seed(random.getrandbits(9)))
    sums = mass_collector(tokens, list(pyramid.tiles(finer)), pyramid)(scores)
    assert float(sums.min()) >= 0
    assert float(sums.sum()) == pytest.approx(float(scores.double().sum()), rel=1e-9)


@given(pyramids, st.integers(1, 5), st.randoms())
def test_the_fast_sum_is_the_sum_over_exact_intersections(pyramid, cols, random):
    level = random.randint(max(0, pyramid.top_level - 1), pyramid.top_level)
    tokens = ToyEncoder(pyramid, (3, cols))(list(pyramid.tiles(level)))
    scores = torch.rand(len(tokens), generator=torch.Generator().manual_seed(random.getrandbits(9)))
    everywhere = [t for lv in range(max(0, level - 1), level + 1) for t in pyramid.tiles(lv)]
    candidates = random.sample(everywhere, min(5, len(everywhere)))
    expected = [
        sum(
            score * Box(*box).share_inside(pyramid.box_scene(tile))
            for score, box in zip(scores.tolist(), tokens.boxes_scene.tolist(), strict=True)
        )
        for tile in candidates
    ]
    actual = mass_collector(tokens, candidates, pyramid)(scores).tolist()
    assert actual == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_a_token_across_a_corner_gives_each_tile_its_quarter():
    # 3 × 3 tokens over 2 × 2 tiles: the middle token lies under all four
    pyramid = Pyramid(200, 200, 100)
    tokens = ToyEncoder(pyramid, (3, 3))([pyramid.overview])
    scores = torch.zeros(9)
    scores[4] = 1
    assert mass_collector(tokens, list(pyramid.tiles(0)), pyramid)(
        scores
    ).tolist() == pytest.approx([0.25] * 4)


def test_no_tokens_and_no_candidates_are_harmless():
    pyramid = Pyramid(200, 200, 100)
    tokens = ToyEncoder(pyramid)([pyramid.overview])
    none = tokens.select(torch.arange(0))
    assert mass_collector(none, [Tile(0, 1, 1)], pyramid)(torch.zeros(0)).tolist() == [0]
    assert mass_collector(tokens, [], pyramid)(torch.ones(16)).tolist() == []


def test_ties_go_to_the_lower_index():
    scores = torch.tensor([0.05, 0.22, 0.10, 0.08, 0.03, 0.30, 0.12, 0.10])
    assert top_indices(scores, 4).tolist() == [5, 1, 6, 2]
    assert top_indices(torch.zeros(300), 3).tolist() == [0, 1, 2]
    assert top_indices(scores, 99).tolist() == [5, 1, 6, 2, 7, 3, 0, 4]
    assert top_indices(scores, 0).tolist() == []


def test_sums_that_differ_by_rounding_tie():
    assert top_indices(torch.tensor([0.3, 0.1 + 0.2], dtype=torch.float64), 1).tolist() == [0]


@pytest.mark.parametrize(
    ("scores", "cleaned", "replaced"),
    [
        ([1, nan, inf, -inf], [1, -inf, inf, -inf], False),
        ([nan, nan], [0.5, 0.5], True),
        ([inf, -inf], [0.5, 0.5], True),
        ([], [], True),
    ],
)
def test_scores_are_cleaned_by_the_rule(scores, cleaned, replaced):
    given_scores = torch.tensor(scores)
    before = given_scores.clone()
    actual, flag = clean_scores(given_scores)
    assert (actual.tolist(), flag) == (cleaned, replaced)
    assert torch.equal(given_scores, before) or given_scores.isnan().any()


def test_masses_are_finite_and_never_negative():
    masses = as_masses(torch.tensor([1, nan, inf, -inf, -2.0]), 5)
    assert masses.tolist() == [1, 0, torch.finfo(torch.float32).max, 0, 0]
    assert as_masses(torch.tensor([nan, 0, -1, 0]), 4).tolist() == [0.25] * 4
    with pytest.raises(ModelError, match="one score per token"):
        as_masses(torch.zeros(3), 4)


def test_equal_scores_are_flat():
    assert is_flat(torch.full((9,), 0.1))
    assert is_flat(torch.zeros(0))
    assert not is_flat(torch.tensor([0.1, 0.2]))


def test_the_oracle_prefers_its_boxes_and_then_their_neighbors():
    pyramid = Pyramid(800, 100, 100, base_side=800)
    tokens = ToyEncoder(pyramid, (1, 1))(list(pyramid.tiles(0)))
    scores = OracleFocus([Box(220, 10, 240, 30), Box(290, 10, 310, 30)]).score(tokens)
    assert scores.round(decimals=1).tolist() == [0, 0, 1.5, 0.5, 0, 0, 0, 0]
    assert top_indices(scores, 8).tolist() == [2, 3, 1, 4, 0, 5, 6, 7]
    with pytest.raises(GeometryError, match="at least one annotated box"):
        OracleFocus([])


def test_foci_tell_their_names():
    assert AttentionFocus(lambda tokens: torch.zeros(len(tokens))).name == "attention"
    assert OracleFocus([Box(0, 0, 1, 1)]).name == "oracle"
