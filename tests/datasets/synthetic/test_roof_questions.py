"""Questions about green roofs: their truth, their balance, and that colors do not tell."""

import json
from dataclasses import replace

import numpy as np
import pytest
import rasterio

from geofovea.datasets.synthetic.dates import make_dated_world
from geofovea.datasets.synthetic.plants import with_green_roofs
from geofovea.datasets.synthetic.rendering import render_window
from geofovea.datasets.synthetic.roof_questions import ROOF_CATEGORY, ask_roof, ask_roofs
from geofovea.datasets.synthetic.versions import world_of
from geofovea.datasets.synthetic.vocabulary import ROOFS, SHAPES, version_of
from geofovea.datasets.synthetic.wordings import is_of_untaught_kind, is_worded_as_taught
from geofovea.errors import DataError
from geofovea.pipeline.evaluation.synthetic_scenes import write_benchmark, write_one_scene


@pytest.fixture(scope="module")
def world():
    return with_green_roofs(world_of(2, 5, 8192, 8192))


def of_hall(world, site, level=0, **changes):
    """What lies around the hall of a site, with that hall changed, (side, side, 4) as int."""
    changed = replace(site, hall=replace(site.hall, **changes))
    sites = tuple(changed if each is site else each for each in world.sites)
    x, y = (int(middle) >> level for middle in site.hall.box.center)
    half = 64 >> level
    window = (level, x - half, y - half, 2 * half, 2 * half, 4)
    return render_window(replace(world, sites=sites), *window).astype(int)


@pytest.mark.parametrize("level", [0, 1, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_planted_roof_differs_from_a_painted_one_in_near_infrared_alone(world, shape, level):
    site = world.named_sites[0]
    planted, painted = (of_hall(world, site, level, shape=shape, roof=roof) for roof in ROOFS)
    assert np.array_equal(planted[..., :3], painted[..., :3])
    differs = planted[..., 3] != painted[..., 3]
    assert differs.any()
    assert (planted[..., 3] >= painted[..., 3]).all()
    gray = of_hall(world, site, level, shape=shape, roof=None)
    # only the roof is leaves: not what lies around it, and not its shadow
    assert not (differs & (gray[..., :3] == painted[..., :3]).all(-1)).any()


def test_a_planted_roof_is_as_bright_as_a_lawn_and_a_painted_one_as_paint(world):
    for site in world.named_sites:
        planted, painted = (
            of_hall(world, site, shape="circular", roof=roof)[64, 64] for roof in ROOFS
        )
        assert planted[1] > planted[[0, 2]].max()
        assert planted[3] > 1.5 * planted[1]
        assert painted[3] < painted[1]


def test_answers_are_as_the_world_has_them_and_balanced(world):
    roof_of = {site.kind: site.hall.roof for site in world.named_sites}
    questions = ask_roofs(world, 100)
    assert len(questions) == len(roof_of) > 4
    for question in questions:
        kind = question.text.removeprefix("Is the roof of the hall at the ")
        planted = roof_of[kind.removesuffix(" a lawn?")] == "planted"
        assert question.answer == ("yes" if planted else "no")
        assert question.category == ROOF_CATEGORY
        # the model that travels with the package was taught no roofs, so its answers are guesses
        assert is_of_untaught_kind(question.text)
        assert not is_worded_as_taught(question.text)
    fewer = min(list(roof_of.values()).count(roof) for roof in ROOFS)
    some = [question.answer for question in ask_roofs(world, 2 * fewer)]
    assert some.count("yes") == some.count("no") == fewer > 0
    assert ask_roofs(world, 4, seed=1) != ask_roofs(world, 4)


def test_half_of_the_roofs_are_planted():
    sites = [s for n in range(12) for s in with_green_roofs(world_of(2, n, 8192, 8192)).sites]
    share = np.mean([site.hall.roof == "planted" for site in sites])
    assert abs(share - 0.5) < 3 * 0.5 / len(sites) ** 0.5


def test_a_gray_roof_is_no_lawn_and_no_question_of_a_bench():
    world = world_of(2, 5, 4096, 4096)
    assert {site.hall.roof for site in world.sites} == {None}
    assert ask_roofs(world, 100) == []
    assert ask_roof(world.named_sites[0]).answer == "no"


def test_a_roof_is_the_same_at_all_dates():
    first, later = (with_green_roofs(make_dated_world(3, 8192, 8192, n, 2)) for n in (0, 4))
    roofs = {site.box.as_tuple(): site.hall.roof for site in first.sites}
    again = {site.box.as_tuple(): site.hall.roof for site in later.sites}
    both = roofs.keys() & again.keys()
    assert len(both) > 5
    assert all(roofs[box] == again[box] for box in both)


def test_nothing_but_halls_changes():
    plain = world_of(2, 5, 4096, 4096)
    green = with_green_roofs(plain)
    gray = tuple(replace(s, hall=replace(s.hall, roof=None)) for s in green.sites)
    assert replace(green, sites=gray) == plain


def test_green_roofs_need_near_infrared(tmp_path):
    with pytest.raises(DataError, match="version 1 does not have; choose world=2"):
        with_green_roofs(world_of(1, 5, 1024, 1024))
    for bands, version, match in ((3, 2, "need near infrared"), (4, 1, "choose world=2")):
        with pytest.raises(DataError, match=match):
            write_benchmark(tmp_path, 1, 1024, 3, 1, version=version, bands=bands, green_roofs=True)
    assert list(tmp_path.iterdir()) == []


def test_files_say_that_roofs_are_green_and_bring_the_questions(tmp_path):
    path = tmp_path / "a.tif"
    records = write_one_scene(path, 1024, 3, 1, version=2, bands=4, green_roofs=True)
    assert [r.category for r in records].count(ROOF_CATEGORY) == 1
    rows = [json.loads(line) for line in path.with_suffix(".jsonl").read_text().splitlines()]
    assert sum(row["category"] == ROOF_CATEGORY for row in rows) == 1
    with rasterio.open(path) as scene:
        description = scene.tags()["TIFFTAG_IMAGEDESCRIPTION"]
    assert description == "GeoFovea synthetic world, version 2, green roofs, seed 3, 1024 x 1024"
    assert version_of(description) == 2
