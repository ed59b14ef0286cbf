"""FoPru: recorded numbers, worked examples, bounds."""

import pytest
import torch
from reduction_vectors import formula, load, near, tokens, vector_files

from geofovea.regionfocus.reductions.context import TokenContext
from geofovea.regionfocus.reductions.projected.fopru import FoPru, best_rows, significance

ATTENTION = formula(8)


def test_fopru_is_that_of_the_worked_example():
    found = significance(ATTENTION)
    near(found, [0.10045, 0.12004, 0.12378, 0.11157, 0.19244, 0.13624, 0.11504, 0.10045])
    context = tokens(attention={22: ATTENTION})
    assert FoPru().reduce(context, 3).index.tolist() == [2, 4, 5]
    assert best_rows(found, (2, 4), 0.5).tolist() == [4, 5, 6, 7]
    assert FoPru("row").reduce(context, 4).index.tolist() == [4, 5, 6, 7]
    assert FoPru("row").reduce(context, 6).index.tolist() == [1, 2, 4, 5, 6, 7]


def test_fopru_by_rank_needs_no_more_than_the_attention_received():
    kept = FoPru().reduce(tokens(received={22: significance(ATTENTION)}), 3)
    assert (kept.index.tolist(), kept.info) == ([2, 4, 5], {"score": "received"})


@pytest.mark.parametrize("path", vector_files("fopru"))
def test_fopru_is_the_released_code(path):
    params, inputs, outputs = load(path)
    for name, expected in outputs.items():
        dominant = name.endswith("_rowdominant")
        scores = significance(inputs["attn_rowdominant" if dominant else "attn"])
        side = round(len(scores) ** 0.5)
        if name.startswith("rank"):
            context = TokenContext(torch.zeros(len(scores), 1), received={0: scores})
            found = FoPru().reduce(context, params["k"]).index
        else:
            found = best_rows(scores, (side, side), params["row_ratio"])
        assert sorted(found.tolist()) == sorted(expected.tolist())
