"""The demo model's encoder fills an index that leads to what words name, and says its limits."""

from pathlib import Path

import numpy as np
import pytest
import rasterio

import geofovea as gf
from geofovea.datasets.synthetic.scene_files import write_scene
from geofovea.datasets.synthetic.vocabulary import SITES, THINGS
from geofovea.datasets.synthetic.world import make_world

SIDE, SEEDS = 1024, range(977_001, 977_009)
BEYOND = "learned synthetic scenes alone"


@pytest.fixture(scope="module")
def worlds():
    return [make_world(seed, SIDE, SIDE) for seed in SEEDS]


@pytest.fixture(scope="module")
def archive(worlds, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("archive")
    for world in worlds:
        write_scene(world, folder / f"{world.seed}.tif")
    return folder


@pytest.fixture(scope="module")
def index(archive, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("index")
    assert gf.build_index(folder, archive, encoder="embedded").is_whole
    return folder


def test_scenes_with_a_named_site_come_first(worlds, index):
    rank_of_first_false, there = [], 0
    for site in SITES:
        holders = {f"{w.seed}.tif" for w in worlds if any(s.kind == site for s in w.sites)}
        if not 0 < len(holders) < len(worlds):
            continue
        ranked = [
            Path(each.scene.name).name for each in gf.search_index(index, site, tiles=1).scenes
        ]
        first_false = next(i for i, name in enumerate(ranked) if name not in holders)
        rank_of_first_false.append(first_false == len(holders))
        there += 1
    assert there >= 5
    # every site of every scene before all scenes without it, with one exception at most
    assert sum(rank_of_first_false) >= there - 1


def test_the_best_tile_shows_the_thing_that_is_named(worlds, index):
    boxes = {
        (f"{w.seed}.tif", thing.kind): []
        for w in worlds
        for site in w.sites
        for thing in site.things
    }
    for world in worlds:
        for site in world.sites:
            for thing in site.things:
                boxes[f"{world.seed}.tif", thing.kind].append(thing.box)
    right = 0
    for kind in THINGS:
        best = gf.search_index(index, kind, scenes=1, tiles=1).scenes[0]
        shown = boxes.get((Path(best.scene.name).name, kind), [])
        right += any(box.share_inside(best.hits[0].box_scene) > 0.3 for box in shown)
    assert right >= len(THINGS) - 1


def test_a_search_says_that_other_scenes_and_unknown_words_mean_nothing_to_it(index):
    warnings = gf.search_index(index, "giraffe truck").warnings
    assert any(BEYOND in warning for warning in warnings)
    assert any("does not know the word giraffe" in warning for warning in warnings)


@pytest.mark.parametrize("phrase", ["zebra crossing", "the", "at a"])
def test_a_phrase_without_a_known_word_is_refused(index, phrase):
    with pytest.raises(gf.QuestionError, match=f"knows none of the words '{phrase}'"):
        gf.search_index(index, phrase)


@pytest.mark.parametrize(
    "phrase",
    ["depots", '"depot"', "DEPOT?", "\u201cDepots\u201d", "de\u200bpot", "depot\x1b", "(depot)"],
)
def test_a_name_is_found_however_it_is_written(index, phrase):
    plain, written = (gf.search_index(index, each) for each in ("depot", phrase))
    assert [each.cosine for each in written.scenes] == [each.cosine for each in plain.scenes]
    assert not any("does not know" in warning for warning in written.warnings)


def test_find_is_led_by_the_index_and_warns_of_a_scene_beyond_it(archive, index, tmp_path):
    path = sorted(archive.iterdir())[0]
    places = gf.open(path, index=index).find("truck", tiles=8)
    assert places.cost.tiles_indexed
    assert not any(BEYOND in warning for warning in places.warnings)
    other = tmp_path / "other.tif"
    pixels = np.random.default_rng(0).integers(0, 256, (3, 512, 512), np.uint8)
    profile = {"driver": "GTiff", "width": 512, "height": 512, "count": 3, "dtype": "uint8"}
    with rasterio.open(other, "w", **profile) as file:
        file.write(pixels)
    session = gf.open(other, model="embedded")
    answer = session.ask(
        "What color is the truck at the depot?", focus="similarity", focus_model="embedded"
    )
    assert any(BEYOND in warning for warning in answer.warnings)
