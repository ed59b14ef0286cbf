"""Changes are found where they happened, under budgets, and told as places."""

import json

import numpy as np
import pytest
import rasterio
import shapely

from geofovea.datasets.synthetic.dates import make_dated_world
from geofovea.datasets.synthetic.scene_files import write_scene
from geofovea.errors import BudgetError, QuestionError
from geofovea.pipeline.dates.change_places import (
    SEARCHED_TAIL_SHARE,
    Compared,
    change_scores,
    changed_places,
)
from geofovea.pipeline.dates.session import StackSession
from geofovea.pipeline.dates.stack import make_stack
from geofovea.pipeline.hosts.load import load_host
from geofovea.regionfocus.budget import Budget
from geofovea.tiling import Box, Tile
from geofovea.tiling.geo.region import Region


@pytest.fixture(scope="module")
def embedded():
    return load_host("embedded")


@pytest.fixture(scope="module")
def patched(tmp_path_factory):
    """A plain scene, and the same with one square painted over."""
    folder = tmp_path_factory.mktemp("patched")
    world = make_dated_world(4, 1152, 1152, 0)
    paths = [folder / "before.tif", folder / "after.tif"]
    write_scene(world, paths[0])
    with rasterio.open(paths[0]) as dataset:
        pixels, placed = dataset.read(), {"crs": dataset.crs, "transform": dataset.transform}
    rng = np.random.default_rng(0)
    pixels = np.clip(pixels.astype(int) + rng.integers(-2, 3, pixels.shape), 0, 255)
    pixels[:, 400:480, 900:980] = np.array([220, 30, 200])[:, None, None]
    with rasterio.open(
        paths[1], "w", driver="GTiff", width=1152, height=1152, count=3, dtype="uint8", **placed
    ) as out:
        out.write(pixels.astype(np.uint8))
    return paths


SQUARE = Box(900, 400, 980, 480)


@pytest.fixture(scope="module")
def session(patched, embedded):
    return StackSession(make_stack(patched, ("2024-01-01", "2024-01-02")), embedded)


@pytest.fixture(scope="module")
def swept(session):
    return session.changes()


def test_a_sweep_finds_the_one_place_that_changed_first(swept):
    places = swept
    assert places.coverage.is_complete
    assert places.coverage.mode == "sweep"
    best = places[0]
    assert SQUARE.share_inside(best.box_scene) == 1
    # a token is 32 pixels wide
    assert best.box_scene.area <= 160 * 160
    assert (best.label, best.level) == ("change", 0)
    dates, tiles = 2, 36
    assert places.cost.tiles_encoded == dates * tiles == places.cost.tiles_read
    record = json.loads(json.dumps(places.to_dict()))
    assert record["count"] == len(places)


def test_a_search_finds_it_for_less_and_says_what_it_looked_at(session):
    places = session.changes(budget=Budget(tiles=40, tokens=100))
    assert SQUARE.intersection(places[0].box_scene)
    assert places.cost.tiles_encoded <= 40
    coverage = places.coverage
    assert (coverage.mode, coverage.stopped) == ("search", "tiles")
    assert 0 < coverage.tiles_looked < coverage.tiles_total == 36


# a process always uses more than one MiB, and no time is long enough for a tile
LIMITS = [({"seconds": 1e-9}, "time"), ({"host_ram_mb": 1}, "memory")]


@pytest.mark.parametrize(("limit", "name"), LIMITS, ids=lambda value: str(value))
@pytest.mark.parametrize("tiles", [None, 40], ids=["sweep", "search"])
def test_limits_of_time_and_memory_end_a_comparison_and_are_told(session, limit, name, tiles):
    places = session.changes(tiles=tiles, **limit)
    coverage = places.coverage
    assert coverage.stopped == name
    assert 0 < coverage.tiles_looked < coverage.tiles_total == 36
    assert any(f"the limit of {name} ended" in warning for warning in places.warnings)
    assert places.cost.budget.to_json() | limit == places.cost.budget.to_json()


