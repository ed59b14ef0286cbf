"""Questions about lawns: their truth, their balance, and that colors do not give them away."""

import json
import math

import numpy as np
import pytest

from geofovea.datasets.benchmarks.synthetic import read
from geofovea.datasets.synthetic.annotations import record_of
from geofovea.datasets.synthetic.lawn_questions import LAWN_CATEGORY, ask_lawn, ask_lawns
from geofovea.datasets.synthetic.rendering import render_window
from geofovea.datasets.synthetic.versions import world_of
from geofovea.datasets.synthetic.wordings import is_of_untaught_kind, is_worded_as_taught
from geofovea.pipeline.evaluation.synthetic_scenes import write_benchmark

LAWNS = 120
_LEVEL = 2


@pytest.fixture(scope="module")
def lawns():
    """Mean red, green, blue and near infrared of lawns, and which of them are healthy."""
    colors, healthy, seed = [], [], 0
    while len(healthy) < LAWNS:
        world, seed = world_of(2, seed, 4096, 4096), seed + 1
        for site in world.named_sites:
            question = ask_lawn(site)
            top = question.places[0]
            x, y, right, bottom = (round(v) >> _LEVEL for v in top.as_tuple())
            # the strip alone, without pixels that it shares with what lies around it
            pixels = render_window(world, _LEVEL, x + 2, y + 2, right - x - 4, bottom - y - 6, 4)
            colors.append(pixels.reshape(-1, 4).mean(0))
            healthy.append(question.answer == "yes")
    return np.array(colors[:LAWNS]), np.array(healthy[:LAWNS])


def cross_validated(values, labels, folds=10):
    """Right answers of a linear classifier on lawns that it was not fitted to."""
    right = 0
    for fold in range(folds):
        held_out = np.arange(len(labels)) % folds == fold
        mean, scale = values[~held_out].mean(0), values[~held_out].std(0)
        inputs = np.column_stack([(values - mean) / scale, np.ones(len(values))])
        weights = np.linalg.lstsq(inputs[~held_out], 2.0 * labels[~held_out] - 1, rcond=None)[0]
        right += int(((inputs[held_out] @ weights > 0) == labels[held_out]).sum())
    return right


def interval(right, count):
    """95 % of a share, by Wilson."""
    share, z = right / count, 1.96
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + (z / count) ** 2 / 4)
    return middle - half, middle + half


def test_colors_tell_nothing_of_a_lawn(lawns):
    colors, healthy = lawns
    low, high = interval(cross_validated(colors[:, :3], healthy), LAWNS)
    assert low <= 0.5 <= high


def test_near_infrared_tells_all(lawns):
    colors, healthy = lawns
    assert cross_validated(colors, healthy) == LAWNS


def test_answers_are_as_the_world_has_them_and_balanced():
    world = world_of(2, 5, 4096, 4096)
    lawn_of = {site.kind: site.lawn for site in world.named_sites}
    questions = ask_lawns(world, 100)
    assert len(questions) == len(lawn_of)
    for question in questions:
        kind = question.text.removeprefix("Is the lawn at the ").removesuffix(" healthy?")
        assert question.answer == ("yes" if lawn_of[kind] == "healthy" else "no")
        assert is_worded_as_taught(question.text)
        assert not is_of_untaught_kind(question.text)
    fewer = min(list(lawn_of.values()).count(lawn) for lawn in set(lawn_of.values()))
    some = [question.answer for question in ask_lawns(world, 2 * fewer)]
    assert some.count("yes") == some.count("no") == fewer
    assert ask_lawns(world, 4, seed=1) != ask_lawns(world, 4)


def test_the_strips_are_the_ring_around_the_pad():
    world = world_of(2, 5, 4096, 4096)
    site = world.named_sites[0]
    question = ask_lawn(site)
    assert sum(box.area for box in question.places) == site.apron.area - site.pad.area
    record = record_of(question, 0, "image/a.tif", world)
    assert (record.category, record.answer) == (LAWN_CATEGORY, question.answer)
    assert len(record.more["places"]) == 4


def test_a_world_without_lawns_gives_no_question():
    assert ask_lawns(world_of(1, 5, 4096, 4096), 9) == []


def test_scenes_of_four_bands_bring_their_questions(tmp_path):
    for bands, expected in ((3, set()), (4, {LAWN_CATEGORY})):
        path = write_benchmark(tmp_path / str(bands), 1, 1024, 3, 1, version=2, bands=bands)
        assert read(path, path.parent).samples
        categories = {json.loads(line)["category"] for line in path.read_text().splitlines()}
        assert categories & {LAWN_CATEGORY} == expected
