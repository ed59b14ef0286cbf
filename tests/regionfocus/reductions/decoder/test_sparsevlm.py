"""Sparsevlm between decoder layers: recorded numbers, worked examples, bounds."""

import pytest
import torch
from decoder_toys import random_view
from reduction_vectors import X, read, vector_files

from geofovea.regionfocus.reductions.decoder.schedule import Schedule
from geofovea.regionfocus.reductions.decoder.sparsevlm import (
    SparseVlm,
    cluster_means,
    rank_count,
    rater_scores,
    raters,
    recycled,
)
from geofovea.regionfocus.scoring import top_indices

CLOSE = {"rtol": 1e-4, "atol": 1e-5}


def test_sparsevlm_keeps_what_the_rank_of_its_attention_asks_for_within_the_schedule():
    attention = torch.eye(3, 10).expand(2, 3, 10)
    assert [rank_count(attention, share) for share in (0.0, 0.5, 1.0)] == [10, 7, 3]
    view = random_view(30)
    for share, left in ((0.0, 20), (1.0, len(raters(view.embedded_visual, view.embedded_text)))):
        reduction = SparseVlm(Schedule.of((2, 20)), rank_strength=share)
        assert len(reduction.reduce(view).index) == left


def test_all_words_rate_where_none_stands_out():
    assert raters(X, torch.ones(4, 3)).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("file", vector_files("sparsevlm_score"))
def test_sparsevlm_elects_the_raters_and_gives_the_scores_of_the_reference(file):
    case, params = read(file)
    chosen = raters(case["in_vis_embeds"][0], case["in_text_embeds"][0])
    assert chosen.tolist() == case["out_raters"].tolist()
    visual = torch.arange(params["v_num"]) + params["v_start"]
    rows = case["in_rater_text_idx"] + params["text_start"]
    scores = rater_scores(case["in_attn"][0], visual, rows)
    torch.testing.assert_close(scores, case["out_relation"][0], **CLOSE)
    best = top_indices(scores, min(params["k"], params["v_num"] - 1)).sort().values
    assert best.tolist() == case["out_keep_mask"][0].nonzero()[:, 0].tolist()


def test_sparsevlm_raters_and_recycling_are_those_of_the_worked_example():
    words = torch.tensor([[1, 0, 0], [0, 1, 0], [0.2, 0.2, 0.2], [0, 0, 2]])
    assert raters(X, words).tolist() == [1, 3]
    scores = torch.tensor([0.30, 0.05, 0.20, 0.12, 0.08, 0.15, 0.02, 0.25])
    again, clusters = recycled(scores, torch.tensor([0, 2, 5, 7]))
    assert (again.tolist(), clusters) == ([3, 4], 1)
    means = cluster_means(X[again], clusters, exact=False)
    assert means[0].tolist() == pytest.approx([0, 0.45, 0.6], abs=1e-5)
