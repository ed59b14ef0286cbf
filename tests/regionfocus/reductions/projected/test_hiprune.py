"""HiPrune: recorded numbers, worked examples, bounds."""

import pytest
import torch
from reduction_vectors import load, tokens, vector_files
from released_reductions import hiprune_released

from geofovea.errors import BudgetError
from geofovea.regionfocus.reductions.context import TokenContext
from geofovea.regionfocus.reductions.primitives.cells import cells_of
from geofovea.regionfocus.reductions.projected.hiprune import HiPrune, hiprune_keep

OBJECT = torch.tensor([0.05, 0.05, 0.05, 0.4, 0.05, 0.15, 0.15, 0.1])
DEEP = torch.tensor([0.1, 0.05, 0.12, 0.03, 0.2, 0.25, 0.05, 0.2])


def test_hiprune_released_and_mended_are_those_of_the_worked_example():
    assert hiprune_released(OBJECT, DEEP, 6, 0.9, 4).tolist() == [0, 2, 3, 4, 5, 7]
    cells = cells_of(tokens())
    assert hiprune_keep(OBJECT, DEEP, cells, 6, 0.9).tolist() == [0, 2, 3, 4, 5, 7]
    # the neighbors in the grid alone: left, and below
    assert hiprune_keep(OBJECT, torch.zeros(8), cells, 3, 1.0).tolist() == [2, 3, 7]
    with pytest.raises(BudgetError, match="lower alpha"):
        hiprune_released(OBJECT, DEEP, 3, 1.0, 4)


@pytest.mark.parametrize("path", vector_files("hiprune_"))
def test_hiprune_faithful_is_the_released_code(path):
    params, inputs, outputs = load(path)
    k = params["retention_total"] // params["images"]
    maps = zip(
        inputs["received_object"], inputs["received_deep"], outputs["keep_mask"], strict=True
    )
    for obj, deep, mask in maps:
        found = hiprune_released(obj, deep, k, params["alpha"], params["grid"])
        assert found.tolist() == mask.nonzero()[:, 0].tolist()


def test_hiprune_without_anchors_is_the_top_of_the_deep_layer():
    kept = HiPrune(alpha=0).reduce(tokens(received={8: OBJECT, 22: DEEP}), 3)
    assert kept.index.tolist() == [4, 5, 7]


def test_hiprune_mirrors_with_its_grid():
    generator = torch.Generator().manual_seed(5)
    obj, deep = torch.rand(2, 36, generator=generator)
    flip = torch.arange(36).reshape(6, 6).flip(1).flatten()
    cells = cells_of(TokenContext(torch.zeros(36, 1), grid=(6, 6)))
    for k in range(1, 36):
        kept = hiprune_keep(obj, deep, cells, k, 0.6)
        mirrored = hiprune_keep(obj[flip], deep[flip], cells, k, 0.6)
        assert sorted(flip[kept].tolist()) == mirrored.tolist()
