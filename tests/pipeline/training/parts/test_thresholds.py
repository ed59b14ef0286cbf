"""Heads of thresholds: what is trained is what a host does with them."""

from dataclasses import replace

import pytest
import torch
from part_toys import planned_logits
from training_toys import PLAN

from geofovea.pipeline.training.losses import answer_position
from geofovea.pipeline.training.parts import lessons as lesson_files
from geofovea.pipeline.training.parts.answers import unpacked
from geofovea.pipeline.training.parts.lessons import LessonStore, at_answers
from geofovea.pipeline.training.parts.recipe import default_recipe
from geofovea.pipeline.training.parts.thresholds import ThresholdPart, _Run
from geofovea.regionfocus.layer_plans.atp import Atp

RECIPE = replace(default_recipe("atp", steps=3), lessons=2)


@pytest.fixture(scope="module")
def lessons(model, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lesson_files, "LESSONS_A_SHARD", 2)
        shard = LessonStore(
            tmp_path_factory.mktemp("lessons"), model, 0, replace(PLAN, dropped=0.0)
        ).shard(0)
    return shard.at(torch.arange(2))


@pytest.fixture
def part(model, lessons):
    torch.manual_seed(0)
    part = ThresholdPart(model, RECIPE)
    part.prepare(lessons)
    return part


def test_the_lessons_drop_what_a_host_drops(part, model, lessons):
    alone = unpacked(lessons, 3, torch.Generator().manual_seed(1))
    run = _Run(part, alone, is_hard=True)
    with torch.no_grad():
        logits = at_answers(run.logits(), alone.targets)[:, 0, 0]
    side = model.shape.grid
    cell = torch.arange(alone.vision.shape[1]) % side**2
    cells = torch.stack([cell // side, cell % side], 1)
    heads = tuple(part.head(number) for number in range(3))
    for row in range(len(alone)):
        method = Atp(heads, cells[alone.visible[row]])
        last = int(answer_position(alone.targets)[row, 0])
        vision, words = alone.vision[row, alone.visible[row]], alone.words[row, 0, : last + 1]
        decoder = model.llava.model.language_model
        expected, counts = planned_logits(model, decoder, vision, words, method)
        total = int(alone.visible[row].sum())
        kept = [round(float(share[row]) * total) for share in run.shares]
        assert list(counts) == [total, *kept]
        torch.testing.assert_close(logits[row], expected, atol=1e-4, rtol=1e-4)
    assert any(float(share.min()) < 1 for share in run.shares)


def test_wide_thresholds_let_all_tokens_through(part, model, lessons):
    with torch.no_grad():
        for layer in part.redundant:
            layer.bias.fill_(-50)
    alone = unpacked(lessons, 2, torch.Generator().manual_seed(1))
    for is_hard in (True, False):
        run = _Run(part, alone, is_hard=is_hard)
        with torch.no_grad():
            logits = run.logits()
            stock = model.logits(alone.vision, alone.visible, alone.words)
        if is_hard:
            assert torch.equal(torch.stack(run.shares), torch.ones(len(run.shares), len(alone)))
            torch.testing.assert_close(logits, stock, atol=1e-5, rtol=1e-5)
        assert all(float(share.max()) <= 1 for share in run.shares)


def test_only_heads_learn_and_the_target_pulls_at_them(part, lessons):
    loss, record = part.loss(lessons, torch.Generator().manual_seed(0))
    loss.backward()
    assert {"answer", "teacher", "share"} == set(record)
    assert all(float(part.redundant[n].bias.grad.abs()) > 0 for n in part.layers.values())
    optimizer = torch.optim.Adam(part.parameters(), 0.3)
    part.settings |= {"target": 0.05, "weight": 100.0}
    before = record["share"]
    for _ in range(6):
        optimizer.zero_grad()
        loss, record = part.loss(lessons, torch.Generator().manual_seed(0))
        loss.backward()
        optimizer.step()
    assert record["share"] < before
