"""Sinks and positional trends are found where they were put, and nothing else is touched."""

import pytest
import torch

from geofovea.errors import GeometryError
from geofovea.regionfocus.rfm.attention_debiasing import (
    PLACE_FEATURES,
    PlaceTrend,
    constant_sinks,
    place_features,
    without_sinks,
    without_trend,
)
from geofovea.regionfocus.tokens import tokens_of_tiles
from geofovea.tiling.pyramid import Pyramid, Tile

PYRAMID = Pyramid(96, 64, 32)
TILES = [Tile(0, row, col) for row in range(2) for col in range(3)]
TOKENS = tokens_of_tiles(torch.zeros(6, 16, 2), (4, 4), TILES, PYRAMID)


def questions_with_a_sink(sink=7, count=8, tokens=40):
    """Every question attends to its own token, and all of them to the sink."""
    torch.manual_seed(0)
    logits = 0.1 * torch.randn(count, 2, tokens)
    logits[:, :, sink] += 4
    for question in range(count):
        logits[question, :, 10 + question] += 5
    return logits


def test_a_token_that_everyone_attends_to_is_a_sink_and_what_one_asks_about_is_not():
    sinks = constant_sinks(questions_with_a_sink())
    assert sinks.sum() == 8
    assert sinks[:, 7].all()


def test_a_question_that_wants_more_of_a_constant_token_keeps_it():
    logits = questions_with_a_sink()
    logits[3, :, 7] += 4
    sinks = constant_sinks(logits)
    assert sinks[:, 7].tolist() == [True] * 3 + [False] + [True] * 4
    cleaned = without_sinks(logits, sinks)
    torch.testing.assert_close(cleaned[3], logits[3])


def test_few_questions_cannot_tell_a_sink():
    assert not constant_sinks(questions_with_a_sink(count=3)).any()
    with pytest.raises(GeometryError, match="must be > 1"):
        constant_sinks(questions_with_a_sink(), factor=1.0)


def test_attention_taken_from_a_sink_goes_to_the_other_vision_tokens():
    logits = questions_with_a_sink()
    sinks = constant_sinks(logits)
    cleaned = without_sinks(logits, sinks)
    torch.testing.assert_close(cleaned.logsumexp(-1), logits.logsumexp(-1))
    before, after = logits.softmax(-1), cleaned.softmax(-1)
    assert (after[..., 7] < before[..., 7] / 10).all()
    others = torch.arange(40) != 7
    ratio = (after / before)[..., others]
    assert (ratio > 1).all()
    # all of a row gain by the same factor
    torch.testing.assert_close(ratio, ratio[..., :1].expand_as(ratio), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("all_are", [True, False])
def test_where_all_are_sinks_or_none_nothing_changes(all_are):
    logits = questions_with_a_sink()
    sinks = torch.full((len(logits), logits.shape[-1]), all_are)
    torch.testing.assert_close(without_sinks(logits, sinks), logits)


def test_a_trend_that_was_put_in_is_found_and_taken_out():
    torch.manual_seed(1)
    features = place_features(TOKENS, (96, 64))
    assert features.shape == (len(TOKENS), PLACE_FEATURES)
    weights = torch.randn(PLACE_FEATURES, 3, dtype=torch.float64)
    put_in = (features @ weights).T.float()
    trend = PlaceTrend(3)
    for _ in range(50):
        content = torch.randn(6, 3, len(TOKENS))
        trend.observe(features, content + put_in + 5)
    centered = put_in - put_in.mean(-1, keepdim=True)
    found = trend.at(features)
    found = found - found.mean(-1, keepdim=True)
    assert (found - centered).abs().max() < 0.3
    assert centered.abs().max() > 1.5
    content = torch.randn(4, 3, len(TOKENS))
    cleaned = without_trend(content + put_in, trend.at(features))
    torch.testing.assert_close(cleaned.logsumexp(-1), (content + put_in).logsumexp(-1))
    error = (cleaned.softmax(-1) - content.softmax(-1)).abs().sum(-1).mean()
    raw = ((content + put_in).softmax(-1) - content.softmax(-1)).abs().sum(-1).mean()
    assert error < 0.3 * raw


def test_a_trend_without_observations_is_flat():
    assert not PlaceTrend(2).at(place_features(TOKENS, (96, 64))).any()


def test_features_are_those_of_the_centers():
    features = place_features(TOKENS, (96, 64))
    corner = torch.tensor([4.0 / 96 * 2 - 1, 4.0 / 64 * 2 - 1], dtype=torch.float64)
    torch.testing.assert_close(features[0, 1:3], corner)
    torch.testing.assert_close(features[:, 7], features[:, 1] * features[:, 2])
    assert features[0, 3] == -1
    assert features[-1, 3] == 1
