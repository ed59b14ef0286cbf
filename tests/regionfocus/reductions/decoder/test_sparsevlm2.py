"""SparseVLM, version 2, between decoder layers: recorded numbers, worked examples, bounds."""

import pytest
import torch
from decoder_toys import random_view
from reduction_vectors import SECOND, load, near, vector_files

from geofovea.regionfocus.reductions.decoder.schedule import Schedule
from geofovea.regionfocus.reductions.decoder.sparsevlm2 import (
    PUBLISHED_2,
    SparseVlm2,
    corrected_scores,
    rotary_kernel,
)
from geofovea.regionfocus.scoring import top_indices

CLOSE = {"rtol": 2e-3, "atol": 1e-5}


@pytest.mark.parametrize("file", vector_files("sparsevlm2_", folder=SECOND))
def test_scores_and_survivors_are_those_of_the_reference(file):
    params, inputs, outputs = load(file)
    first, n = params["image_start"], params["image_len"]
    positions, raters = inputs["positions"], inputs["raters"]
    words, visual = positions[first + n :], positions[first : first + n]
    kernel = rotary_kernel(words[:, None] - visual, params["head_dim"], params["rope_base"])
    torch.testing.assert_close(kernel, outputs["kernel"], **CLOSE)
    attention = inputs["attention_text"][:, raters, first : first + n]
    sums = (attention / kernel[raters]).sum((1, 2))
    torch.testing.assert_close(sums, outputs["head_sums"], **CLOSE)
    scores, heads = corrected_scores(attention, kernel[raters], params["heads_kept"])
    assert heads.tolist() == sorted(outputs["heads"].tolist())
    torch.testing.assert_close(scores, outputs["scores"], **CLOSE)
    counts = PUBLISHED_2[params["retain"]].counts(576, 32)
    k = min(counts[params["layer"] + 1], n - 1)
    assert sorted(top_indices(scores, k).tolist()) == sorted(outputs["keep"].tolist())


def test_the_kernel_and_what_it_corrects_are_those_of_the_worked_example():
    kernel = rotary_kernel(torch.arange(5), 4)
    near(kernel, [2.0, 1.540252, 0.583653, 0.009558, 0.345556])
    attention = torch.tensor([[[0.3, 0.02]]])
    scores, _ = corrected_scores(attention, kernel[[1, 3]][None], 1)
    assert scores.tolist() == pytest.approx([0.19477, 2.09259], rel=1e-3)


def test_near_a_zero_of_the_kernel_no_token_wins_by_division():
    apart = torch.tensor([700, 724, 725, 1000])
    kernel = rotary_kernel(apart, 64)
    assert (kernel > 0).tolist() == [True, True, False, True]
    view = random_view(60)
    kept = SparseVlm2(Schedule.of((2, 20))).reduce(view)
    assert len(kept.index) == 20
    assert kept.features is None


def test_the_published_counts_are_those_of_the_table():
    assert PUBLISHED_2[192].counts(576, 32) == {3: 300, 7: 200, 16: 118}
    assert PUBLISHED_2[96].counts(576, 32) == {3: 246, 7: 54, 16: 28}


def test_without_gravity_distances_do_not_matter():
    view = random_view(40, 5)
    off = SparseVlm2(Schedule.of((2, 10)), gravity=False).reduce(view)
    on = SparseVlm2(Schedule.of((2, 10))).reduce(view)
    other = SparseVlm2(Schedule.of((2, 10))).reduce(random_view(40, 5, rotary_base=2.0))
    assert len(off.index) == len(other.index) == len(on.index) == 10
    assert not torch.equal(off.index, on.index)
    assert not torch.equal(other.index, on.index)