def test_tiles_of_a_search_that_time_ends_are_compared(session, monkeypatch):
    # the limit is reached once the search is over: what it has read is not thrown away
    monkeypatch.setattr("geofovea.pipeline.dates.changes.limit_reached", lambda *_: "time")
    places = session.changes(tiles=40)
    assert SQUARE.intersection(places[0].box_scene)


@pytest.mark.parametrize(
    ("limits", "name"),
    [({"tokens": 60}, "tokens"), *LIMITS],
    ids=lambda value: str(value),
)
def test_changes_that_a_limit_leaves_unasked_are_told(session, monkeypatch, limits, name):
    if name != "tokens":
        # the sweep itself has all the time and memory it needs
        monkeypatch.setattr("geofovea.pipeline.dates.changes.limit_reached", lambda *_: "")
    trucks = session.changes("truck", **limits)
    assert trucks.cost.tokens_llm <= limits.get("tokens", 0)
    (warning,) = [text for text in trucks.warnings if "without the question" in text]
    assert warning.startswith(f"the limit of {name} left ")


def test_a_budget_that_reaches_no_native_tile_is_refused(session):
    with pytest.raises(BudgetError, match="tiles=2 was spent before a native tile"):
        session.changes(tiles=2)


def test_a_region_alone_is_compared(session):
    beside = session.changes(region=Region(shapely.box(0, 700, 700, 1100)))
    assert not any(SQUARE.intersection(place.box_scene) for place in beside)
    assert beside.coverage.tiles_total < 36


def test_a_few_cells_that_differ_where_no_others_do_are_changes():
    distances = np.array([0.0] * 540 + [1.0, 1.1, 1.2, 1.3] * 9)
    assert change_scores(distances, distances).tolist() == [0] * 540 + [1] * 36


def test_two_pictures_of_one_moment_have_no_change(patched, embedded):
    session = StackSession(
        make_stack((patched[0], patched[0]), ("2024-01-01", "2024-01-02")), embedded
    )
    places = session.changes()
    assert len(places) == 0
    assert places.coverage.is_complete


def test_where_the_data_of_a_date_end_is_no_change(patched, embedded, tmp_path):
    with rasterio.open(patched[1]) as dataset:
        pixels, profile = dataset.read(), dataset.profile
    rows, cols = np.indices(pixels.shape[1:])
    # as the edge of a scene that is turned runs through tokens
    pixels[:, rows > 600 + cols / 2] = 0
    with rasterio.open(tmp_path / "cut.tif", "w", **profile | {"nodata": 0}) as out:
        out.write(pixels)
    paths = (patched[0], tmp_path / "cut.tif")
    places = StackSession(make_stack(paths, ("2024-01-01", "2024-01-02")), embedded).changes()
    edge = shapely.LineString([(0, 600), (1104, 1152)])
    assert SQUARE.share_inside(places[0].box_scene) == 1
    assert [p for p in places if shapely.box(*p.box_scene.as_tuple()).distance(edge) < 64] == []


def test_a_phrase_asks_the_model_at_both_dates(session, swept):
    every = swept
    trucks = session.changes("truck")
    assert trucks.phrase == "truck"
    assert len(trucks) <= len(every)
    assert all(place.label in ("new truck", "gone truck") for place in trucks)
    assert trucks.cost.tokens_llm > 0 == every.cost.tokens_llm
    # the least score is that of what is listed, with a phrase as without one
    more = session.changes("truck", min_score=1e-6)
    assert len(more) > len(trucks)
    assert [p for p in more if p.score >= 0.5] == list(trucks)


@pytest.mark.parametrize("score", [0, 1, -1, 2])
def test_a_score_that_is_no_share_is_refused(session, score):
    with pytest.raises(QuestionError, match="min_score="):
        session.changes(min_score=score)


def test_a_budget_of_one_tile_is_refused(session):
    with pytest.raises(BudgetError, match="2 dates share the budget"):
        session.changes(budget=Budget(tiles=1))


