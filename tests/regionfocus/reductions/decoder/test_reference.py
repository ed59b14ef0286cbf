"""Reductions between decoder layers against reference numbers and worked examples."""

import pytest
import torch
from decoder_toys import decoder_attention, random_view, reduce_to, worked_attention
from reduction_vectors import X, read, vector_files

from geofovea.regionfocus.reductions.decoder import fastv, pyramiddrop
from geofovea.regionfocus.reductions.decoder.base import sequence_after
from geofovea.regionfocus.reductions.decoder.catp import context_scores
from geofovea.regionfocus.reductions.decoder.flowcut import (
    decoder_flow,
    share_of_vision,
)
from geofovea.regionfocus.reductions.decoder.local_attention import local_mask
from geofovea.regionfocus.reductions.decoder.schedule import Schedule
from geofovea.regionfocus.reductions.decoder.sparsevlm import (
    cluster_means,
    rater_scores,
    raters,
    recycled,
)
from geofovea.regionfocus.reductions.decoder.spatten import (
    CacheBudget,
    cumulative_attention,
    evicted,
)
from geofovea.regionfocus.reductions.decoder.todre import attention_share
from geofovea.regionfocus.reductions.decoder.transprune import combined_scores, transition
from geofovea.regionfocus.reductions.decoder.visiondrop import contextual, visible_rows
from geofovea.regionfocus.reductions.decoder.visual_sinks import (
    looking_heads,
    redistribute,
    sink_tokens,
)
from geofovea.regionfocus.reductions.primitives.clustering import cluster_by_density
from geofovea.regionfocus.scoring import top_indices

CLOSE = {"rtol": 1e-4, "atol": 1e-5}


# --- reference vectors


@pytest.mark.parametrize("file", vector_files("fastv"))
def test_fastv_keeps_the_places_of_the_reference(file):
    case, params = read(file)
    visual = torch.arange(params["image_len"]) + params["sys_len"]
    kept = fastv.keep_places(case["in_attn"][0], visual, params["rank"])
    assert kept.tolist() == sorted(case["out_keep"].tolist())


@pytest.mark.parametrize("file", vector_files("pdrop"))
def test_pyramiddrop_keeps_the_places_of_the_reference(file):
    case, params = read(file)
    rows, _ = decoder_attention(case["in_features"], case["in_wq"], case["in_wk"], params["heads"])
    visual = torch.arange(params["image_len"]) + params["image_start"]
    stage = Schedule.of((1, params["stage_ratio"][1]))
    k = Schedule(stage.steps, rounding="down").counts(len(visual), 2)[1]
    kept = pyramiddrop.keep_places(rows, visual, k)
    assert kept.tolist() == sorted(case["out_keep"].tolist())
    assert case["out_position_ids"][0].tolist() == list(range(len(kept)))


@pytest.mark.parametrize("file", vector_files("transprune"))
def test_transprune_measures_transitions_and_keeps_the_places_of_the_reference(file):
    case, params = read(file)
    attn_in, attn_out, ffn_in, ffn_out = (
        case[f"in_{name}"] for name in ("attn_in", "attn_out", "ffn_in", "ffn_out")
    )
    one = transition(attn_in, attn_out) + transition(ffn_in, ffn_out)
    two = transition(attn_out, ffn_in) + transition(ffn_in, attn_in)
    torch.testing.assert_close(one, case["out_ttv_layer1"], **CLOSE)
    torch.testing.assert_close(two, case["out_ttv_layer2"], **CLOSE)
    rows, _ = decoder_attention(case["in_features"], case["in_wq"], case["in_wk"], params["heads"])
    end = params["image_start"] + params["image_len"]
    visual = torch.arange(params["image_start"], end)
    looks = rows[:, end:].mean((0, 1))[visual]
    best = top_indices(
        combined_scores((one + two)[visual], looks), int(len(visual) * params["ratio"])
    )
    kept = sequence_after(len(one), visual, best)
    assert kept.tolist() == sorted(case["out_keep"].tolist())


