"""Vflowopt between decoder layers: recorded numbers, worked examples, bounds."""

import pytest
import torch
from decoder_toys import random_view, reduce_to

from geofovea.errors import ModelError
from geofovea.regionfocus.reductions.decoder.schedule import Schedule
from geofovea.regionfocus.reductions.decoder.vflowopt import VFlowOptDecoder


def test_vflowopt_goes_on_after_a_third_and_two_thirds_of_the_depth():
    assert VFlowOptDecoder().schedule.counts(1000, 28) == {9: 1000, 18: 601}
    at_a_half = Schedule.of((9 / 28, 0.7487), (18 / 28, 0.487))
    assert at_a_half.counts(1000, 28) == {9: 749, 18: 487}


def test_vflowopt_keeps_the_most_important_and_refuses_tokens_that_do_not_know():
    importance = torch.tensor(
        [0.09468, 0.23195, 0.09645, 0.21923, 0.42729, 0.10776, 0.15418, 0.16846]
    )
    view = random_view(8, carried={"importance": importance})
    assert reduce_to("vflowopt_decoder", view, 4).index.tolist() == [1, 3, 4, 7]
    with pytest.raises(ModelError, match=r"came without it; let vflowopt leave them"):
        reduce_to("vflowopt_decoder", random_view(8, carried={}), 4)
