"""Tiles that are read ahead are those that were asked for, in order, and not too many at once."""

import os
import threading
import time

import numpy as np
import pytest

from geofovea.errors import GeometryError, SceneReadError
from geofovea.tiling import Tile, TileReader
from geofovea.tiling.read_ahead import ReadAhead


class Watched(TileReader):
    """A reader that notes which tiles were begun, and on which threads."""

    def __init__(self, reader):
        super().__init__(reader.scene, reader.pyramid, reader.radiometry)
        self.begun, self.read_on, self.lock = [], {}, threading.Lock()

    @property
    def threads(self):
        return set(self.read_on.values())

    def read(self, tile):
        with self.lock:
            self.begun.append(tile)
            self.read_on[tile] = threading.current_thread()
        return super().read(tile)


@pytest.fixture
def reader(make_tiled, texture, reader_of):
    return Watched(reader_of(make_tiled(texture(400, 500), overviews=(2, 4))))


TILE_BYTES = 4 * 64 * 64


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("tiles_in_budget", [1, 2, 5, 1000])
def test_tiles_come_in_order_with_the_pixels_of_the_reader(reader, threads, tiles_in_budget):
    tiles = [tile for level in (2, 0, 1) for tile in reader.pyramid.tiles(level)]
    truth = [TileReader.read(reader, tile) for tile in tiles]
    ahead = ReadAhead(reader, threads=threads, budget_bytes=tiles_in_budget * TILE_BYTES)
    for _ in range(2):
        read = list(ahead.read(tiles))
        assert [pixels.tile for pixels in read] == tiles
        for pixels, true in zip(read, truth, strict=True):
            assert np.array_equal(pixels.rgb, true.rgb)
            assert np.array_equal(pixels.valid, true.valid)
    assert list(ahead.read([])) == []


def test_waiting_tiles_stay_within_the_budget_and_are_read_elsewhere(reader):
    tiles = list(reader.pyramid.tiles(0))
    ahead = ReadAhead(reader, threads=2, budget_bytes=5 * TILE_BYTES)
    taken = 0
    for _ in ahead.read(tiles):
        taken += 1
        deadline = time.monotonic() + 30
        while len(reader.begun) < min(len(tiles), taken + 4) and time.monotonic() < deadline:
            time.sleep(0.001)
        # the one that was taken, and four that wait
        assert len(reader.begun) == min(len(tiles), taken + 4)
    assert taken == len(tiles)
    assert threading.main_thread() not in reader.threads
    assert 1 <= len(reader.threads) <= 2


def test_children_of_one_parent_are_read_by_one_thread_and_parents_by_all(reader):
    # children share decoded blocks, which belong to the handle of a thread
    list(ReadAhead(reader, threads=3).read(reader.pyramid.tiles(0)))
    threads_of = {}
    for tile, thread in reader.read_on.items():
        threads_of.setdefault((tile.row // 2, tile.col // 2), set()).add(thread)
    assert len(threads_of) > 3
    assert all(len(threads) == 1 for threads in threads_of.values())
    assert len(set().union(*threads_of.values())) == 3


@pytest.mark.parametrize(("threads", "used"), [(3, 1), (4, 4)])
def test_children_are_parted_where_there_are_threads_for_each(reader, threads, used):
    children = [Tile(0, row, col) for row in (2, 3) for col in (2, 3)]
    list(ReadAhead(reader, threads=threads).read(children))
    assert len(reader.threads) == used


@pytest.mark.parametrize("tiles_in_budget", [1, 100])
def test_an_error_comes_typed_when_its_tile_would(reader, tiles_in_budget):
    nowhere = Tile(0, 99, 0)
    tiles = [*list(reader.pyramid.tiles(1))[:3], nowhere, Tile(0, 0, 0)]
    read = ReadAhead(reader, budget_bytes=tiles_in_budget * TILE_BYTES).read(tiles)
    assert [next(read).tile for _ in range(3)] == tiles[:3]
    with pytest.raises(GeometryError, match="outside level 0"):
        next(read)
    with pytest.raises(StopIteration):
        next(read)


def test_a_file_that_changes_meanwhile_is_a_read_error(reader):
    read = ReadAhead(reader, budget_bytes=2 * TILE_BYTES).read(reader.pyramid.tiles(0))
    next(read)
    os.utime(reader.scene.path)
    with pytest.raises(SceneReadError, match="open the scene again"):
        list(read)


def test_what_nobody_wants_any_more_is_not_read(reader):
    tiles = list(reader.pyramid.tiles(0))
    ahead = ReadAhead(reader, threads=1, budget_bytes=100 * TILE_BYTES)
    read = ahead.read(tiles)
    next(read)
    read.close()
    assert next(ahead.read(tiles[-2:])).tile == tiles[-2]  # after all that was begun before
    assert len(reader.begun) < len(tiles)


def test_level_files_are_built_on_the_calling_thread(
    make_raster, texture, reader_of, small_counts_as_large
):
    from contextlib import contextmanager

    builders = []

    @contextmanager
    def progress(title):
        builders.append(threading.current_thread())
        yield lambda share: None

    plain = reader_of(make_raster(texture(300, 400)))
    reader = TileReader(plain.scene, plain.pyramid, plain.radiometry, progress=progress)
    assert len(list(ReadAhead(reader).read(reader.pyramid.tiles(1)))) == 12
    assert builders == [threading.main_thread()]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_forked_child_reads_ahead_with_threads_of_its_own(reader):
    ahead, tiles = ReadAhead(reader), list(reader.pyramid.tiles(1))
    truth = [pixels.rgb.sum() for pixels in ahead.read(tiles)]
    child = os.fork()
    if child == 0:
        same = [pixels.rgb.sum() for pixels in ahead.read(tiles)] == truth
        os._exit(0 if same else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_threads_end_with_what_they_read_for(reader):
    ahead = ReadAhead(reader)
    list(ahead.read(reader.pyramid.tiles(1)))
    threads = reader.threads
    assert all(thread.is_alive() for thread in threads)
    del ahead
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads)


@pytest.mark.parametrize("options", [{"threads": 0}, {"budget_bytes": 0}])
def test_impossible_numbers_are_refused(reader, options):
    with pytest.raises(GeometryError, match="at least one"):
        ReadAhead(reader, **options)
