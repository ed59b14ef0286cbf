"""Bytes of far-away files: what was read last stays in memory, and near ranges are one request."""

from __future__ import annotations

from dataclasses import replace

from geofovea.errors import SceneNotFoundError, SceneReadError, SceneRefusedError
from geofovea.tiling.machine.lru import LruCache
from geofovea.tiling.remote.client import TRANSIENT, RangeClient
from geofovea.tiling.remote.policy import RemoteObject

__all__ = ["CHUNK_BYTES", "cached_ranges", "probe", "probe_beside"]

CHUNK_BYTES = 16 * 2**10
"""Requests begin and end at multiples of this."""

HEAD_BYTES = 2 * CHUNK_BYTES
"""Asked for at once when a file is found: the directories of most COGs."""

CACHE_BYTES = 32 * 2**20
"""Chunks kept in memory by a process, for all far-away files together."""

GAP_CHUNKS = 1
"""Ranges this near to each other are one request; a round trip costs more than such a gap."""


_cache = LruCache[tuple[str, int], bytes](CACHE_BYTES, len)


def probe(
    remote: RemoteObject, tail_bytes: int, ended: tuple[bytes, ...]
) -> tuple[RemoteObject, bytes, bytes]:
    """Find out what a far-away file is, with one request, or two for formats with an end mark.

    Args:
        remote: What to look at; its size and validators are not known yet.
        tail_bytes: How much of the end to look at, for those formats.
        ended: First bytes of the formats that have an end mark.

    Returns:
        The object with size and validators, its first bytes, and its last bytes or nothing.
    """
    client = RangeClient(remote)
    try:
        reply = client.fetch(0, HEAD_BYTES)
    finally:
        client.close()
    sized = replace(remote, size_bytes=reply.size_bytes, validators=reply.validators)
    _keep(sized, 0, reply.content)
    tail = b""
    if reply.content.startswith(ended):
        tail = cached_ranges(RangeClient(sized), [max(0, sized.size_bytes - tail_bytes)], [])[0]
    return sized, reply.content, tail


def probe_beside(remote: RemoteObject) -> tuple[RemoteObject, bytes] | None:
    """What may be beside a far-away file, and its first bytes; None where the server has none.

    Servers say so in many ways: that it is not found, not allowed, empty, somewhere else, or with a
    page instead.

    Raises:
        SceneReadError: If the server fails.
    """
    client = RangeClient(remote)
    try:
        reply = client.fetch(0, HEAD_BYTES)
    except (SceneNotFoundError, SceneRefusedError):
        return None
    except SceneReadError:
        is_answer = client.status == 200 or 400 <= client.status < 500
        if is_answer and client.status not in TRANSIENT:
            return None
        raise
    finally:
        client.close()
    sized = replace(remote, size_bytes=reply.size_bytes, validators=reply.validators)
    _keep(sized, 0, reply.content)
    return sized, reply.content


def _keep(remote: RemoteObject, first_chunk: int, content: bytes) -> None:
    for start in range(0, len(content), CHUNK_BYTES):
        chunk = content[start : start + CHUNK_BYTES]
        index = first_chunk + start // CHUNK_BYTES
        if len(chunk) == min(CHUNK_BYTES, remote.size_bytes - index * CHUNK_BYTES):
            _cache.put((remote.identity, index), chunk)


def cached_ranges(client: RangeClient, offsets: list[int], sizes: list[int]) -> list[bytes]:
    """Several ranges of a file, from memory where possible, else in as few requests as possible.

    Args:
        client: Of a file whose size is known.
        offsets: Where each range begins.
        sizes: How many bytes each has at most; missing ones reach to the end of the file.

    Returns:
        The bytes of each; fewer than asked for where the file ends.

    Raises:
        SceneError: See ``RangeClient.fetch``.
    """
    remote = client.remote
    spans = []
    for number, offset in enumerate(offsets):
        size = sizes[number] if number < len(sizes) else remote.size_bytes
        spans.append((offset, max(offset, min(offset + size, remote.size_bytes))))
    indexes = sorted(
        {i for a, b in spans for i in range(a // CHUNK_BYTES, -(-b // CHUNK_BYTES) if b > a else 0)}
    )
    # held here too: many ranges at once may be more than the cache keeps
    chunks = {i: chunk for i in indexes if (chunk := _cache.get((remote.identity, i))) is not None}
    for first, last in _runs([i for i in indexes if i not in chunks]):
        reply = client.fetch(first * CHUNK_BYTES, (last + 1) * CHUNK_BYTES)
        _keep(remote, first, reply.content)
        for index in range(first, last + 1):
            start = (index - first) * CHUNK_BYTES
            chunks[index] = reply.content[start : start + CHUNK_BYTES]
    return [_cut_out(chunks, a, b) for a, b in spans]


def _runs(indexes: list[int]) -> list[tuple[int, int]]:
    runs: list[tuple[int, int]] = []
    for index in indexes:
        if runs and index - runs[-1][1] <= 1 + GAP_CHUNKS:
            runs[-1] = (runs[-1][0], index)
        else:
            runs.append((index, index))
    return runs


def _cut_out(chunks: dict[int, bytes], start: int, stop: int) -> bytes:
    if stop <= start:
        return b""
    first, last = start // CHUNK_BYTES, (stop - 1) // CHUNK_BYTES
    joined = b"".join(chunks[i] for i in range(first, last + 1))
    return joined[start - first * CHUNK_BYTES : stop - first * CHUNK_BYTES]
