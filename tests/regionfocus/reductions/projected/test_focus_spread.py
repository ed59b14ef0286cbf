"""The default reduction: what the focus scores high, and differs from what is kept already."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from geofovea.errors import ModelError
from geofovea.regionfocus.reductions.context import TokenContext
from geofovea.regionfocus.reductions.projected.baselines import TopScore
from geofovea.regionfocus.reductions.projected.focus_spread import FocusSpread

EAST, NORTH, UP = torch.eye(3)


def kept(features, scores, k, sharpness=0.6):
    context = TokenContext(torch.stack(features), scores=torch.tensor(scores))
    return FocusSpread(sharpness).reduce(context, k).index.tolist()


def test_the_first_token_has_the_best_score_and_its_likes_come_last():
    features = [EAST, EAST, EAST, NORTH, UP]
    scores = [0.5, 0.9, 0.8, 0.2, 0.1]
    assert kept(features, scores, 1) == [1]
    assert kept(features, scores, 2) == [1, 3]
    assert kept(features, scores, 3) == [1, 3, 4]
    # of equal tokens the better score is first
    assert kept(features, scores, 4) == [1, 2, 3, 4]


def test_a_difference_is_weighed_against_the_score():
    apart, close = NORTH, EAST + 0.5 * UP  # cosine distances to EAST of 1 and 0.106
    assert kept([EAST, apart, close], [1.0, 0.2, 0.9], 2, sharpness=0.6) == [0, 1]
    assert kept([EAST, apart, close], [1.0, 0.2, 0.9], 2, sharpness=3) == [0, 2]
    assert kept([EAST, apart, close], [1.0, 0.0, 0.9], 2, sharpness=0) == [0, 1]


def test_scores_that_say_nothing_and_broken_tokens_do_not_disturb():
    nan, inf = float("nan"), float("inf")
    assert kept([EAST, NORTH, EAST], [nan, 0.1, -3.0], 1) == [1]
    assert kept([EAST, NORTH, EAST], [nan, nan, nan], 2) == [0, 1]
    assert kept([EAST, NORTH * nan, UP], [0.1, 9.0, 0.2], 2) == [0, 2]
    assert kept([EAST, NORTH, UP], [0.1, inf, 0.2], 1) == [1]


@settings(deadline=None)
@given(st.integers(2, 60), st.integers(1, 8), st.integers(0, 999), st.floats(0, 2))
def test_every_pick_is_the_best_product_of_score_and_distance(n, d, seed, sharpness):
    made = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=made).repeat_interleave(2, 0)
    scores = torch.rand(2 * n, generator=made)
    weight = (scores / scores.max()).clamp_min(1e-6) ** sharpness
    unit = torch.nn.functional.normalize(x, dim=1)
    far = (1 - unit @ unit.T).clamp_min(0) + 1e-6
    before: set[int] = set()
    for k in range(1, n):
        now = set(FocusSpread(sharpness).reduce(TokenContext(x, scores=scores), k).index.tolist())
        assert before < now
        (pick,) = now - before
        gain = weight if not before else weight * far[:, sorted(before)].amin(1)
        gain[sorted(before)] = -1
        # two that float32 cannot tell apart may stand for each other
        assert float(gain[pick]) >= float(gain.max()) * (1 - 1e-3) - 2e-6
        before = now


@settings(deadline=None)
@given(st.integers(0, 99))
def test_with_distances_all_equal_it_keeps_the_best_scores(seed):
    scores = torch.rand(24, generator=torch.Generator().manual_seed(seed))
    context = TokenContext(torch.eye(24), scores=scores)
    for k in (1, 5, 23):
        best = TopScore().reduce(context, k).index
        assert FocusSpread().reduce(context, k).index.tolist() == best.tolist()


@pytest.mark.parametrize("sharpness", [-0.1, 9, float("nan")])
def test_an_impossible_sharpness_is_refused(sharpness):
    with pytest.raises(ModelError, match="0 to 8"):
        FocusSpread(sharpness)
