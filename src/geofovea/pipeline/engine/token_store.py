"""Encoded tiles on disk, for the next session: found again by all that they depend on."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from geofovea.pipeline.engine.tile_files import TileFiles
from geofovea.pipeline.engine.token_store_upkeep import folder_of_tokens, tokens_limit_bytes
from geofovea.pipeline.hosts.base import Host, SupportsFingerprint
from geofovea.regionfocus.reductions.tile_signals import TileSignals, signal_bytes
from geofovea.tiling.overviews.level_files import level_files_of
from geofovea.tiling.pyramid import Tile
from geofovea.tiling.reader import TileReader

__all__ = ["TokenEntry", "TokenStore", "store_of_tokens"]

_FORMAT = 3  # counts up when the same tile gives another file


class TokenStore(TileFiles):
    """The encoded tiles of one scene for one encoder."""

    what = "encoded tiles"

    def __init__(
        self, folder: Path, scene: str, model: str, device: torch.device, limit_bytes: int
    ) -> None:
        """Look at nothing yet.

        Args:
            folder: Its name stands for all that the tokens depend on besides the tile.
            scene: What the record says they are of.
            model: What the record says they are by.
            device: Where tokens are put.
            limit_bytes: How large the files of all scenes may be together.
        """
        super().__init__(folder, {"scene": scene, "model": model}, limit_bytes)
        self.device = device

    def get(self, tile: Tile) -> TokenEntry | None:
        """What is kept of a tile; one that shows nothing has no features. None if none is sound."""
        arrays = self.read(tile)
        if arrays is None or arrays.keys() != {"features", "shown"}:
            return None
        return TokenEntry(arrays["features"].to(self.device), arrays["shown"])

    def put(self, tile: Tile, entry: TokenEntry) -> None:
        """Keep a tile, unless something went wrong before."""
        self.write(tile, {"features": entry.features, "shown": entry.valid})


def store_of_tokens(host: Host, reader: TileReader) -> TokenStore | None:
    """Where the tokens of a scene's tiles are kept on disk for a host.

    Returns:
        None where they cannot be told from others: those of arrays, of far-away scenes, of virtual
        rasters (whose pixels lie in files that nobody stamped), of hosts that cannot be identified.

    Raises:
        OutputError: If the size limit is not a number.
    """
    scene, radiometry = reader.scene, reader.radiometry
    if scene.source.stamp is None or scene.driver == "VRT":
        return None
    identity = host.encoder_identity() if isinstance(host, SupportsFingerprint) else None
    if identity is None:
        return None
    radiometry_values, level_files = asdict(radiometry), level_files_of(scene)
    parts = {
        "format": _FORMAT,
        "encoder": identity.digest,
        "scene": scene.identity,
        "mask": scene.mask_kind,
        "nodata": repr(scene.nodata),
        "level_files": level_files and asdict(level_files),
        "tile_size": reader.pyramid.tile_size,
        "radiometry": {
            k: radiometry_values[k]
            for k in radiometry_values
            if k not in ("reason", "warnings", "composite")
        },
    }
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True, default=repr).encode()).hexdigest()
    return TokenStore(
        folder_of_tokens(digest[:32]),
        scene.source.path,
        host.name,
        identity.device,
        tokens_limit_bytes(),
    )


@dataclass(frozen=True, slots=True, eq=False)
class TokenEntry:
    """What is kept of a tile.

    Attributes:
        features: Its vision tokens (n, d).
        valid: bool (n,), which of them show data.
        signals: What else the encoder showed of it.
        patches: Patches that entered the encoder, where it dropped some.
        patches_left: Those that left it.
    """

    features: Tensor
    valid: Tensor
    signals: TileSignals = field(default_factory=dict)
    patches: int = 0
    patches_left: int = 0

    @property
    def nbytes(self) -> int:
        """Memory that it holds."""
        return self.features.nbytes + signal_bytes(self.signals)

    def on_its_own(self) -> TokenEntry:
        """The same, without the batch of which its features are a slice."""
        return replace(self, features=self.features.clone())