@pytest.mark.parametrize("file", vector_files("visiondrop"))
def test_visiondrop_gives_the_sequence_of_the_reference(file):
    case, params = read(file)
    features = case["in_features"]
    rows, keys = decoder_attention(features, case["in_wq"], case["in_wk"], params["heads"])
    start, end = params["image_start"], params["image_start"] + params["image_len"]
    scores = rows[:, start:end].mean((0, 1))[start:end]
    dominant = top_indices(scores, params["dominant"]).sort().values
    image = features[start:end]
    merged = contextual(image, keys[start:end], dominant, params["contextual"], add=True)
    sequence = torch.cat([features[:start], image[dominant], merged.tokens, features[end:]])
    torch.testing.assert_close(sequence, case["out_sequence"], **CLOSE)


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


@pytest.mark.parametrize("file", vector_files("sparsevlm_cluster"))
def test_dpc_knn_merges_into_the_means_of_the_reference(file):
    case, params = read(file)
    means = cluster_means(case["in_x"], params["cluster_num"], exact=False)
    torch.testing.assert_close(means, case["out_merged"], **CLOSE)


@pytest.mark.parametrize("file", vector_files("spatten_kv"))
def test_spatten_evicts_what_the_reference_evicts(file):
    case, params = read(file)
    budget = CacheBudget(params["start"], params["important"], params["recent"])
    keys, values, _ = evicted(
        case["in_k"], case["in_v"], case["in_scores"], budget, coming=params["num_coming"]
    )
    torch.testing.assert_close(keys, case["out_k"], rtol=0, atol=0)
    torch.testing.assert_close(values, case["out_v"], rtol=0, atol=0)


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


@pytest.mark.parametrize("file", vector_files("yopo_local_mask"))
def test_yopo_allows_the_neighbours_of_the_reference(file):
    case, params = read(file)
    side = int(len(case["out_allowed"]) ** 0.5)
    assert torch.equal(local_mask((side, side), params["window"]), case["out_allowed"])


# --- worked examples


def test_fastv_scores_are_those_of_the_worked_example():
    rows, visual = worked_attention(12, causal=True), torch.arange(2, 10)
    expected = [0.0595, 0.16173, 0.11814, 0.03609, 0.0981, 0.07165, 0.02189, 0.0595]
    assert fastv.last_row_scores(rows, visual).tolist() == pytest.approx(expected, abs=1e-5)
    assert fastv.keep_places(rows, visual, 4).tolist() == [0, 1, 3, 4, 6, 7, 10, 11]


def test_pyramiddrop_keeps_the_published_counts():
    schedule = pyramiddrop.PyramidDrop().schedule
    assert schedule.counts(576, 32) == {8: 288, 16: 144, 24: 72}
    assert schedule.mean_tokens(576, 32) == 270


def test_transprune_scores_are_those_of_the_worked_example():
    after = [[1, 0, 0], [0, 0.9, 0], [0, 2, 0], [0, 0.45, 0.1], [1, 0, 1], [0.5, 0.5, 0.1]]
    change = transition(X, torch.tensor([*after, [1, 0, -0.1], [0.2, 0.1, 0.9]]))
    expected = [0.06187, 0.14967, 0.12374, 0.03093, 0.11727, 0.06187, 0.45715, 0.06187]
    assert change.tolist() == pytest.approx(expected, abs=1e-5)
    looks = worked_attention(12, causal=True)[:, 10:].double().mean((0, 1))[2:10]
    expected = [0.10966, 0.12357, 0.12947, 0.02886, 0.06688, 0.06522, 0.05941, 0.10966]
    assert looks.tolist() == pytest.approx(expected, abs=1e-5)
    scores = combined_scores(change, looks)
    expected = [0.21643, 0.319, 0.30315, 0.07072, 0.20672, 0.15228, 0.51527, 0.21643]
    assert scores.tolist() == pytest.approx(expected, abs=1e-5)
    assert top_indices(scores, 4).sort().values.tolist() == [0, 1, 2, 6]


