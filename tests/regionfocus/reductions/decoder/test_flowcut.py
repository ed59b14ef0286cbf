"""Flowcut between decoder layers: recorded numbers, worked examples, bounds."""

import pytest
import torch
from decoder_toys import random_view, reduce_to
from hypothesis import given
from hypothesis import strategies as st
from reduction_vectors import X

from geofovea.regionfocus.reductions.decoder.flowcut import (
    FlowCutDecoder,
    decoder_flow,
    share_of_vision,
)
from geofovea.regionfocus.reductions.encoder.flowcut import flowcut_score, key_relation
from geofovea.regionfocus.reductions.registry import make_decoder_reduction


@given(st.integers(1, 40), st.integers(0, 9))
def test_the_flow_of_a_decoder_is_the_same_with_sums_divided_out_as_in_the_paper(n, seed):
    view = random_view(n, seed)
    values = view.values()
    seen = values[:, view.visual]
    likeness = key_relation(values[:, view.text[-1]], seen)
    relation = share_of_vision(view.rows(view.text[-1:]), view.visual)
    torch.testing.assert_close(decoder_flow(view), flowcut_score(relation, likeness, seen.mean(0)))


def test_a_head_that_sees_no_vision_token_does_not_spoil_the_flow():
    view = random_view(6)
    view.attention[0][0, :, view.visual] = 0
    assert bool(decoder_flow(view).isfinite().all())
    assert "fallback" not in reduce_to("flowcut_decoder", view, 3).info


def test_flowcut_halves_what_the_encoder_left_before_the_second_layer():
    for depth in (2, 6, 28, 32):
        assert FlowCutDecoder().schedule.counts(576, depth) == {1: 288}
    assert make_decoder_reduction("flowcut_decoder", 0.1).schedule.counts(576, 28) == {1: 58}


def test_flowcut_in_a_decoder_keeps_what_the_worked_example_keeps():
    """One head; the last prompt token sees itself and a word in front of the picture as well."""
    query, keys, values = torch.tensor([0.1, 0.2, 1.0]), X, X.flip(1)
    others = torch.ones(1, 3), query[None]
    logits = torch.cat([others[0], keys, others[1]]) @ query / 3**0.5
    view = random_view(
        8,
        before=1,
        after=1,
        hidden=torch.cat([torch.full((1, 3), 9.0), values, torch.full((1, 3), 0.3)]),
        attention={0: logits.softmax(-1).expand(1, 10, 10)},
        value_heads=1,
    )
    expected = [0.10438, 0.10498, 0.11058, 0.12269, 0.1755, 0.11382, 0.09852, 0.16952]
    relation = share_of_vision(view.attention[0], view.visual)
    assert relation.tolist() == pytest.approx(expected, abs=1e-5)
    expected = [0.23275, 0.23336, 0.23896, 0.27864, 0.30387, 0.26888, 0.20999, 0.36291]
    assert decoder_flow(view).tolist() == pytest.approx(expected, abs=1e-5)
    assert reduce_to("flowcut_decoder", view, 4).index.tolist() == [3, 4, 5, 7]
