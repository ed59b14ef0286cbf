"""Encoded tiles on disk, for the next session: found again by all that they depend on.

A file is one tile. It is written aside and moved into place, carries a checksum, and is believed
only if that is right; anything else is encoded again and written over. What goes wrong with the
disk is a warning: tokens can always be made anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from geofovea.errors import OutputError
from geofovea.pipeline.engine.token_store_upkeep import (
    folder_of_tokens,
    make_room_for_tokens,
    mark_tokens,
    record_of_tokens,
    tokens_limit_bytes,
)
from geofovea.pipeline.hosts.base import Host, SupportsFingerprint
from geofovea.pipeline.system.files import make_folder, write_file, write_text
from geofovea.regionfocus.reductions.tile_signals import TileSignals, signal_bytes
from geofovea.tiling.cache.folder import remove_folder
from geofovea.tiling.cache.ownership import is_believed
from geofovea.tiling.overviews.level_files import level_files_of
from geofovea.tiling.pyramid import Tile
from geofovea.tiling.reader import TileReader

__all__ = ["TokenEntry", "TokenStore", "store_of_tokens"]

_FORMAT = 1  # counts up when the same tile gives another file
_LARGEST_FILE = 256 * 2**20


class TokenStore:
    """The encoded tiles of one scene for one encoder.

    Attributes:
        folder: Where they lie.
        warning: Why no more is written, or None.
    """

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
        self.folder = folder
        self.warning: str | None = None
        self._record = {"scene": scene, "model": model}
        self._device = device
        self._limit = limit_bytes
        self._room = 0

    def get(self, tile: Tile) -> TokenEntry | None:
        """What is kept of a tile; one that shows nothing has no features. None if none is sound."""
        path = self._path(tile)
        try:
            status = path.lstat()
            # a pipe keeps a reader waiting, a device has no end, another user may say anything
            is_file = stat.S_ISREG(status.st_mode) and is_believed(path)
            if not is_file or status.st_size > _LARGEST_FILE:
                return None
            arrays = load(path.read_bytes())
            features, valid = arrays["features"], arrays["shown"]
            is_sound = torch.equal(arrays["check"], self._check(tile, features, valid))
        except (OSError, SafetensorError, KeyError, ValueError, TypeError, RuntimeError):
            return None
        if not is_sound:
            return None
        with suppress(OSError):
            os.utime(path)
        return TokenEntry(features.to(self._device), valid)

    def put(self, tile: Tile, entry: TokenEntry) -> None:
        """Keep a tile, unless something went wrong before."""
        if self.warning is not None:
            return
        features = entry.features.detach().cpu().contiguous()
        valid = entry.valid.cpu()
        check = self._check(tile, features, valid)
        content = save({"features": features, "shown": valid, "check": check})
        if len(content) > self._limit:
            self.warning = (
                f"encoded tiles of {len(content) / 1e6:.1f} MB are not kept: all together may take "
                f"{self._limit / 1e6:.1f} MB; set GEOFOVEA_TOKENS_GB"
            )
            return
        try:
            self._write(tile, content)
        except (OutputError, OSError) as error:
            self.warning = f"encoded tiles are no longer kept on disk: {error}"

    def _write(self, tile: Tile, content: bytes) -> None:
        if len(content) > self._room:
            self._room = make_room_for_tokens(self._limit, len(content))
        self._room -= len(content)
        record = record_of_tokens(self.folder)
        if not record.exists():
            make_folder(self.folder, private=True)
            mark_tokens(self.folder)
            write_text(record, json.dumps(self._record), private=True)
        path = self._path(tile)
        if path.is_dir() and not path.is_symlink():
            remove_folder(path)
        elif path.is_symlink() or (path.exists() and not path.is_file()):
            path.unlink(missing_ok=True)
        # a tile can be seen in its tokens: they are for who asked
        write_file(path, lambda aside: aside.write_bytes(content), private=True)

    def _path(self, tile: Tile) -> Path:
        return self.folder / f"{tile.level}_{tile.row}_{tile.col}.safetensors"

    def _check(self, tile: Tile, features: Tensor, valid: Tensor) -> Tensor:
        """SHA-256 of a tile's file as bytes, uint8 (32,)."""
        header = f"{self.folder.name} {tile} {features.dtype} {tuple(features.shape)};"
        digest = hashlib.sha256(header.encode())
        for part in (features, valid):
            digest.update(part.flatten().view(torch.uint8).numpy().tobytes())
        return torch.tensor(list(digest.digest()), dtype=torch.uint8)


def store_of_tokens(host: Host, reader: TileReader) -> TokenStore | None:
    """Where the tokens of a scene's tiles are kept on disk for a host.

    Returns:
        None where they cannot be told from others: those of arrays, of far-away scenes, of virtual
        rasters (whose pixels lie in files that nobody stamped), of hosts that cannot be identified.

    Raises:
        OutputError: If the size limit is no number.
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
