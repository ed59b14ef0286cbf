"""Keys and values of tiles on disk, beside their tokens, for the next scene memory."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from geofovea.errors import DataError
from geofovea.pipeline.engine.tile_files import TileFiles
from geofovea.pipeline.engine.token_store import TokenStore
from geofovea.pipeline.engine.token_store_upkeep import folder_of_tokens
from geofovea.pipeline.hosts.fingerprint import WeightsDigest
from geofovea.pipeline.inference.memory.serialized import arrays_of_tile, tile_from_arrays
from geofovea.pipeline.inference.memory.stored_prompts import StoredPrompts, StoredTile
from geofovea.regionfocus.cache_policies.base import CachePolicy
from geofovea.tiling.pyramid import Tile

__all__ = ["StateStore", "store_of_states"]

_FORMAT = 3  # goes up when the same tile gives a different file
_DIGESTS: WeakKeyDictionary[Any, WeightsDigest] = WeakKeyDictionary()


class StateStore(TileFiles):
    """What one decoder makes of the tiles of one scene, as one policy stores it."""

    what = "keys and values"

    def __init__(self, folder: Path, tokens: TokenStore, device: Any) -> None:
        """Name the folder; nothing is read yet.

        Args:
            folder: Its name stands for all that the states depend on besides the tile.
            tokens: The stored tokens of the same scene.
            device: Where the decoder runs.
        """
        super().__init__(folder, tokens.record | {"kind": "memory"}, tokens.limit_bytes)
        self._device = device

    def get(self, tile: Tile) -> StoredTile | None:
        """The stored states of a tile, or None if there are none or they are damaged."""
        arrays = self.read(tile)
        try:
            return None if arrays is None else tile_from_arrays(arrays, self._device)
        except DataError:
            return None

    def put(self, tile: Tile, stored: StoredTile) -> None:
        """Keep a tile, unless something went wrong before."""
        self.write(tile, arrays_of_tile(stored))


def store_of_states(
    tokens: TokenStore | None, prompts: StoredPrompts, policy: CachePolicy
) -> StateStore | None:
    """Where keys and values of a scene's tiles are kept on disk.

    Args:
        tokens: Where tokens of its tiles are; states depend on all that these depend on.
        prompts: What makes them.
        policy: How they are stored.

    Returns:
        None where tokens are not kept, or the weights of the decoder cannot be read.
    """
    if tokens is None:
        return None
    weights, about = prompts.described()
    digest = _DIGESTS.setdefault(prompts.decoder, WeightsDigest()).of(weights, about)
    if digest is None:
        return None
    parts = {
        "format": _FORMAT,
        "tokens": tokens.folder.name,
        "decoder": digest,
        "policy": repr(policy),
    }
    name = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]
    return StateStore(folder_of_tokens(name), tokens, prompts.device)
