"""IMA: which layers skip what, and the worked example."""

import pytest
import torch
from layer_views import toy_view

from geofovea.errors import ModelError
from geofovea.regionfocus.layer_plans.ima import Ima, released_skip


def skipping(method, depth=6):
    return [i for i in range(depth) if not method.plan(toy_view(i, depth=depth)).is_stock]


def test_the_second_half_of_the_layers_skips_unless_others_are_named():
    assert skipping(Ima()) == [3, 4, 5]
    assert skipping(Ima(), depth=5) == [2, 3, 4]
    assert skipping(Ima(start=1, interval=2, end=5)) == [1, 3]
    assert skipping(Ima(start=6)) == []


@pytest.mark.parametrize(
    ("skip", "attends", "feeds", "is_parallel"),
    [
        ("ffn", True, False, False),
        ("attention", False, True, False),
        ("both", False, False, False),
        ("parallel", True, True, True),
    ],
)
def test_what_is_skipped_is_what_is_named(skip, attends, feeds, is_parallel):
    plan = Ima(skip, start=2).plan(toy_view())
    assert (plan.attends, plan.feeds, plan.is_parallel) == (attends, feeds, is_parallel)


def test_the_release_adds_a_norm_to_what_skips():
    # a state of 1 with attention of .5: 1.5 passes, and the release adds its norm
    state = torch.tensor([[1.5]])
    norm = torch.nn.RMSNorm(1, eps=1e-6)
    assert released_skip(state, norm).item() == pytest.approx(2.5, abs=1e-5)


@pytest.mark.parametrize("options", [{"skip": "all"}, {"start": -1}, {"interval": 0}])
def test_what_cannot_be_is_refused(options):
    with pytest.raises(ModelError):
        Ima(**options)
