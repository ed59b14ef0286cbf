"""Fastv between decoder layers: recorded numbers, worked examples, bounds."""

import pytest
import torch
from decoder_toys import worked_attention
from reduction_vectors import read, vector_files

from geofovea.regionfocus.reductions.decoder import fastv


@pytest.mark.parametrize("file", vector_files("fastv"))
def test_fastv_keeps_the_places_of_the_reference(file):
    case, params = read(file)
    visual = torch.arange(params["image_len"]) + params["sys_len"]
    kept = fastv.keep_places(case["in_attn"][0], visual, params["rank"])
    assert kept.tolist() == sorted(case["out_keep"].tolist())


def test_fastv_scores_are_those_of_the_worked_example():
    rows, visual = worked_attention(12, causal=True), torch.arange(2, 10)
    expected = [0.0595, 0.16173, 0.11814, 0.03609, 0.0981, 0.07165, 0.02189, 0.0595]
    assert fastv.last_row_scores(rows, visual).tolist() == pytest.approx(expected, abs=1e-5)
    assert fastv.keep_places(rows, visual, 4).tolist() == [0, 1, 3, 4, 6, 7, 10, 11]
