"""A stored tile as arrays with names, and back: what a file on disk can hold.

A record in JSON says how the arrays belong together. It names classes of this list and nothing
else, so that reading a file makes tensors and numbers and runs nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from geofovea.errors import DataError
from geofovea.pipeline.inference.memory.stored_prompts import StoredTile
from geofovea.pipeline.inference.memory.tile_states import TileStates, WordStates
from geofovea.regionfocus.cache_policies.base import ExactEntries
from geofovea.regionfocus.cache_policies.plain import GroupedEntries
from geofovea.regionfocus.cache_policies.quantizers import EvenCodes, SignCodes
from geofovea.regionfocus.cache_policies.vidkv import TransformedEntries
from geofovea.regionfocus.cache_policies.zipcache import CodedPart, MixedEntries

__all__ = ["arrays_of_tile", "tile_from_arrays"]

_CLASSES: dict[str, Any] = {
    kind.__name__: kind
    for kind in (
        StoredTile,
        TileStates,
        WordStates,
        ExactEntries,
        GroupedEntries,
        MixedEntries,
        CodedPart,
        TransformedEntries,
        EvenCodes,
        SignCodes,
    )
}
_RECORD = "record"


def arrays_of_tile(tile: StoredTile) -> dict[str, Tensor]:
    """All that a stored tile is made of, by name.

    Arrays of one type and shape, such as those of all layers, are stacked: a file of few arrays is
    read in less time.
    """
    alike: dict[Any, list[Tensor]] = {}
    record = json.dumps(_described(tile, alike)).encode()
    arrays = {str(i): torch.stack(each) for i, each in enumerate(alike.values())}
    return arrays | {_RECORD: torch.tensor(list(record), dtype=torch.uint8)}


def tile_from_arrays(arrays: Mapping[str, Tensor], device: torch.device) -> StoredTile:
    """What `arrays_of_tile` took apart.

    Args:
        arrays: By name, on the host.
        device: Where keys and values are put; what says which tokens they are of stays here.

    Raises:
        DataError: If they are something else.
    """
    try:
        record = _record(arrays[_RECORD].numpy().tobytes())
        own = {name: each.to(device) for name, each in arrays.items() if name != _RECORD}
        tile = _restored(record, own)
        if not isinstance(tile, StoredTile) or len(tile.cells) != tile.states.count:
            raise ValueError("they are no tile, or not all of it")
        return StoredTile(tile.cells.cpu(), tile.states)
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise DataError(f"the arrays of a stored tile do not belong together: {error}") from error


@lru_cache(maxsize=16)
def _record(content: bytes) -> Any:
    """What a record says; tiles of one scene say the same, and nothing changes it."""
    return json.loads(content)


def _described(value: Any, alike: dict[Any, list[Tensor]]) -> Any:
    if isinstance(value, Tensor):
        stack = alike.setdefault((value.dtype, value.shape), [])
        stack.append(value)
        number = list(alike).index((value.dtype, value.shape))
        return {"array": str(number), "at": len(stack) - 1}
    if isinstance(value, tuple):
        return [_described(each, alike) for each in value]
    if is_dataclass(value):
        parts = {one.name: _described(getattr(value, one.name), alike) for one in fields(value)}
        return {"class": type(value).__name__, "parts": parts}
    return value


def _restored(node: Any, arrays: Mapping[str, Tensor]) -> Any:
    if isinstance(node, list):
        return tuple(_restored(each, arrays) for each in node)
    if not isinstance(node, dict):
        return node
    if "array" in node:
        return arrays[node["array"]][node["at"]]
    parts = {name: _restored(part, arrays) for name, part in node["parts"].items()}
    return _CLASSES[node["class"]](**parts)
