"""The losses of a distillation, against values worked out by hand or by torch's distributions."""

import math

import pytest
import torch
from torch.distributions import Categorical, kl_divergence

from geofovea.regionfocus.rfm.distillation_losses import box_loss, box_mass, row_losses

IMAGE = slice(1, 4)


def test_equal_rows_cost_nothing_and_padding_does_not_count():
    torch.manual_seed(0)
    wanted = torch.randn(2, 3, 6)
    found = wanted.clone()
    found[0, :, 5] = 99.0
    seen = torch.ones(2, 6, dtype=torch.bool)
    seen[0, 5] = False
    losses = row_losses(found, wanted, seen, IMAGE)
    assert losses.total.item() == pytest.approx(0, abs=1e-6)
    assert row_losses(found, wanted, seen | True, IMAGE).total.item() > 100


def test_each_loss_is_what_its_name_says():
    torch.manual_seed(1)
    wanted, found = torch.randn(2, 3, 6), torch.randn(2, 3, 6)
    losses = row_losses(found, wanted, torch.ones(2, 6, dtype=torch.bool), IMAGE)
    whole = kl_divergence(Categorical(logits=wanted), Categorical(logits=found)).mean()
    half = kl_divergence(
        Categorical(logits=wanted[..., IMAGE] / 2), Categorical(logits=found[..., IMAGE] / 2)
    ).mean()
    assert losses.row.item() == pytest.approx(whole.item(), rel=1e-5)
    assert losses.image.item() == pytest.approx(half.item(), rel=1e-5)
    squares = ((wanted - found) / 2).square().mean().item()
    assert losses.logits.item() == pytest.approx(squares, rel=1e-5)


def test_the_mass_in_a_box_is_the_mean_over_heads():
    logits = torch.tensor([[[0.0, math.log(3)], [0.0, 0.0]]])
    right = torch.tensor([[False, True]])
    assert box_mass(logits, right).item() == pytest.approx((0.75 + 0.5) / 2)
    assert box_loss(logits, right).item() == pytest.approx(-math.log(0.625))


def test_questions_whose_boxes_single_nothing_out_say_nothing():
    logits = torch.randn(3, 2, 4)
    right = torch.tensor([[True] * 4, [False] * 4, [True, False, False, False]])
    assert box_loss(logits, right).item() == pytest.approx(
        box_loss(logits[2:], right[2:]).item(), rel=1e-6
    )
    assert box_loss(logits[:2], right[:2]).item() == 0


def test_no_mass_at_all_is_a_large_number_and_has_a_gradient_elsewhere():
    logits = torch.tensor([[[0.0, -1e4]]], requires_grad=True)
    loss = box_loss(logits, torch.tensor([[False, True]]))
    loss.backward()
    assert loss.item() == pytest.approx(-math.log(1e-5), rel=1e-5)
    assert logits.grad.isfinite().all()
