"""Todre between decoder layers: recorded numbers, worked examples, bounds."""

import pytest
import torch
from decoder_toys import in_bfloat16, random_view, worked_attention
from hypothesis import given
from hypothesis import strategies as st

from geofovea.regionfocus.reductions.decoder.todre import TodreDropAll, attention_share


@given(st.integers(2, 40), st.floats(0, 1), st.integers(0, 9))
def test_dropping_all_or_none_does_not_depend_on_the_precision(n, threshold, seed):
    one, two = in_bfloat16(random_view(n, seed))
    kept = [TodreDropAll(threshold=threshold).reduce(view).index.tolist() for view in (one, two)]
    assert kept[0] == kept[1]


def test_todre_drops_all_or_none():
    rows = worked_attention(8, causal=True)
    fields = {"attention": {0: rows}, "visual": torch.arange(1, 5), "text": torch.arange(5, 8)}
    view = random_view(4, before=1, after=3, **fields)
    assert TodreDropAll(threshold=0.1).reduce(view).index.tolist() == [0, 1, 2, 3]
    assert TodreDropAll(threshold=0.9).reduce(view).index.tolist() == []


def test_todre_shares_are_those_of_the_worked_example():
    rows = worked_attention(8, causal=True)[:1]
    visual, text = torch.arange(1, 5), torch.arange(5, 8)
    assert attention_share(rows, text, visual) == pytest.approx(0.79443, abs=1e-5)
    assert attention_share(rows, visual, text) == 0