def test_sparsevlm_raters_and_recycling_are_those_of_the_worked_example():
    words = torch.tensor([[1, 0, 0], [0, 1, 0], [0.2, 0.2, 0.2], [0, 0, 2]])
    assert raters(X, words).tolist() == [1, 3]
    scores = torch.tensor([0.30, 0.05, 0.20, 0.12, 0.08, 0.15, 0.02, 0.25])
    again, clusters = recycled(scores, torch.tensor([0, 2, 5, 7]))
    assert (again.tolist(), clusters) == ([3, 4], 1)
    means = cluster_means(X[again], clusters, exact=False)
    assert means[0].tolist() == pytest.approx([0, 0.45, 0.6], abs=1e-5)


def test_dpc_knn_centres_and_means_are_those_of_the_worked_example():
    clusters = cluster_by_density(X, 3)
    centres, label = clusters.centres, clusters.assignment
    assert centres.tolist() == [1, 3, 6]
    assert label.tolist() == [0, 0, 1, 1, 1, 0, 2, 1]
    expected = torch.tensor([[0.8, 0.2, 0.03333], [0.05, 0.5, 0.525], [-1, 0, 0.1]])
    torch.testing.assert_close(cluster_means(X, 3), expected, atol=1e-5, rtol=0)


def test_visiondrop_merges_as_the_worked_example():
    scores = worked_attention(8, causal=True).mean((0, 1))
    expected = [0.32935, 0.18693, 0.14972, 0.12222, 0.12211, 0.06829, 0.0169, 0.00449]
    assert scores.tolist() == pytest.approx(expected, abs=1e-5)
    merged = contextual(X, X, torch.tensor([0, 1, 2]), 2, add=True)
    assert merged.targets.tolist() == [3, 5]
    expected = torch.tensor([[-0.5, 0.9, 0.75], [0.7, 0.6, 1]])
    torch.testing.assert_close(merged.tokens, expected, atol=1e-5, rtol=0)


def test_debiasing_divides_by_the_rows_that_see_a_token():
    rows = worked_attention(8, causal=True)[:1]
    everyone = torch.arange(8)
    shares = rows.sum((0, 1)) / visible_rows(everyone, everyone)
    expected = [0.31893, 0.19626, 0.17227, 0.16661, 0.45116, 0.10322, 0.03701, 0.0198]
    assert shares.tolist() == pytest.approx(expected, abs=1e-5)


def test_todre_shares_are_those_of_the_worked_example():
    rows = worked_attention(8, causal=True)[:1]
    visual, text = torch.arange(1, 5), torch.arange(5, 8)
    assert attention_share(rows, text, visual) == pytest.approx(0.79443, abs=1e-5)
    assert attention_share(rows, visual, text) == 0


def test_catp_scores_are_those_of_the_worked_example():
    before = torch.tensor([0.10, 0.05, 0.20, 0.02, 0.08, 0.15, 0.05, 0.05])
    current = torch.tensor([0.12, 0.05, 0.10, 0.06, 0.20, 0.14, 0.05, 0.05])
    likeness = torch.cosine_similarity(X, torch.tensor([[0.1, 0.2, 1.0]]))
    scores = context_scores(before, current, likeness)
    expected = [0.07855, 0.07113, 0.11711, 0.28134, 0.70554, 0.20498, 0, 0.59352]
    assert scores.tolist() == pytest.approx(expected, abs=1e-5)
    assert top_indices(scores, 4).sort().values.tolist() == [3, 4, 5, 7]


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


def test_spatten_sums_are_those_of_the_worked_example():
    sums = cumulative_attention([worked_attention(8, causal=False)])
    expected = [1.60714, 1.92068, 1.98048, 1.78505, 3.07901, 2.1799, 1.84059, 1.60714]
    assert sums.tolist() == pytest.approx(expected, abs=1e-5)
    assert float(sums.sum()) == pytest.approx(16, abs=1e-5)
    assert top_indices(sums, 4).sort().values.tolist() == [1, 2, 4, 5]


def test_var_moves_attention_as_the_worked_example():
    row = torch.tensor([[[0.3, 0.1, 0.2, 0.05, 0.15, 0.2]]])
    is_sink = torch.tensor([True, False, True, False, False, False])
    moved = redistribute(row, is_sink, torch.arange(1, 5), torch.tensor([[True]]))
    expected = [0.18, 0.16667, 0.12, 0.08333, 0.25, 0.2]
    assert moved.flatten().tolist() == pytest.approx(expected, abs=1e-5)


# --- properties
