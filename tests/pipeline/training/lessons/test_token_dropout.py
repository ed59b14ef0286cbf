"""Samples hide tokens as a reduction does, and know what can still be answered."""

import random
from dataclasses import replace

import numpy as np
import pytest

from geofovea.pipeline.training.embedded_model import ModelShape, vocabulary
from geofovea.pipeline.training.lessons.token_dropout import is_kept, thin
from geofovea.pipeline.training.samples import SampleSpec, training_samples

SHAPE = ModelShape()
WORD_IDS = {word: index for index, word in enumerate(vocabulary())}
PLAN = SampleSpec(
    base_tiles=2, coarse_levels=1, coarse_tiles=1, native_tiles=5, distracted=0, alone=0, dropped=0
)
GROUP = np.repeat([0, 1, 2], 400)
FOCUS = np.zeros((9, 1200), bool)
for row in range(9):
    FOCUS[row, 1000 + 10 * row : 1010 + 10 * row] = True


def test_thinning_takes_tokens_away_level_by_level_and_adds_none():
    shares = []
    for seed in range(200):
        visible = np.random.default_rng(seed).random(1200) < 0.9
        left = thin(random.Random(seed), visible, GROUP, FOCUS)
        assert not (left & ~visible).any()
        by_level = [np.split(tokens, 3)[:2] for tokens in (left, visible)]
        shares.append([a.mean() / b.mean() for a, b in zip(*by_level, strict=True)])
    shares = np.array(shares)
    assert shares.min() < 0.06
    assert shares.max() > 0.9
    # half of the levels keep less than a sixth, and one level tells nothing of another
    assert 0.12 < np.median(shares) < 0.25
    assert abs(np.corrcoef(shares.T)[0, 1]) < 0.25


def test_some_questions_keep_all_that_they_point_at():
    whole = [
        thin(random.Random(seed), np.ones(1200, bool), GROUP, FOCUS)[1000:1090].reshape(9, 10)
        for seed in range(100)
    ]
    kept = np.mean([w.all(1) for w in whole])
    assert 0.33 < kept < 0.6


def test_a_question_counts_as_kept_while_most_of_its_tokens_are():
    before, focus = np.ones(10, bool), np.zeros((3, 10), bool)
    focus[0, :5] = focus[1, 5:] = True
    visible = before.copy()
    visible[[0, 5, 6]] = False
    # one of five gone, two of five gone, nothing to be seen at all
    assert is_kept(visible, before, focus).tolist() == [True, False, True]


@pytest.mark.parametrize("seed", [3, 4])
def test_a_thinned_sample_shows_less_of_the_same_and_answers_no_more(seed):
    def made(thinned):
        plan = replace(PLAN, thinned=thinned)
        return next(training_samples(seed, SHAPE, plan, WORD_IDS))

    whole, thinned = made(0.0), made(1.0)
    assert (whole.words == thinned.words).all()
    assert not (thinned.visible & ~whole.visible).any()
    assert thinned.visible.sum() < whole.visible.sum()
    assert not (thinned.answered & ~whole.answered).any()
    assert thinned.answered.any()
    for row in np.flatnonzero(thinned.answered):
        pointed = thinned.focus[row]
        assert (pointed & thinned.visible).sum() >= 0.8 * (pointed & whole.visible).sum()
