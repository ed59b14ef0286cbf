"""A scene memory that is filled in advance, and filled further by a later session."""

import pytest
from pipeline_toys import texture

import geofovea as gf
from geofovea.errors import SceneError
from geofovea.pipeline.engine.memory_fill import fill_memory, tiles_of_levels


@pytest.fixture
def half_empty(make_session, make_tiff, tmp_path, monkeypatch):
    """A session with a memory on disk; the upper half of its scene shows nothing."""
    monkeypatch.setenv("GEOFOVEA_CACHE_DIR", str(tmp_path / "cache"))
    pixels = texture(512, 512)
    pixels[:, :256] = 0
    path = make_tiff(pixels, nodata=0)

    def session():
        return make_session(path, cache_tokens=True, memory=gf.MemoryOptions(64))

    return session


def fill(session, limit_bytes=2**26):
    return fill_memory(session.memory, tiles_of_levels(session.pyramid, [0]), limit_bytes)


def test_a_second_fill_runs_and_reads_no_tile_again(half_empty, monkeypatch):
    first = fill(half_empty())
    assert first.made == first.empty == first.tiles // 2 > 0
    later = half_empty()
    monkeypatch.setattr(later.host, "encode", lambda *_: pytest.fail("a tile was encoded again"))
    second = fill(later)
    assert (second.known, second.made, second.empty) == (first.made, 0, first.empty)
    assert second.is_whole


def test_a_scene_that_shows_nothing_is_no_empty_memory(make_session, make_tiff):
    path = make_tiff(texture(300, 300) * 0, nodata=0)
    session = make_session(path, memory=gf.MemoryOptions(64))
    with pytest.raises(SceneError, match="shows no valid pixel"):
        fill(session)


def test_a_fill_ends_where_the_limit_is_and_says_that_more_was_wanted(half_empty):
    session = half_empty()
    whole = fill(session)
    a_tile = whole.nbytes // whole.made
    few = fill(half_empty(), limit_bytes=4 * a_tile + 1)
    assert few.known == 4 < whole.made
    assert few.nbytes <= 4 * a_tile + 1
    assert few.tiles == whole.tiles
    assert not few.is_whole


def test_progress_goes_on_within_a_scene(half_empty):
    session, done = half_empty(), []
    tiles = tiles_of_levels(session.pyramid, [0])
    whole = fill_memory(session.memory, tiles, 2**26, done.append)
    assert len(done) > 2
    assert sorted(set(done)) == done
    assert done[-1] == whole.tiles
