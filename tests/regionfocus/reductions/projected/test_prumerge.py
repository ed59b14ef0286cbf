"""PruMerge and PruMerge+: recorded numbers, worked examples, bounds."""

import pytest
import torch
from reduction_vectors import CLS, X, close, load, near, tokens, vector_files
from released_reductions import prumerge_released

from geofovea.errors import BudgetError
from geofovea.regionfocus.reductions.projected.prumerge import PruMerge, PruMergePlus


def test_prumerge_is_that_of_the_worked_example():
    with_cls = torch.cat([torch.ones(1, 3), X])
    found, selected = prumerge_released(with_cls, with_cls, with_cls, ratio=0.25, neighbours=3)
    assert selected.tolist() == [7, 3]
    expected = [
        [0.24928, 0.238, 1.02261],
        [0.07017, 1.05277, 0.30384],
        [0.19499, 0.15163, 0.106],
    ]
    near(found, expected)


@pytest.mark.parametrize("path", vector_files("prumerge"))
def test_prumerge_faithful_is_the_released_code(path):
    params, inputs, outputs = load(path)
    found, selected = prumerge_released(
        inputs["q"],
        inputs["k"],
        inputs["hidden"],
        ratio=None if params["adaptive"] else params["reduction_ratio"],
        plus=path.stem.startswith("prumergeplus"),
        neighbours=params["knn"],
    )
    assert len(selected) == len(outputs["tokens"]) - 1
    close(found, outputs["tokens"])


def test_prumerge_plus_without_a_step_for_its_grid_is_refused():
    with_cls = torch.cat([torch.ones(1, 3), X])
    with pytest.raises(BudgetError, match="at most a third"):
        prumerge_released(with_cls, with_cls, with_cls, ratio=0.5, plus=True, fixed_grid=False)


@pytest.mark.parametrize("make", [PruMerge, PruMergePlus])
def test_prumerge_counts_each_token_once_and_keeps_to_the_budget(make):
    context = tokens(cls_attention={22: CLS[None]}, keys=X)
    for k in range(1, 8):
        kept = make().reduce(context, k)
        assert (len(kept.index), int(kept.sizes.sum())) == (k, 8)
        assert kept.info["neighbours"].shape == (k - 1, 7)
        assert kept.features.abs().max() <= 1
