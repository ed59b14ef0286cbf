"""VFlowOpt among projected tokens: recorded numbers, worked examples, bounds."""

from dataclasses import replace

import pytest
import torch
from reduction_vectors import CLS, OTHER, X, close, formula, load, near, tokens, vector_files
from released_reductions import recycle_released

from geofovea.errors import GeometryError, ModelError
from geofovea.regionfocus.reductions.context import TokenContext
from geofovea.regionfocus.reductions.primitives.cells import cells_of
from geofovea.regionfocus.reductions.projected.vflowopt import (
    VFlowOpt,
    cell_numbers,
    global_queries,
    importance,
    patch_entropy,
    recycle,
)
from geofovea.regionfocus.reductions.tile_maps import TileMaps

ATTENTION = formula(8)


def test_the_entropy_of_a_patch_is_that_of_its_gray_levels():
    flat = torch.full((3, 4, 4), 0.5)
    four = (torch.arange(4).repeat(4) * 60).reshape(1, 4, 4).expand(3, 4, 4).to(torch.uint8)
    near(patch_entropy(flat, 4), [0])
    near(patch_entropy(four, 4), [2])
    with pytest.raises(GeometryError, match="patches of 3"):
        patch_entropy(flat, 3)


def test_vflowopt_importance_is_that_of_the_worked_example():
    entropy = torch.tensor([0.0, 2, 1, 0, 3, 1, 0, 2])
    assert global_queries(ATTENTION, 1.0).tolist() == [4, 5]
    found = importance(ATTENTION, entropy, t=1.0, alpha_v=0.5)
    near(found, [0.09468, 0.23195, 0.09645, 0.21923, 0.42729, 0.10776, 0.15418, 0.16846])
    assert sorted(torch.topk(found, 4).indices.tolist()) == [1, 3, 4, 7]


def test_vflowopt_without_a_global_query_takes_all():
    near(importance(ATTENTION, t=40.0, alpha_v=0), ATTENTION.mean(dim=(0, 1)))


@pytest.mark.parametrize("path", vector_files("vflowopt_importance"))
def test_vflowopt_importance_is_that_of_the_released_code(path):
    params, inputs, outputs = load(path)
    entropy = patch_entropy(inputs["pixels"], params["patch"])
    close(entropy, outputs["entropy"])
    assert torch.equal(global_queries(inputs["attn"], params["t"]), outputs["global_tokens"])
    found = importance(inputs["attn"], entropy, t=params["t"], alpha_v=params["alpha_v"])
    close(found, outputs["importance"])


@pytest.mark.parametrize("path", vector_files("vflowopt_recycle"))
def test_vflowopt_recycling_is_that_of_the_released_code(path):
    params, inputs, outputs = load(path)
    side, (rows, cols) = params["base_grid"], params["local_hw"]
    views = [
        torch.stack([torch.arange(h * w) // w, torch.arange(h * w) % w], dim=1)
        for h, w in ((side, side), (rows, cols))
    ]
    base, local = (cell_numbers(view, params["m"]) for view in views)
    cell = torch.cat([base, local + int(base.max()) + 1])
    found, scores, position = recycle_released(
        inputs["features"], inputs["importance"], cell, m=params["m"], r_v=params["r_v"]
    )
    assert position.tolist() == outputs["keep_mask"].nonzero()[:, 0].tolist()
    close(found, outputs["tokens"])
    close(scores, outputs["importance"])


def test_vflowopt_merges_within_cells_until_the_budget_holds():
    scores = torch.rand(48, generator=torch.Generator().manual_seed(1))
    cells = cells_of(TokenContext(torch.zeros(48, 1), grid=(6, 8)))
    number = cell_numbers(cells, 2.5)
    for k in range(1, 48):
        position, groups = recycle(scores, cells, k, 2.5)
        assert len(position) == k == int(groups.max()) + 1
        assert torch.equal(groups[position], torch.arange(k))
        if k >= len(set(number.tolist())):
            assert torch.equal(number[position][groups], number)
        least = torch.full((k,), torch.inf).scatter_reduce(0, groups, -scores, "amin")
        assert torch.equal(-least, scores[position])


def test_vflowopt_keeps_the_first_of_equally_important_tokens():
    cells = torch.tensor([[0, 0], [0, 1], [0, 2], [5, 0], [5, 1], [5, 2]])
    position, groups = recycle(torch.ones(6), cells, 4, 5.0)
    assert position.tolist() == [0, 1, 2, 3]
    assert groups.tolist() == [0, 1, 2, 3, 3, 3]


def test_vflowopt_on_attention_received_adds_entropy_too():
    received, entropy = ATTENTION.mean(dim=(0, 1)), 8 * OTHER
    whole = importance(ATTENTION, entropy, t=40.0, alpha_v=1.0)
    for context in (
        tokens(received={22: received}, entropy=entropy),
        tokens(attention={22: ATTENTION}, entropy=entropy),
    ):
        kept = VFlowOpt(m=1, alpha_v=1.0).reduce(context, 7)
        assert kept.index.tolist() == recycle(whole, cells_of(context), 7, 1.0)[0].tolist()


def test_vflowopt_tells_the_importance_of_what_it_leaves_tile_by_tile():
    first, second = ATTENTION, ATTENTION.flip(1, 2)
    expected = torch.cat([importance(table, t=1.0, alpha_v=0) for table in (first, second)])
    context = TokenContext(
        torch.cat([X, X]),
        tile_index=torch.arange(2).repeat_interleave(8),
        cells=torch.stack([torch.arange(8) // 4, torch.arange(8) % 4], dim=1).repeat(2, 1),
        attention={22: TileMaps.of([first, second])},
    )
    told = VFlowOpt(t=1.0, m=2.0, tells_importance=True)
    for k in (5, 9, 16):
        kept = told.reduce(context, k)
        close(kept.importance, expected[kept.index])
        silent = VFlowOpt(t=1.0, m=2.0).reduce(context, k)
        assert silent.importance is None
        assert torch.equal(silent.index, kept.index)
    protected = torch.arange(16) == 3
    kept = told.reduce(replace(context, protected=protected), 20)
    assert kept.importance[3] == 1


def test_vflowopt_refuses_entropy_that_it_does_not_have():
    with pytest.raises(ModelError, match="set alpha_v to 0"):
        VFlowOpt(alpha_v=0.5).reduce(tokens(received={22: CLS}), 3)
