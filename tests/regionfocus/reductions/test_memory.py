"""No reduction holds a table of all pairs of many tokens: the largest tensor is watched."""

from dataclasses import replace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from geofovea.errors import BudgetError
from geofovea.regionfocus.reductions.context import TokenContext
from geofovea.regionfocus.reductions.primitives.similarity import MOST_TOKENS
from geofovea.regionfocus.reductions.primitives.sums import summed_by
from geofovea.regionfocus.reductions.projected.divprune import divprune_order
from geofovea.regionfocus.reductions.registry import REDUCTION_NAMES, make_reduction
from geofovea.regionfocus.reductions.tile_maps import TileMaps

TILE, TILES = 144, 60
N = TILE * TILES
"""More than the most tokens whose table of all pairs may be held."""

BLOCK = (1 << 24) + N
"""Entries of the largest block of a table that is made at a time, less than a quarter of it."""

BY_PAIRS = frozenset({"catp"})
"""What needs the whole table, and refuses so many tokens."""


class Largest(TorchDispatchMode):
    """Sees every tensor that any operation makes, and remembers the most entries of one."""

    def __init__(self):
        super().__init__()
        self.entries = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        for value in tree_leaves(made):
            # what an operation only looks at in another shape takes no memory
            if isinstance(value, torch.Tensor) and value.untyped_storage().nbytes():
                held = value.untyped_storage().nbytes() // value.element_size()
                self.entries = max(self.entries, held)
        return made


def many_tokens(*, tiled):
    """Tokens of many tiles, or of one, with all that does not take a table of all pairs."""
    made = torch.Generator().manual_seed(0)

    def rand(*shape):
        return torch.rand(*shape, generator=made)

    each = torch.arange(N)
    context = TokenContext(
        rand(N, 4) - 0.5,
        scores=rand(N),
        levels=torch.zeros(N, dtype=torch.int64),
        tile_index=torch.zeros(N, dtype=torch.int64),
        cls_attention={layer: rand(2, N) for layer in (8, 22)},
        received={layer: rand(N) for layer in (8, 22)},
        keys=rand(N, 3) - 0.5,
        text_embeds=rand(2, 4) - 0.5,
        text_similarity=rand(N),
        cells=torch.stack([each // 90, each % 90], dim=1),
    )
    if not tiled:
        return context
    maps = [(3 * rand(2, TILE, TILE)).softmax(-1) for _ in range(TILES)]
    cells = torch.stack([each % TILE // 12, each % 12], dim=1)
    return replace(context, tile_index=each // TILE, attention={22: TileMaps.of(maps)}, cells=cells)


def test_the_watch_sees_a_table_that_is_made_and_thrown_away():
    with Largest() as largest:
        x = torch.ones(300, 2)
        (x @ x.T).sum()
    assert largest.entries == 300 * 300
    assert N > MOST_TOKENS
    assert BLOCK < N * N / 4


@pytest.mark.parametrize("tiled", [True, False], ids=["tiles", "one_tile"])
@pytest.mark.parametrize("name", REDUCTION_NAMES)
def test_no_reduction_holds_a_table_of_all_pairs(name, tiled):
    context, reduction = many_tokens(tiled=tiled), make_reduction(name)
    if "attention" in reduction.requires and not tiled:
        pytest.skip("the caller would have to hold the whole attention of one tile")
    if name in BY_PAIRS:
        with pytest.raises(BudgetError, match="takes at most 8192"):
            reduction.reduce(context, N // 10)
        return
    with Largest() as largest:
        kept = reduction.reduce(context, N // 10)
    assert len(kept.index) <= N // 10
    assert largest.entries <= BLOCK


def test_merged_values_are_summed_in_blocks():
    label = torch.arange(N) % (N // 3)
    with Largest() as largest:
        sums = summed_by(torch.ones(N, 2), label, N // 3)
    assert sums.tolist() == [[3.0, 3.0]] * (N // 3)
    assert largest.entries <= BLOCK


def test_a_choice_by_diversity_takes_blocks_even_where_all_tokens_are_equally_far():
    with Largest() as largest:
        assert divprune_order(torch.eye(N, 1) + torch.ones(N, 1), 3).tolist() == [0, 1, 2]
    assert largest.entries <= BLOCK
