"""What is kept of the tiles of one scene on disk, a file a tile, for the next session.

A file is written under a temporary name and moved into place. It carries a checksum, and is used
only if that is right; otherwise it is computed and written again. Trouble with the disk is only a
warning, because everything in these files can be computed again.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from geofovea.errors import OutputError
from geofovea.pipeline.engine.token_store_upkeep import (
    TOKENS_LIMIT_VARIABLE,
    make_room_for_tokens,
    mark_tokens,
    record_of_tokens,
)
from geofovea.pipeline.system.files import make_folder, write_file, write_text
from geofovea.tiling.cache.folder import CACHE_VARIABLE, remove_folder
from geofovea.tiling.cache.ownership import is_believed
from geofovea.tiling.machine.system_errors import reason_of
from geofovea.tiling.pyramid import Tile

__all__ = ["TileFiles"]

_LARGEST_FILE = 256 * 2**20
_CHECK = "check"


class TileFiles:
    """Some arrays for each tile of a scene.

    Attributes:
        folder: Where the files are.
        warning: Why nothing more is written, or None.
    """

    what = "tiles"
    """What the files hold, in messages."""

    def __init__(self, folder: Path, record: Mapping[str, str], limit_bytes: int) -> None:
        """Name the folder; nothing is read yet.

        Args:
            folder: Its name stands for all that the arrays depend on besides the tile.
            record: What a file in the folder says about it, for people who look there.
            limit_bytes: How large the files of all scenes may be together.
        """
        self.folder = folder
        self.warning: str | None = None
        self.record = dict(record)
        self.limit_bytes = limit_bytes
        self._room = 0

    def read(self, tile: Tile) -> dict[str, Tensor] | None:
        """The arrays of a tile by name, or None if there are none or they are damaged."""
        path = self._path(tile)
        try:
            status = path.lstat()
            # a pipe keeps a reader waiting, a device has no end, another user may say anything
            is_file = stat.S_ISREG(status.st_mode) and is_believed(path)
            if not is_file or status.st_size > _LARGEST_FILE:
                return None
            arrays: dict[str, Tensor] = load(path.read_bytes())
            is_sound = torch.equal(arrays.pop(_CHECK), self._check(tile, arrays))
        except (OSError, SafetensorError, KeyError, ValueError, TypeError, RuntimeError):
            return None
        if not is_sound:
            return None
        with suppress(OSError):
            os.utime(path)
        return arrays

    def write(self, tile: Tile, arrays: Mapping[str, Tensor]) -> None:
        """Keep the arrays of a tile, unless something went wrong before."""
        if self.warning is not None:
            return
        # safetensors takes no two arrays that share memory
        own = {name: value.detach().cpu().contiguous().clone() for name, value in arrays.items()}
        content = save(own | {_CHECK: self._check(tile, own)})
        if len(content) > min(self.limit_bytes, _LARGEST_FILE):
            self.warning = (
                f"{self.what} of {len(content) / 1e6:.1f} MB are not kept: a file may take "
                f"{_LARGEST_FILE / 1e6:.0f} MB, and all together {self.limit_bytes / 1e6:.1f} MB; "
                f"set {TOKENS_LIMIT_VARIABLE}"
            )
            return
        try:
            self._write(tile, content)
        except (OutputError, OSError) as error:
            self.warning = (
                f"{self.what} are no longer kept on disk: {reason_of(error)}; {CACHE_VARIABLE} "
                "names the folder of the cache"
            )

    def _write(self, tile: Tile, content: bytes) -> None:
        if len(content) > self._room:
            self._room = make_room_for_tokens(self.limit_bytes, len(content))
        self._room -= len(content)
        record = record_of_tokens(self.folder)
        if not record.exists():
            make_folder(self.folder, private=True)
            mark_tokens(self.folder)
            write_text(record, json.dumps(self.record), private=True)
        path = self._path(tile)
        if path.is_dir() and not path.is_symlink():
            remove_folder(path)
        elif path.is_symlink() or (path.exists() and not path.is_file()):
            path.unlink(missing_ok=True)
        # a tile can be seen in what is made of it: that is for who asked
        write_file(path, lambda aside: aside.write_bytes(content), private=True)

    def _path(self, tile: Tile) -> Path:
        return self.folder / f"{tile.level}_{tile.row}_{tile.col}.safetensors"

    def _check(self, tile: Tile, arrays: Mapping[str, Tensor]) -> Tensor:
        """SHA-256 of a tile's file as bytes, uint8 (32,)."""
        digest = hashlib.sha256(f"{self.folder.name} {tile};".encode())
        for name, value in sorted(arrays.items()):
            digest.update(f"{name} {value.dtype} {tuple(value.shape)};".encode())
            digest.update(value.flatten().view(torch.uint8).numpy().data)
        return torch.frombuffer(bytearray(digest.digest()), dtype=torch.uint8)
