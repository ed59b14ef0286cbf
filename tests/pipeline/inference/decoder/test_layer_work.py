"""What a layer did is counted as a mask of all its pairs says, and makes operations by hand."""

import pytest
import torch

from geofovea.pipeline.hosts.flops import DecoderPass, count_flops
from geofovea.pipeline.hosts.shapes import DecoderShape, EncoderShape, HostShape
from geofovea.pipeline.inference.decoder.layer_work import LayerWork, work_of
from geofovea.pipeline.inference.decoder.planned_layer import Entries
from geofovea.regionfocus.layer_plans.base import LayerPlan

VISUAL = torch.tensor([2, 3, 4, 6, 7])
TILES = torch.tensor([4, 4, 1, 1, 4])
ENTRIES = Entries(10, VISUAL, TILES)
WITHIN = torch.rand(5, 5, generator=torch.Generator().manual_seed(1)) < 0.6
PLANS = {
    "stock": LayerPlan(),
    "frozen": LayerPlan(attends=False, feeds=False),
    "own tile": LayerPlan(sees="own_tile"),
    "neighbors": LayerPlan(pairs=WITHIN),
    "neighbors in a tile": LayerPlan(pairs=WITHIN, sees="own_tile"),
    "the question": LayerPlan(later_words=torch.tensor([8, 9])),
    "blind heads": LayerPlan(blind_heads=(1, 4)),
    "blind heads that do not attend": LayerPlan(blind_heads=(1,), attends=False),
    "no vision": LayerPlan(is_gone=True),
}


def seen(plan, entries, *, is_blind):
    """Every pair of one head, from one mask."""
    places = torch.arange(entries.length)
    is_visual = torch.isin(places, entries.visual)
    allowed = places <= places[:, None]
    both = is_visual[:, None] & is_visual
    if plan.pairs is not None:
        allowed[both] = plan.pairs.flatten()
    if plan.sees == "own_tile":
        allowed[both] &= (entries.tiles[:, None] == entries.tiles).flatten()
    if plan.later_words is not None:
        allowed[is_visual.nonzero(), plan.later_words] = True
    if is_blind:
        allowed &= ~is_visual | torch.eye(entries.length, dtype=torch.bool)
    if not plan.attends:
        allowed[is_visual] = False
    return int(allowed.sum())


@pytest.mark.parametrize("name", PLANS)
def test_pairs_are_those_of_a_mask(name):
    plan = PLANS[name]
    entries = Entries(5, VISUAL[:0], TILES[:0]) if plan.is_gone else ENTRIES
    heads = [head in plan.blind_heads for head in range(6)]
    expected = sum(seen(plan, entries, is_blind=blind) for blind in heads) / 6
    assert work_of(plan, entries, 6).pairs == pytest.approx(expected)


def test_operations_follow_from_what_ran():
    decoder = DecoderShape(
        layers=3, width=8, heads=4, kv_heads=2, head_width=3, intermediate=10, vocabulary=7
    )
    shape = HostShape(EncoderShape(1, 1, 1, 1, 1), decoder, 1)
    plans = (LayerPlan(), LayerPlan(feeds=torch.arange(4)), LayerPlan(attends=False, feeds=False))
    work = tuple(work_of(plan, ENTRIES, 4) for plan in plans)
    assert work[1] == LayerWork(5, 5, 5, 55, 4)
    run = DecoderPass(5, 5, 1, (5,) * 3, 0, work)
    counted = count_flops(shape, tiles_encoded=0, scored=[], runs=[run])
    # five words through everything: queries and outputs, keys and values, three matrices
    words = 5 * (2 * 8 * 4 * 3 + 2 * 8 * 2 * 3 + 3 * 8 * 10)
    keys, queries, a_unit = 5 * 2 * 8 * 2 * 3, 5 * 2 * 8 * 4 * 3, 5 * 3 * 8
    # each pair is a score and a value in four heads of width three; words see 1, 2, 6, 9 and 10
    pairs = [2 * 4 * 3 * n for n in (55, 55, 1 + 2 + 6 + 9 + 10)]
    layers = 3 * (words + keys) + 2 * queries + (10 + 4) * a_unit + sum(pairs)
    # and the logits of one token
    assert counted.full.prefill * 1e12 == pytest.approx(2 * (layers + 8 * 7))
    # as published: 4nd² + 2n²d + 3ndm, of which the last layer makes keys and values alone
    full = 4 * 5 * 64 + 2 * 25 * 8
    published = 2 * full + 3 * 5 * 8 * (10 + 4) + 2 * 5 * 64
    assert counted.published_tera * 1e12 == pytest.approx(published)
    stock = count_flops(shape, tiles_encoded=0, scored=[], runs=[DecoderPass(5, 5, 1)])
    whole = DecoderPass(5, 5, 1, (5,) * 3, 0, work[:1] * 3)
    assert count_flops(shape, tiles_encoded=0, scored=[], runs=[whole]) == stock