@pytest.mark.parametrize("phrase", ["", "  ", "?"])
def test_a_phrase_without_a_word_is_refused(session, phrase):
    with pytest.raises(QuestionError):
        session.changes(phrase)


def row_of_cells(count, high=()):
    """Cells side by side, twelve a tile: distances that rise a little, and some that stand out."""
    boxes = np.array([[32 * i, 0, 32 * i + 32, 32] for i in range(count)], dtype=float)
    distances = 1 + 0.01 * np.arange(count)
    distances[list(high)] = 90
    return boxes, distances, [Tile(0, 0, i // 12) for i in range(count)]


def test_cells_that_touch_across_a_seam_are_one_place():
    compared = Compared()
    compared.add(*row_of_cells(60, high=(11, 12, 20)))
    places = changed_places(compared, 0.97)
    assert [place.box_scene.as_tuple() for place in places] == [
        (352, 0, 416, 32),
        (640, 0, 672, 32),
    ]
    assert places[0].evidence == (Tile(0, 0, 0), Tile(0, 0, 1))


def test_of_cells_that_a_search_was_led_to_more_may_have_changed():
    compared = Compared()
    compared.add(*row_of_cells(240, high=range(48)))
    assert changed_places(compared, 0.99) == []
    found = changed_places(compared, 0.99, tail=SEARCHED_TAIL_SHARE)
    assert [place.box_scene.as_tuple() for place in found] == [(0, 0, 48 * 32, 32)]


def test_the_halo_of_a_change_in_its_tile_is_no_place_of_its_own():
    compared = Compared()
    boxes, distances, tiles = row_of_cells(60, high=(2,))
    distances[[8, 30]] = 15
    compared.add(boxes, distances, tiles)
    found = [place.box_scene.x0 / 32 for place in changed_places(compared, 0.99)]
    assert found == [2, 30]


@pytest.mark.parametrize("cells", [400, 4000])
@pytest.mark.parametrize(
    ("spreads", "score", "most"),
    [([1.0], 0.9, 0.1), ([1.0, 2.0, 4.0], 0.99, 0.1)],
    ids=["one material", "three materials, whose tails together are longer"],
)
def test_few_scenes_without_a_change_list_one_whatever_their_size(cells, spreads, score, most):
    rng = np.random.default_rng(1)
    lists = []
    for _ in range(200):
        distances = rng.choice(spreads, cells) * rng.exponential(size=cells)
        lists.append(change_scores(distances, distances).max() >= score)
    assert np.mean(lists) <= most


def test_changes_of_many_cells_do_not_hide_each_other():
    rng = np.random.default_rng(2)
    distances = rng.exponential(size=2000)
    distances[:120] += 60
    scores = change_scores(distances, distances)
    assert (scores[:120] >= 0.99).all()
    assert not (scores[120:] >= 0.99).any()


def test_a_search_is_held_to_the_size_of_the_scene_that_it_searched():
    numbers = np.random.default_rng(3).exponential(size=300)
    alone = change_scores(np.array([12.0]), numbers)
    among = change_scores(np.array([12.0]), numbers, family=1_000_000)
    assert among[0] < 0.5 < alone[0]


def test_without_any_difference_nothing_is_a_change():
    assert not change_scores(np.ones(5), np.ones(5)).any()


def test_tiles_that_the_border_cuts_are_judged_among_themselves():
    rng = np.random.default_rng(4)
    numbers = np.concatenate([rng.exponential(size=1200), 30 * rng.exponential(size=120)])
    boxes = np.array([[64 * i, 0, 64 * i + 32, 32] for i in range(1320)], dtype=float)
    tiles = [Tile(0, 0, i // 12) for i in range(1320)]
    pooled, parted = Compared(), Compared(cut=set(tiles[1200:]))
    for compared in (pooled, parted):
        compared.add(boxes, numbers, tiles)
    assert changed_places(pooled, 0.99)
    assert not changed_places(parted, 0.99)
