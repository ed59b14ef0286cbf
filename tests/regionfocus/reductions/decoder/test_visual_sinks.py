"""Visual sinks between decoder layers: recorded numbers, worked examples, bounds."""

import pytest
import torch
from decoder_toys import random_view
from hypothesis import given
from hypothesis import strategies as st
from reduction_vectors import read, vector_files

from geofovea.regionfocus.reductions.decoder.visual_sinks import (
    SinkFilter,
    exclude_visual_sinks,
    looking_heads,
    redistribute,
    sink_dimensions,
    sink_tokens,
)

CLOSE = {"rtol": 1e-4, "atol": 1e-5}


@given(st.integers(0, 50))
def test_moving_attention_from_sinks_keeps_the_sums_of_rows(seed):
    view = random_view(10, seed)
    generator = torch.Generator().manual_seed(seed)
    is_sink = torch.rand(len(view.hidden), generator=generator) < 0.4
    rows = torch.rand(view.attention[0].shape[:2], generator=generator) < 0.5
    moved = redistribute(view.attention[0], is_sink, view.visual, rows)
    torch.testing.assert_close(moved.sum(-1), view.attention[0].sum(-1), atol=1e-5, rtol=0)
    assert torch.equal(moved[~rows], view.attention[0][~rows])
    unchanged = redistribute(view.attention[0], is_sink & False, view.visual, rows)
    assert torch.equal(unchanged, view.attention[0])


def test_a_sink_cannot_win_unless_all_are_sinks():
    view = random_view(6)
    view.hidden.fill_(0.1)
    view.hidden[0, 5] = view.hidden[view.visual[2], 5] = 900
    assert sink_dimensions(view.hidden[0], 2) == (5,)
    filtered = exclude_visual_sinks(torch.ones(6), view, SinkFilter(threshold=2))
    assert filtered.isneginf().tolist() == [False, False, True, False, False, False]
    view.hidden[view.visual, 5] = 900
    assert torch.equal(
        exclude_visual_sinks(torch.ones(6), view, SinkFilter(threshold=2)), torch.ones(6)
    )
    assert torch.equal(exclude_visual_sinks(torch.ones(6), view, None), torch.ones(6))


@pytest.mark.parametrize("file", vector_files("var_redistribution"))
def test_var_finds_the_sinks_and_moves_the_attention_of_the_reference(file):
    case, params = read(file)
    is_sink = sink_tokens(case["in_hidden"], tuple(params["sink_dims"]), params["tau"])
    assert is_sink.nonzero()[:, 0].tolist() == sorted(case["out_sinks"].tolist())
    start, end = params["image_start"], params["image_start"] + params["image_len"]
    visual = torch.arange(start, end)
    looking = looking_heads(
        case["in_attn"], is_sink, visual, most_on_sinks=params["rho"], least_mass=params["summ"]
    )
    assert looking.nonzero().tolist() == sorted(case["out_coords"][:, 1:].tolist())
    # in a prefill only queries behind the picture are touched
    later = torch.arange(looking.shape[1]) >= end
    after = looking & later if params["prefill"] else looking
    moved = redistribute(case["in_attn"], is_sink, visual, after, strength=params["p"])
    torch.testing.assert_close(moved, case["out_attn"], **CLOSE)


def test_var_moves_attention_as_the_worked_example():
    row = torch.tensor([[[0.3, 0.1, 0.2, 0.05, 0.15, 0.2]]])
    is_sink = torch.tensor([True, False, True, False, False, False])
    moved = redistribute(row, is_sink, torch.arange(1, 5), torch.tensor([[True]]))
    expected = [0.18, 0.16667, 0.12, 0.08333, 0.25, 0.2]
    assert moved.flatten().tolist() == pytest.approx(expected, abs=1e-5)
