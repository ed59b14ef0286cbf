"""Reads the next tiles on threads while the caller works on earlier ones.

GDAL lets go of Python's lock while it decodes, and each thread has handles of its own, so reads run
beside an encoder on the device or on another core. Decoded blocks belong to a handle, so tiles of
one parent, which share blocks, are read by one thread, unless cores would be idle meanwhile. How
far they run ahead is bounded in bytes.
"""

from __future__ import annotations

import os
import weakref
from collections import deque
from collections.abc import Iterable, Iterator, Sequence, Sized
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import cycle, islice

from geofovea.errors import GeoFoveaError, GeometryError
from geofovea.tiling.machine.cores import usable_cores
from geofovea.tiling.machine.forks import ForkSafeLock
from geofovea.tiling.pyramid import Tile
from geofovea.tiling.reader import TilePixels
from geofovea.tiling.tile_source import TileSource

__all__ = ["READ_AHEAD_BYTES", "ReadAhead"]

READ_AHEAD_BYTES = 32 * 2**20
"""Of tiles that are read and not yet taken, or being read: 74 tiles of 336 pixels."""

_FEWEST_THREADS, _MANY_THREADS, _MOST_THREADS = 2, 4, 8


class ReadAhead:
    """Reads tiles in order, some of them before they are asked for.

    The threads wait between calls, with their files open, until this object is gone.
    """

    def __init__(
        self,
        reader: TileSource,
        *,
        threads: int | None = None,
        budget_bytes: int = READ_AHEAD_BYTES,
    ) -> None:
        """Take a reader; no thread is started before the first read of several tiles.

        Args:
            reader: What reads.
            threads: How many tiles are read at once; by default one for every two cores that this
                process may use, from 2 to 8.
            budget_bytes: Most bytes of tiles in waiting, but always one tile. What GDAL keeps of
                the file is bounded by its own cache.

        Raises:
            GeometryError: If one of the numbers is not positive.
        """
        threads = _threads_at_hand() if threads is None else threads
        if threads < 1 or budget_bytes < 1:
            raise GeometryError(
                f"reading ahead needs at least one thread and one byte, got {threads} and "
                f"{budget_bytes}"
            )
        self._reader = reader
        self._threads = threads
        # three bytes of color and one of validity
        self.depth = max(1, budget_bytes // (4 * reader.pyramid.tile_size**2))
        self._lock = ForkSafeLock()
        self._lanes: tuple[ThreadPoolExecutor, ...] = ()
        self._owner = 0

    def read(self, tiles: Iterable[Tile]) -> Iterator[TilePixels]:
        """Read tiles; they come in the order in which they were asked for.

        Level files that are needed are built on the calling thread, where an interrupt ends them.
        Closing the iterator early gives up what nobody has begun to read.

        Args:
            tiles: Taken from as far as is read ahead.

        Raises:
            GeoFoveaError: What ``TileReader.read`` raises for a tile, when its turn has come; no
                later tile is given then.
        """
        remaining = iter(tiles)
        first = list(islice(remaining, 2))
        if len(first) < 2 or self.depth == 1:
            yield from map(self._reader.read, (*first, *remaining))
            return
        lanes = _Lanes(self._started(), len(tiles) if isinstance(tiles, Sized) else None)
        futures: deque[Future[TilePixels]] = deque()
        try:
            for tile in first:
                futures.append(self._begin(lanes.of(tile), tile))
            while futures:
                # the tile that is taken next counts until it is
                for tile in islice(remaining, self.depth - len(futures)):
                    futures.append(self._begin(lanes.of(tile), tile))
                yield futures.popleft().result()
        finally:
            for future in futures:
                future.cancel()

    def _begin(self, lane: ThreadPoolExecutor, tile: Tile) -> Future[TilePixels]:
        try:
            self._reader.prepare(tile)
        except GeoFoveaError as error:  # kept until its turn has come
            failed: Future[TilePixels] = Future()
            failed.set_exception(error)
            return failed
        return lane.submit(self._reader.read, tile)

    def _started(self) -> tuple[ThreadPoolExecutor, ...]:
        with self._lock:
            # a child of a fork has inherited the lanes without their threads
            if not self._lanes or self._owner != os.getpid():
                self._lanes = tuple(
                    ThreadPoolExecutor(1, f"geofovea-read-{i}") for i in range(self._threads)
                )
                self._owner = os.getpid()
                for lane in self._lanes:
                    weakref.finalize(self, lane.shutdown, wait=False, cancel_futures=True)
            return self._lanes


class _Lanes:
    """Gives tiles to threads in turn, neighbors to one: the children of a parent, or fewer.

    Four children cost 10 ms of CPU on one thread, 15 on two, 21 on four (blocks of 512 pixels), so
    they are parted only where threads are many and tiles are few.
    """

    def __init__(self, lanes: Sequence[ThreadPoolExecutor], count: int | None) -> None:
        self._turns = cycle(lanes)
        self._lane_of: dict[tuple[int, int, int], ThreadPoolExecutor] = {}
        each = 4 if count is None or len(lanes) < _MANY_THREADS else -(-count // len(lanes))
        self._rows, self._cols = (2, 2) if each > 2 else (1, min(2, each))

    def of(self, tile: Tile) -> ThreadPoolExecutor:
        neighbors = (tile.level, tile.row // self._rows, tile.col // self._cols)
        if neighbors not in self._lane_of:
            self._lane_of[neighbors] = next(self._turns)
        return self._lane_of[neighbors]


def _threads_at_hand() -> int:
    return min(_MOST_THREADS, max(_FEWEST_THREADS, usable_cores() // 2))
