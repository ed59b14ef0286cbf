"""The selection of LRS-VQA: recorded numbers, worked examples, bounds."""

import pytest
import torch
from reduction_vectors import CLS, X, load, near, vector_files

from geofovea.regionfocus.reductions.context import TokenContext
from geofovea.regionfocus.reductions.projected.lrs_vqa import (
    LrsVqa,
    normalized,
    select_by_threshold,
)
from geofovea.regionfocus.rfm.published_selection import select_share


def test_lrs_vqa_is_that_of_the_worked_example():
    expected = [0.0553, 0.7787, 0.2681, 0.183, 0, 1, 0.3532, 0.2681]
    near(normalized(CLS), expected, atol=5e-5)
    assert select_by_threshold(CLS, 0.2).tolist() == [1, 2, 5, 6, 7]
    assert select_share(CLS, (2, 4), share=0.5).tolist() == [1, 2, 3, 5, 6, 7]
    context = TokenContext(X, CLS)
    assert LrsVqa(0.2).reduce(context, 7).index.tolist() == [1, 2, 5, 6, 7]
    assert LrsVqa(0.2).reduce(context, 3).index.tolist() == [1, 5, 6]


@pytest.mark.parametrize("path", vector_files("lrsvqa_select"))
def test_lrs_vqa_selects_as_the_released_code(path):
    params, inputs, outputs = load(path)
    scores, mask = inputs["scores"], inputs["mask"]
    for name, expected in outputs.items():
        kind, *masked = name.split("_")
        valid = mask if masked else None
        number = kind.removeprefix("thr").removeprefix("ratio")
        if kind.startswith("thr"):
            # thr02 is a threshold of 0.2
            threshold = float(f"{number[0]}.{number[1:]}")
            found = select_by_threshold(scores, threshold, valid)
        else:
            grid = (len(scores) // params["tokens_per_row"], params["tokens_per_row"])
            found = select_share(scores, grid, valid, int(number) / 100)
        assert found.tolist() == sorted(expected.tolist())


def test_equal_scores_are_above_no_threshold_and_kept_evenly():
    assert select_by_threshold(torch.ones(10), 0.5).tolist() == []
    kept = LrsVqa(0.5).reduce(TokenContext(torch.zeros(10, 1), torch.ones(10)), 4)
    assert (kept.index.tolist(), kept.info) == ([1, 3, 6, 8], {"fallback": "uniform"})
