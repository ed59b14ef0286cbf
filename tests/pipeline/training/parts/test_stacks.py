"""Maps of stacked tokens: the lessons show and add what a host would show and add."""

import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from part_toys import planned_logits
from pipeline_toys import TINY
from training_toys import PLAN

from geofovea.datasets.synthetic.world import make_world
from geofovea.pipeline.hosts.scene_positions import token_places
from geofovea.pipeline.training.lessons.scene_tiles import choose_families
from geofovea.pipeline.training.losses import answer_position
from geofovea.pipeline.training.parts import lessons as lesson_files
from geofovea.pipeline.training.parts.recipe import default_recipe
from geofovea.pipeline.training.parts.stacked_lessons import (
    StackedLessons,
    StackedLessonStore,
    places_above,
)
from geofovea.pipeline.training.parts.stacks import StackPart, added_tokens
from geofovea.regionfocus.layer_plans.deepstack import DeepStack, stacked_groups
from geofovea.regionfocus.tokens import tokens_of_tiles
from geofovea.tiling.pyramid import Pyramid

RECIPE = replace(default_recipe("deepstack", steps=3), lessons=2, rank=4)


@pytest.fixture(scope="module")
def lessons(model, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lesson_files, "LESSONS_A_SHARD", 2)
        folder = tmp_path_factory.mktemp("lessons")
        shard = StackedLessonStore(folder, model, 0, replace(PLAN, dropped=0.0)).shard(0)
    return shard.at(torch.arange(2))


@pytest.fixture
def part(model):
    torch.manual_seed(0)
    return StackPart(model, RECIPE)


@pytest.mark.parametrize(("side", "seed"), [(2048, 1), (2000, 2), (1500, 3)])
def test_lessons_add_what_the_method_adds_to_a_search(side, seed):
    world, grid = make_world(seed, side, side), TINY.grid
    pyramid = Pyramid(side, side, TINY.tile_size)
    spec = replace(PLAN, coarse_tiles=2, native_tiles=8)
    # sites in the last row and column have tiles that are cut off
    site = max(world.named_sites, key=lambda each: each.pad.x1 + each.pad.y1)
    groups = choose_families(random.Random(seed), pyramid, site, spec, False)
    assert [each[0].level for each in groups][-2:] == [1, 0]
    assert len(groups[-1]) == 8
    by_level = [list(dict.fromkeys(tiles)) for tiles in groups]
    width = 5
    generator = torch.Generator().manual_seed(seed)
    parts = [torch.randn(len(t), grid**2, width, generator=generator) for t in by_level]
    sets = [
        tokens_of_tiles(values, (grid, grid), tiles, pyramid)
        for values, tiles in zip(parts, by_level, strict=True)
    ]
    expected, _ = stacked_groups(sets[-2], sets[-1])
    tiles = [tile for some in by_level for tile in some]
    places = np.concatenate([token_places(pyramid, tile, grid) for tile in tiles])
    group = torch.tensor([i for i, some in enumerate(by_level) for _ in some])
    group = group.repeat_interleave(grid**2)[None]
    shown = [
        (torch.tensor(token_places(pyramid, t, grid)[:, :2]) - 1 / side < 1).all(1) for t in tiles
    ]
    visible = torch.cat(shown)[None]
    above = places_above(torch.from_numpy(places)[None], group, visible)
    nothing = torch.zeros(1, 1, 1)
    lesson = StackedLessons(
        torch.cat([v.flatten(0, 1) for v in parts])[None], visible, group,
        *[nothing] * 5, **above,
    )  # fmt: skip
    level_1 = (group[0, : -above["parent"].shape[1]] == len(by_level) - 2) & visible[
        0, : -above["parent"].shape[1]
    ]
    added = added_tokens(lesson)[0]
    torch.testing.assert_close(added[:, level_1], expected)
    assert not added[:, ~level_1].any()


@torch.no_grad()
def test_a_part_answers_as_a_host_with_its_maps_and_decoder_does(part, model, lessons):
    part.maps.normal_(0, 0.2)
    for module in part.decoder.layers.modules():
        if hasattr(module, "up"):
            module.up.normal_(0, 0.1)
    logits = part._answers(lessons)
    groups = added_tokens(lessons)
    count = groups.shape[2]
    for row in range(len(lessons)):
        seen = lessons.visible[row, :count]
        last = int(answer_position(lessons.targets)[row, 1])
        method = DeepStack(maps=tuple(part.maps), groups=groups[row][:, seen])
        vision, words = lessons.vision[row, :count][seen], lessons.words[row, 1, : last + 1]
        expected, _ = planned_logits(model, part.decoder, vision, words, method)
        torch.testing.assert_close(logits[row, 1, 0], expected, atol=1e-3, rtol=1e-3)


def test_maps_learn_and_maps_of_zeros_leave_the_sequence_alone(part, model, lessons):
    loss, _ = part.loss(lessons, torch.Generator())
    loss.backward()
    assert float(part.maps.grad[:3].abs().sum((1, 2)).min()) > 0
    with torch.no_grad():
        part.maps.zero_()
    figures = part.measure(lessons)
    assert figures["accuracy"] == figures["accuracy_of_sequence"]
