"""From pixels to projected tokens, with a LLaVA of stock classes: whole with signals, or pruned."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geofovea.errors import ModelError
from geofovea.pipeline.inference.vision.clip_pruning import encode_pruned
from geofovea.pipeline.inference.vision.clip_signals import SignalRecorder, pooled_mean, recording
from geofovea.pipeline.inference.vision.features import TILES_AT_ONCE, tower_features
from geofovea.pipeline.inference.vision.inputs import EncodePlan
from geofovea.pipeline.inference.vision.outputs import EncodedTiles
from geofovea.pipeline.inference.vision.pixels import Normalization
from geofovea.regionfocus.reductions.primitives.outputs import group_means
from geofovea.regionfocus.reductions.tile_signals import TileSignals

__all__ = ["ClipEncoder"]


class ClipEncoder:
    """Vision tower and projector of a ``LlavaForConditionalGeneration``."""

    def __init__(self, model: Any, side: int, pool: int, colors: Normalization) -> None:
        """Borrow the parts of a model in evaluation mode.

        Args:
            model: The model.
            side: Tokens along a side of a tile.
            pool: Projected tokens are averaged ``pool × pool``.
            colors: What the tower expects of them.
        """
        self._model = model
        self._side, self._pool = side, pool
        self._colors = colors
        self._layer: int = model.config.vision_feature_layer

    def encode_planned(self, pixels: NDArray[np.uint8], plan: EncodePlan) -> EncodedTiles:
        """Tiles uint8 (k, T, T, 3), with signals, or with patches dropped on the way.

        A bounded number of tiles is encoded at once.

        Raises:
            ModelError: If the vision tower cannot be run layer by layer.
        """
        if plan.reduction is not None:
            return self._encode_pruned(pixels, plan)
        tower = self._model.model.vision_tower
        features, signals = [], []
        for some in _batches(pixels):
            recorder = SignalRecorder(plan.signals, self._side, self._pool, self._layers_run() - 1)
            with recording(tower, recorder):
                patches = self._run(some)
            recorder.show_hidden(patches)
            features.append(self._project(patches))
            signals += recorder.tiles(len(some))
        tokens = torch.cat(features)
        count, n = len(tokens), self._side * self._pool
        present = np.ones(tokens.shape[:2], np.bool_)
        return EncodedTiles(tokens, present, tuple(signals), n * n, (n * n,) * count)

    def _encode_pruned(self, pixels: NDArray[np.uint8], plan: EncodePlan) -> EncodedTiles:
        """A token is the mean of what is left of its patches; where nothing is, there is none."""
        tower, side = self._model.model.vision_tower, self._side * self._pool
        k = max(1, int(plan.share * side * side + 0.5))
        features, present, patch_counts = [], [], []
        for some in _batches(pixels):
            for image in encode_pruned(tower, self._images(some), plan.reduction, k, self._layer):
                projected = self._model.model.multi_modal_projector(image.features)
                row, col = image.positions // side, image.positions % side
                cells = row // self._pool * self._side + col // self._pool
                tokens = group_means(projected, cells, self._side**2).to(projected.dtype)
                features.append(tokens)
                present.append(torch.bincount(cells, minlength=self._side**2).numpy() > 0)
                patch_counts.append(len(image.positions))
        signals: tuple[TileSignals, ...] = ({},) * len(patch_counts)
        stacked = torch.stack(features)
        return EncodedTiles(stacked, np.stack(present), signals, side * side, tuple(patch_counts))

    def _run(self, pixels: NDArray[np.uint8]) -> Tensor:
        """Patches (b, patches, d) of the feature layer, without the class token."""
        tower = self._model.model.vision_tower
        return tower_features(tower, self._images(pixels), (self._layer,), has_class_token=True)

    def _project(self, patches: Tensor) -> Tensor:
        tokens: Tensor = self._model.model.multi_modal_projector(patches)
        return pooled_mean(tokens, self._side, self._pool)

    def _images(self, pixels: NDArray[np.uint8]) -> Tensor:
        device = next(self._model.model.vision_tower.parameters()).device
        return self._colors.images(pixels, device, self._model.dtype)

    def _layers_run(self) -> int:
        """Encoder layers up to the feature layer."""
        depth = self._model.config.vision_config.num_hidden_layers
        count = self._layer if self._layer >= 0 else depth + 1 + self._layer
        if count < 1:
            raise ModelError(
                "this model's tokens are embeddings of pixels, which no encoder layer has seen: "
                "choose a reduction that reads features and scores only, such as divprune"
            )
        return int(count)


def _batches(pixels: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    return [pixels[i : i + TILES_AT_ONCE] for i in range(0, len(pixels), TILES_AT_ONCE)]
