"""Transprune between decoder layers: recorded numbers, worked examples, bounds."""

import pytest
import torch
from decoder_toys import decoder_attention, worked_attention
from reduction_vectors import X, read, vector_files

from geofovea.regionfocus.reductions.decoder.base import sequence_after
from geofovea.regionfocus.reductions.decoder.transprune import combined_scores, transition
from geofovea.regionfocus.scoring import top_indices

CLOSE = {"rtol": 1e-4, "atol": 1e-5}


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
