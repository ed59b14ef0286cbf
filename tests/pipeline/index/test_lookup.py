"""A lookup gives what a full comparison of all vectors gives."""

import numpy as np
import pytest

from geofovea.pipeline.index.indexed_scene import IndexedScene
from geofovea.pipeline.index.lookup import look_up
from geofovea.pipeline.index.part import Part, PartName
from geofovea.pipeline.index.settings import IndexSettings
from geofovea.pipeline.index.store import IndexStore
from geofovea.pipeline.index.vectors import stored_vectors
from geofovea.tiling.pyramid import Tile

DIMENSION, SCENES = 64, 8
RNG = np.random.default_rng(11)


def unit(*shape):
    vectors = RNG.normal(size=(*shape, DIMENSION)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


@pytest.fixture(scope="module", params=["int8", "float16"])
def archive(request, tmp_path_factory):
    """Eight scenes of 10 × 5 tiles in parts of 20 tiles, and their vectors in full."""
    settings = IndexSettings("clip", "f00d", DIMENSION, 32, request.param)
    store = IndexStore.create(tmp_path_factory.mktemp("index"), settings)
    vectors = {}
    for number in range(SCENES):
        scene, _ = store.begin(IndexedScene(f"/data/{number}.tif", "", 320, 160, 32, (0,)))
        vectors[scene] = unit(50)
        for start, count in ((0, 20), (20, 20), (40, 10)):
            rows = vectors[scene][start : start + count]
            shown = np.full(count, 255, np.uint8)
            lonlat = np.full((count, 2), np.nan)
            stored = stored_vectors(rows, request.param)
            store.write(scene, Part(PartName(0, start, count), stored, shown, lonlat))
    return store, vectors


def test_scenes_and_tiles_are_those_of_the_full_comparison(archive):
    store, vectors = archive
    for query in unit(20):
        cosines = {scene: rows @ query for scene, rows in vectors.items()}
        lookup = look_up(store, query, list(vectors), most_scenes=SCENES, tiles_per_scene=1)
        every = np.concatenate(list(cosines.values()))
        assert lookup.tiles == 50 * SCENES
        assert lookup.mean == pytest.approx(every.mean(), abs=1e-3)
        assert lookup.deviation == pytest.approx(every.std(), rel=1e-2)
        values = [each.cosine for each in lookup.scenes]
        assert values == sorted(values, reverse=True)
        for each in lookup.scenes:
            assert each.cosine == pytest.approx(cosines[each.scene].max(), abs=4e-3)


def test_recall_beside_the_full_comparison_is_high(archive):
    store, vectors = archive
    recalls = []
    for query in unit(20):
        lookup = look_up(store, query, list(vectors), most_scenes=SCENES, tiles_per_scene=10)
        for each in lookup.scenes:
            best = np.argsort(-(vectors[each.scene] @ query))[:10]
            expected = {Tile(0, *divmod(int(place), 10)) for place in best}
            recalls.append(len(expected & {hit.tile for hit in each.hits}) / 10)
    assert np.mean(recalls) > 0.97


def test_a_vector_of_the_index_is_its_own_best_tile(archive):
    store, vectors = archive
    for scene, rows in vectors.items():
        (best, *_) = look_up(store, rows[37], list(vectors)).scenes
        assert best.scene == scene
        assert best.hits[0].tile == Tile(0, 3, 7)
        assert best.hits[0].box_scene.as_tuple() == (224, 96, 256, 128)
        assert best.hits[0].cosine == pytest.approx(1, abs=4e-3)
        assert best.hits[0].lonlat is None


def test_tiles_of_two_levels_do_not_name_one_place_twice(tmp_path):
    store = IndexStore.create(tmp_path / "index", IndexSettings("clip", "f00d", DIMENSION, 32))
    scene, _ = store.begin(IndexedScene("/a.tif", "", 128, 128, 32, (0, 1, 2)))
    query, other = unit(2)
    # the parent of the best tile is nearly as like as the tile
    by_level = {0: [query] + [other] * 15, 1: [query * 0.99] + [other] * 3, 2: [other]}
    for level, rows in by_level.items():
        count = len(rows)
        stored = stored_vectors(np.stack(rows), "float16")
        shown = np.full(count, 255, np.uint8)
        shown[-1] = 0
        part = Part(PartName(level, 0, count), stored, shown, np.zeros((count, 2)))
        store.write(scene, part)
    (only,) = look_up(store, query, [scene], tiles_per_scene=2).scenes
    assert only.hits[0].tile == Tile(0, 0, 0)
    assert only.hits[0].lonlat == (0.0, 0.0)
    assert only.hits[1].cosine < 0.9
    (coarse,) = look_up(store, query, [scene], tiles_per_scene=1, levels=[1]).scenes
    assert coarse.hits[0].tile == Tile(1, 0, 0)
    # what shows nothing is compared with nothing
    assert look_up(store, query, [scene], levels=[2]).scenes == ()
    assert look_up(store, query, [scene]).tiles == 15 + 3
