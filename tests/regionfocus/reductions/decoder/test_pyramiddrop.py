"""Pyramiddrop between decoder layers: recorded numbers, worked examples, bounds."""

import pytest
import torch
from decoder_toys import decoder_attention
from reduction_vectors import read, vector_files

from geofovea.regionfocus.reductions.decoder import pyramiddrop
from geofovea.regionfocus.reductions.decoder.schedule import Schedule


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


def test_pyramiddrop_keeps_the_published_counts():
    schedule = pyramiddrop.PyramidDrop().schedule
    assert schedule.counts(576, 32) == {8: 288, 16: 144, 24: 72}
    assert schedule.mean_tokens(576, 32) == 270
