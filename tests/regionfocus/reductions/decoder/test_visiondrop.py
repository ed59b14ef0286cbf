"""Visiondrop between decoder layers: recorded numbers, worked examples, bounds."""

import pytest
import torch
from decoder_toys import decoder_attention, worked_attention
from reduction_vectors import X, read, vector_files

from geofovea.regionfocus.reductions.decoder.visiondrop import contextual, visible_rows
from geofovea.regionfocus.scoring import top_indices

CLOSE = {"rtol": 1e-4, "atol": 1e-5}


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
