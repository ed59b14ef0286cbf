"""Corrected attention: what only the question attends to wins, whatever else draws attention."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from regionfocus_toys import ToyEncoder

from geofovea.errors import ModelError
from geofovea.regionfocus.attention_correction import (
    excess_over_neutral,
    rows_of_mode,
    scores_from_layers,
    scores_from_rows,
    without_lone_peaks,
)
from geofovea.regionfocus.attention_mode import (
    CORRECTIONS,
    NEUTRAL_QUESTIONS,
    WORDINGS,
    AttentionMode,
)
from geofovea.regionfocus.token_neighbors import neighbors_of
from geofovea.tiling.pyramid import Pyramid

PYRAMID = Pyramid(64, 64, 32)
TOKENS = ToyEncoder(PYRAMID)(list(PYRAMID.tiles(0)))
COUNT = len(TOKENS)
TARGET, SINK = 37, 5
NEUTRAL = len(NEUTRAL_QUESTIONS)


def shares(values):
    return values / values.sum(-1, keepdim=True)


def looked(seed, sink_share, rows=1, neutral=NEUTRAL):
    """Rows of a question that is about one token, and neutral rows, all with the same sink."""
    generator = torch.Generator().manual_seed(seed)
    noise = 0.5 + torch.rand(1 + neutral, rows, COUNT, generator=generator)
    noise[0, :, TARGET] += COUNT / 4
    sink = torch.zeros(COUNT)
    sink[SINK] = 1
    planted = (1 - sink_share) * shares(noise) + sink_share * sink
    return planted[0], planted[1:]


def test_the_excess_of_four_tokens_is_this():
    row = torch.tensor([0.7, 0.1, 0.1, 0.1])
    neutral = torch.tensor([[0.7, 0.1, 0.1, 0.2], [0.8, 0.0, 0.05, 0.4]])
    # as much as all, less than none, twice as much, half as much as the least
    expected = [
        0.7 / 8 * 0.001 / 1.001,
        0.1,
        0.1 * (2 / 3) ** 3 * 0.501 / 1.001,
        0.1 / 27 * 0.001 / 1.001,
    ]
    torch.testing.assert_close(excess_over_neutral(row, neutral), torch.tensor(expected))


@pytest.mark.parametrize(
    ("around", "third"), [((), 1e-6), ((0.4, 0.3), 1e-6), ((1e-4,) * 3, 1e-4), ((1e-3,) * 3, 1e-3)]
)
def test_a_peak_is_clipped_where_fewer_than_three_tokens_around_it_are_attended_to(around, third):
    neighbors = neighbors_of(TOKENS)[TARGET]
    row = torch.full((COUNT,), 1e-6)
    row[neighbors[neighbors >= 0][: len(around)]] = torch.tensor(around)
    row[TARGET] = 0.5
    result = without_lone_peaks(row, row, TOKENS)
    assert float(result[TARGET]) == pytest.approx(min(0.5, 2000 * third + 1e-6 * 0.5), rel=1e-4)


@pytest.mark.parametrize("sink_share", [0.5, 0.9])
def test_a_sink_that_moves_with_the_question_does_not_hide_a_thing_of_several_tokens(sink_share):
    row, neutral = looked(5, 0.0)
    beside = neighbors_of(TOKENS)[TARGET, :3]
    row[:, beside] += float(row[0, TARGET]) / 3
    everywhere = torch.stack([row, *neutral])
    # nearly nothing falls elsewhere, as in hosts that point sharply
    everywhere = shares(everywhere**5)
    planted = (1 - sink_share) * everywhere
    planted[torch.arange(6), :, torch.tensor([SINK, 50, 20, 11, 60, 2])] += sink_share
    result = scores_from_rows(planted[0], planted[1:], TOKENS, AttentionMode((0,)))
    assert int(result.argmax()) == TARGET


def test_a_patch_that_moves_with_the_wording_hides_nothing_that_all_wordings_attend_to():
    row, neutral = looked(5, 0.0)
    planted = 0.1 * torch.stack([row, row, row, *neutral])
    for prompt, middle in enumerate((SINK, 50, 20, 11, 60, 2, 62, 8)):
        patch = torch.cat([torch.tensor([middle]), neighbors_of(TOKENS)[middle]])
        patch = patch[patch >= 0]
        assert TARGET not in patch
        planted[prompt, :, patch] += 0.9 / len(patch)
    one, three = AttentionMode((0,)), AttentionMode((0,), wordings=WORDINGS)
    alone = scores_from_rows(planted[0], planted[3:], TOKENS, one)
    together = scores_from_rows(planted[0], planted[3:], TOKENS, three, planted[1:3])
    assert int(alone.argmax()) != TARGET, "a patch that hides nothing would prove little"
    assert int(together.argmax()) == TARGET


def of_layers(seed, count):
    """Rows of some early layers and of one that points, in three wordings and neutral questions."""
    row, neutral = looked(seed, 0.0, rows=3)
    flat = torch.full((count, 3, COUNT), 1 / COUNT)
    asked = torch.cat([flat, row[None]]).repeat(3, 1, 1, 1)
    return asked, torch.stack([torch.cat([flat, each[None]]) for each in neutral])


def scores_of_layers(asked, others, early):
    wordings, layers = asked[1:], tuple(range(asked.shape[1]))
    mode = AttentionMode(layers[-1:], wordings=WORDINGS, early=early)
    return scores_from_layers(asked[0], others, TOKENS, mode, wordings, layers)


@pytest.mark.parametrize("early", [(0,), (0, 1)])
@pytest.mark.parametrize("share", [0.9, 0.95])
def test_a_sink_that_an_early_layer_has_too_changes_no_other_score_even_if_it_follows_the_question(
    early, share
):
    """It is in every wording and in no neutral question, and looks like a thing."""
    asked, others = of_layers(5, 2)
    patch = torch.cat([torch.tensor([SINK]), neighbors_of(TOKENS)[SINK]])
    patch = patch[patch >= 0]
    planted = (1 - share) * asked
    planted[..., patch] += share / len(patch)
    found, plain = (scores_of_layers(rows, others, early) for rows in (planted, asked))
    # no more than noise is left of it
    torch.testing.assert_close(found, plain, rtol=0, atol=0.05)
    assert float(found[TARGET]) > 20 * float(found[patch].max())
    without = scores_of_layers(planted, others, ())
    assert int(without.argmax()) in patch, "a sink that hides nothing would prove little"


def test_a_thing_that_few_heads_or_one_of_two_early_layers_attend_to_is_found_all_the_same():
    asked, others = of_layers(5, 2)
    found = []
    for where in ((slice(0, 2), 0), (0, slice(0, 3)), (slice(0, 2), slice(0, 3))):
        rows = asked.clone()
        rows[:, *where] = 0
        rows[:, *where, TARGET] = 1
        found.append(int(scores_of_layers(rows, others, (0, 1)).argmax()))
    assert found[:2] == [TARGET, TARGET]
    assert found[2] != TARGET, "what all rows of early layers attend to is a sink"


def test_a_sink_that_only_later_layers_have_leaves_what_early_layers_spread_over_all_tokens():
    asked, others = of_layers(5, 1)
    plain = scores_of_layers(asked, others, (0,))
    asked[:, 1] = 0.03 * asked[:, 1]
    others[:, 1] = 0.03 * others[:, 1]
    asked[:, 1, :, SINK] += 0.97
    others[:, 1, :, SINK] += 0.97
    assert float(asked[0, 1, 0, TARGET]) < float(asked[0, 0, 0, TARGET])
    found = scores_of_layers(asked, others, (0,))
    assert int(found.argmax()) == int(plain.argmax()) == TARGET


def test_a_token_that_a_neutral_question_alone_finds_in_early_layers_is_still_compared_with():
    asked, others = of_layers(5, 1)
    asked[:, 1] = 0.1 * asked[:, 1]
    others[:, 1] = 0.1 * others[:, 1]
    for rows in (asked, others):
        rows[:, 1, :, SINK] += 0.9
    # more than five times the mean for neutral questions, and less for the question
    others[:, 0] = 0.93 / COUNT
    others[:, 0, :, SINK] += 0.07
    asked[:, 0] = 0.95 / COUNT
    asked[:, 0, :, SINK] += 0.05
    assert int(scores_of_layers(asked, others, (0,)).argmax()) == TARGET


def test_a_patch_that_is_elsewhere_among_half_of_the_tokens_hides_nothing():
    asked, others = of_layers(5, 0)
    halved = asked[:1].clone()
    for rows, middle in ((asked, SINK), (halved, 58)):
        patch = torch.cat([torch.tensor([middle]), neighbors_of(TOKENS)[middle]])
        patch = patch[patch >= 0]
        assert TARGET not in patch
        rows *= 0.1
        rows[..., patch] += 0.9 / len(patch)
    found = {}
    for halvings, further in ((0, asked[1:]), (1, torch.cat([asked[1:], halved]))):
        mode = AttentionMode((0,), wordings=WORDINGS, halvings=halvings)
        scores = scores_from_layers(asked[0], others, TOKENS, mode, further, (0,))
        found[halvings] = int(scores.argmax())
    assert found[0] != TARGET, "a patch that hides nothing would prove little"
    assert found[1] == TARGET


def test_raw_scores_are_the_mean_of_the_rows():
    rows = torch.tensor([[0.5, 0.5, 0.0, 0.0], [0.0, 0.5, 0.25, 0.25]])
    mode = AttentionMode((0,), correction="raw")
    found = scores_from_rows(rows, rows.new_empty(0, 2, 4), TOKENS, mode)
    torch.testing.assert_close(found, torch.tensor([0.25, 0.5, 0.125, 0.125]))


@pytest.mark.parametrize("sink_share", [0, 0.5, 0.9, 0.95])
@pytest.mark.parametrize("seed", range(4))
def test_a_sink_that_all_questions_share_does_not_hide_the_target(sink_share, seed):
    row, neutral = looked(seed, sink_share)
    found = scores_from_rows(row, neutral, TOKENS, AttentionMode((0,)))
    assert int(found.argmax()) == TARGET
    assert float(found[TARGET]) > 1.5 * float(found[SINK])


def test_without_correction_the_same_sink_wins():
    row, neutral = looked(0, 0.9)
    raw = scores_from_rows(row, neutral[:0], TOKENS, AttentionMode((0,), correction="raw"))
    assert int(raw.argmax()) == SINK


def test_the_median_withstands_rows_that_point_elsewhere():
    row, neutral = looked(1, 0.0, rows=5)
    for number in (0, 1):
        row[number] = 0
        row[number, 10 + number] = 1
    median = AttentionMode((0,), pooling="median")
    found = scores_from_rows(row, neutral, TOKENS, median)
    assert int(found.argmax()) == TARGET
    mean = scores_from_rows(row, neutral, TOKENS, AttentionMode((0,)))
    assert float(found[TARGET]) > float(mean[TARGET])


def test_a_trend_along_the_sequence_is_taken_out():
    generator = torch.Generator().manual_seed(2)
    ramp = torch.linspace(0, 6, COUNT).exp()
    noise = (1 + 0.1 * torch.rand(6, 1, COUNT, generator=generator)) * ramp
    noise[0, :, TARGET] *= 8
    row, neutral = shares(noise)[0], shares(noise)[1:]
    raw = scores_from_rows(row, neutral[:0], TOKENS, AttentionMode((0,), correction="raw"))
    assert int(raw.argmax()) != TARGET, "a trend that hides nothing would prove little"
    for correction in ("relative", "detrended"):
        mode = AttentionMode((0,), correction=correction)
        assert int(scores_from_rows(row, neutral, TOKENS, mode).argmax()) == TARGET


@given(st.integers(0, 10**6), st.sampled_from(CORRECTIONS), st.sampled_from(["mean", "median"]))
@settings(max_examples=40, deadline=None)
def test_scores_are_finite_shares_whatever_the_rows_are(seed, correction, pooling):
    generator = torch.Generator().manual_seed(seed)
    sharp = 60 * torch.rand(1, generator=generator)
    rows = (sharp * torch.randn(6, 3, COUNT, generator=generator)).softmax(-1)
    mode = AttentionMode((0,), correction=correction, pooling=pooling)
    found = scores_from_rows(rows[0], rows[1 : 1 + len(mode.neutral)], TOKENS, mode)
    assert bool(torch.isfinite(found).all())
    assert bool((found >= 0).all())
    assert float(found.sum()) == pytest.approx(1, abs=1e-4)


def test_a_single_token_gets_everything():
    one = TOKENS.select(torch.tensor([3]))
    rows = torch.ones(6, 2, 1)
    for correction in CORRECTIONS:
        mode = AttentionMode((0,), correction=correction)
        found = scores_from_rows(rows[0], rows[1 : 1 + len(mode.neutral)], one, mode)
        assert found.tolist() == [1.0]


def test_rows_of_some_heads_are_those_of_their_layers():
    rows = torch.arange(24.0).view(2, 3, 4)
    assert torch.equal(rows_of_mode(rows, (4, 9), AttentionMode((9,))), rows[1])
    some = AttentionMode((4, 9), ((9, 2), (4, 0)))
    assert torch.equal(rows_of_mode(rows, (4, 9), some), torch.stack([rows[1, 2], rows[0, 0]]))
    with pytest.raises(ModelError, match="heads up to 3, and there are 3"):
        rows_of_mode(rows, (4, 9), AttentionMode((4,), ((4, 3),)))


def test_a_missing_neutral_row_is_an_error():
    row, neutral = looked(0, 0.5)
    with pytest.raises(ModelError, match="5 neutral questions"):
        scores_from_rows(row, neutral[:2], TOKENS, AttentionMode((0,)))
    with pytest.raises(ModelError, match="2 further readings"):
        scores_from_rows(row, neutral, TOKENS, AttentionMode((0,), wordings=WORDINGS))
