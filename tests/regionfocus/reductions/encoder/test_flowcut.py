"""Flowcut inside an encoder: recorded numbers, worked examples, bounds."""

import math

import pytest
import torch
from encoder_toys import CLASS_ATTENTION, X, near
from reduction_vectors import close, read, vector_files

from geofovea.regionfocus.reductions.encoder.base import LayerView
from geofovea.regionfocus.reductions.encoder.flowcut import (
    FlowCutEncoder,
    entropy_ratio,
    flowcut_llm_score,
    flowcut_qwen_score,
    flowcut_score,
    key_relation,
    prune_count,
)
from geofovea.regionfocus.scoring import top_indices


def test_flowcut_takes_zero_attention_and_single_tokens():
    assert prune_count(torch.tensor([1.0, 0.0, 0.0]), 1, 1) == 2
    assert prune_count(torch.full((8,), 0.1), 2, 1) == 0
    assert prune_count(torch.ones(1), 1, 1) == 0
    score = flowcut_score(torch.zeros(3), torch.ones(3), torch.ones(3, 2))
    torch.testing.assert_close(score, torch.full((3,), 2 / 3))


def test_flowcut_under_even_attention_drops_all_at_the_end():
    n = 12
    run = FlowCutEncoder().start(n, 4, 7)
    counts = []
    for layer in range(6):
        view = LayerView(
            layer,
            torch.zeros(n, 2),
            torch.arange(n),
            torch.ones(n),
            class_row=torch.full((2, n), 1 / (n + 1)),
            values=torch.randn(2, n + 1, 3, generator=torch.Generator().manual_seed(layer)),
        )
        kept = run.step(view)
        n = n if kept is None else len(kept.index)
        counts.append(n)
    assert counts == [12, 12, 12, 12, 12, 4]


def test_flowcut_scores_counts_and_remembers():
    affinity = torch.tensor([0.2, 0.1, 0.1, 0.1, 0.2, 0.1, 0.1, 0.1])
    score = flowcut_score(CLASS_ATTENTION, affinity, X)
    near(score, [0.25, 0.32, 0.2, 0.198, 0.23, 0.44, 0.242, 0.24])
    assert entropy_ratio(CLASS_ATTENTION).item() == pytest.approx(0.8974959, rel=1e-5)
    raw = (8 - 3) / math.sqrt(4) * (1 - entropy_ratio(CLASS_ATTENTION).item() ** 2)
    assert raw == pytest.approx(0.48625, abs=1e-5)
    assert prune_count(CLASS_ATTENTION, 3, 4) == 0
    assert prune_count(CLASS_ATTENTION, 3, 2) == 1
    remembered = 0.5 * score.mean() + 0.5 * score
    near(remembered, [0.2575, 0.2925, 0.2325, 0.2315, 0.2475, 0.3525, 0.2535, 0.2525])


def test_flowcut_scores_in_a_decoder():
    values = X.flip(1)
    relation = key_relation(torch.tensor([[0.1, 0.2, 1.0]]), X[None])
    near(
        relation,
        [0.10438, 0.10498, 0.11058, 0.12269, 0.1755, 0.11382, 0.09852, 0.16952],
    )
    affinity = key_relation(torch.tensor([[0.3, 0.3, 0.3]]), values[None])
    score = flowcut_llm_score(relation, affinity, values)
    near(score, [0.23275, 0.23336, 0.23896, 0.27864, 0.30387, 0.26888, 0.20999, 0.36291])
    assert top_indices(score, 4).sort().values.tolist() == [3, 4, 5, 7]


@pytest.mark.parametrize("path", vector_files("flowcut_score"))
def test_flowcut_scores_and_counts_as_published(path):
    data, _ = read(path)
    attention = data["in_cls_attn"]
    close(flowcut_score(attention, data["in_sem_attn"], data["in_value"]), data["out_score"], 1e-5)
    for layers_left, target, count in data["out_prune_counts"].tolist():
        assert prune_count(attention, target, layers_left) == count


@pytest.mark.parametrize("path", vector_files("flowcut_qwen_score"))
def test_flowcut_scores_for_qwen_and_for_decoders_as_published(path):
    data, _ = read(path)
    attention, value = data["in_attn"], data["in_value"]
    close(flowcut_llm_score(attention, data["in_sem"], value), data["out_llm"], 1e-5)
    close(flowcut_qwen_score(attention, value), data["out_vit"], 1e-5)
    assert prune_count(attention, 8, 4) == data["out_prune_rpl4_t8"].item()
