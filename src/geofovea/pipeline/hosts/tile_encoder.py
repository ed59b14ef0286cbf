"""From the pixels of tiles to vision tokens with their places in the scene."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geofovea.errors import ModelError
from geofovea.pipeline.hosts.families.base import Family
from geofovea.pipeline.hosts.fingerprint import EncoderIdentity, WeightsDigest
from geofovea.pipeline.hosts.scene_positions import SCENE_POSITION_FILE, token_places
from geofovea.pipeline.hosts.settings import HostSettings
from geofovea.pipeline.inference.vision.clip_encoder import ClipEncoder
from geofovea.pipeline.inference.vision.features import TILES_AT_ONCE
from geofovea.pipeline.inference.vision.inputs import EncodePlan
from geofovea.pipeline.inference.vision.outputs import EncodedTiles
from geofovea.pipeline.inference.vision.pixels import Normalization
from geofovea.pipeline.system.device_memory import ShrinkingBatch, enough_memory
from geofovea.tiling.pyramid import Pyramid, Tile

__all__ = ["TileEncoder"]


class TileEncoder:
    """The vision side of a model: its tower and projector, pooled, with places added.

    Attributes:
        grid: ``(rows, columns)`` of the tokens of a tile.
        clip: The same tower entered layer by layer, if it is a CLIP; else None.
        scene_position: Linear map (d, 3) of a token's place, added to the token, or None.
    """

    def __init__(
        self,
        name: str,
        family: Family,
        settings: HostSettings,
        dtype: torch.dtype,
        scene_position: Tensor | None,
    ) -> None:
        """Borrow the tower of a model.

        Args:
            name: Of the model.
            family: How it is driven.
            settings: How it is used.
            dtype: Of the images that it takes.
            scene_position: See above.
        """
        rows, cols = family.grid
        self.grid = (rows // settings.pool, cols // settings.pool)
        self.scene_position = scene_position
        self._name, self._family, self._settings, self._dtype = name, family, settings, dtype
        self._normalization = Normalization(settings.image_mean, settings.image_std)
        self._batch = ShrinkingBatch(TILES_AT_ONCE)
        self._digest = WeightsDigest()
        self.clip = (
            ClipEncoder(family.model, self.grid[0], settings.pool, self._normalization)
            if family.is_clip
            else None
        )

    def encode(self, pixels: NDArray[np.uint8], tiles: Sequence[Tile], pyramid: Pyramid) -> Tensor:
        """Vision tokens (k, rows · columns, d) of tiles uint8 (k, T, T, 3), some at once.

        Raises:
            ModelError: If not even one tile fits into the memory of the device.
        """
        tokens = self._batch.run(
            len(pixels),
            lambda some: self._encode_some(pixels[some]),
            "not even one tile can be encoded; load it with another dtype or use a larger device",
        )
        return self._placed(tokens, tiles, pyramid)

    def encode_planned(
        self, pixels: NDArray[np.uint8], tiles: Sequence[Tile], pyramid: Pyramid, plan: EncodePlan
    ) -> EncodedTiles:
        """See ``SupportsEncoderSignals``.

        Raises:
            ModelError: If the vision tower is not a CLIP, cannot be run layer by layer, or does not
                fit the memory of the device.
        """
        if self.clip is None:
            raise ModelError(
                f"{self._name} shows nothing of its encoder; choose a reduction that reads "
                "features and scores only, such as focus_spread or divprune"
            )
        with enough_memory("choose a reduction that reads features and scores only"):
            encoded = self.clip.encode_planned(pixels, plan)
        return replace(encoded, features=self._placed(encoded.features, tiles, pyramid))

    def _encode_some(self, pixels: NDArray[np.uint8]) -> Tensor:
        """Tokens ``(tiles, rows * cols, d)`` of pixels ``(tiles, side, side, 3)``, pooled."""
        tokens = self._family.encode(
            self._normalization.images(pixels, self._device(), self._dtype)
        )
        (rows, cols), pool = self.grid, self._settings.pool
        width = self._family.decoder.config.hidden_size
        expected = (rows * cols * pool**2, width * (1 + self._family.deep))
        if tokens.shape[1:] != expected:
            raise ModelError(
                f"the encoder of {self._name} makes tokens {tuple(tokens.shape[1:])} of a tile, "
                f"its config.json says {expected}; copy or download it again"
            )
        pooled = tokens.view(len(tokens), rows, pool, cols, pool, -1).mean((2, 4))
        return pooled.flatten(1, 2)

    def _placed(self, tokens: Tensor, tiles: Sequence[Tile], pyramid: Pyramid) -> Tensor:
        """Tokens (k, g², d) with their places in the scene added, where the model knows of any."""
        if self.scene_position is None:
            return tokens
        places = np.stack([token_places(pyramid, tile, self.grid[0]) for tile in tiles])
        placed = torch.from_numpy(places).to(tokens.device) @ self.scene_position.T
        return tokens + placed.to(tokens.dtype)

    def _device(self) -> torch.device:
        """Where images have to be."""
        device: torch.device = next(self._family.vision.parameters()).device
        return device

    def identity(self) -> EncoderIdentity | None:
        """See ``SupportsFingerprint``; weights are read anew where one was changed in place."""
        model, family = self._family.model, self._family
        own = {id(p) for part in (family.decoder, model.lm_head) for p in part.parameters()}
        tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        weights = {name: value for name, value in tensors.items() if id(value) not in own}
        if self.scene_position is not None:
            weights[SCENE_POSITION_FILE] = self.scene_position
        device = self._device()
        about = family.token_settings(self._settings, self.grid)
        about |= {"dtype": str(self._dtype), "device": str(device)}
        digest = self._digest.of(weights, about)
        return None if digest is None else EncoderIdentity(digest, device)
