"""From pixels to projected tokens: plainly, heard, or pruned on the way."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geofovea.errors import ModelError
from geofovea.pipeline.clip_signals import CLIP_SIGNALS, Listener, listening, pooled_mean
from geofovea.pipeline.device_memory import ShrinkingBatch
from geofovea.pipeline.encode_plan import EncodedTiles, EncodePlan
from geofovea.pipeline.encoder_pruning import encode_pruned
from geofovea.pipeline.family import Family
from geofovea.pipeline.host_settings import HostSettings
from geofovea.pipeline.llava_families import LlavaFamily
from geofovea.regionfocus.reductions.outputs import group_means
from geofovea.regionfocus.reductions.tile_signals import TileSignals

__all__ = ["VisionPart"]

_TILES_AT_ONCE = 16
_ADVICE = "not even one tile can be encoded; load it with another dtype or use a larger device"


class VisionPart:
    """Vision tower and projector of a model, with pooling behind them.

    Attributes:
        signals: What it can show of itself beside its tokens.
        stages: ``encoder_layer`` if tokens can be dropped inside.
    """

    def __init__(self, family: Family, settings: HostSettings, side: int) -> None:
        """Borrow the parts of a model in evaluation mode.

        Args:
            family: The model.
            settings: How to use it.
            side: Tokens along a side of a tile, after pooling.
        """
        self._family = family
        self._side, self._pool = side, settings.pool
        as_pixels = {"device": next(family.vision.parameters()).device, "dtype": torch.float32}
        self._mean = torch.tensor(settings.image_mean, **as_pixels) * 255
        self._std = torch.tensor(settings.image_std, **as_pixels) * 255
        self._dtype = family.model.get_input_embeddings().weight.dtype
        self._batch = ShrinkingBatch(_TILES_AT_ONCE)
        # other towers have no class token, or pool: what is heard would be of other tokens
        is_open = isinstance(family, LlavaFamily) and family.is_clip
        self.signals = CLIP_SIGNALS if is_open else frozenset()
        self.stages = frozenset({"encoder_layer"} if is_open else set())

    def encode(self, pixels: NDArray[np.uint8]) -> Tensor:
        """Tokens (k, side², d) of tiles uint8 (k, T, T, 3), a bounded number at once.

        Raises:
            ModelError: If not even one tile fits into the memory of the device.
        """

        def work(some: slice) -> Tensor:
            return self._pooled(self._family.encode(self._images(pixels[some])))

        return self._batch.run(len(pixels), work, _ADVICE)

    def encode_planned(self, pixels: NDArray[np.uint8], plan: EncodePlan) -> EncodedTiles:
        """The same as planned: with signals, or with patches dropped on the way.

        Raises:
            ModelError: If the vision tower cannot be heard or run layer by layer.
        """
        family = self._family
        if not isinstance(family, LlavaFamily) or not family.is_clip:
            raise ModelError(
                f"the vision tower of a {family.model_type} is no CLIP and shows nothing; choose "
                " a reduction that reads features and scores only, such as divprune"
            )
        if plan.reduction is not None:
            return self._encode_pruned(family, pixels, plan)
        signals: list[TileSignals] = []

        def work(some: slice) -> Tensor:
            listener = Listener(plan.signals, self._side, self._pool, family.layers_run() - 1)
            with listening(family.vision, listener):
                patches = family.patches(self._images(pixels[some]))
            listener.show_hidden(patches)
            tokens = self._pooled(family.project(patches))
            signals.extend(listener.tiles(len(tokens)))
            return tokens

        tokens = self._batch.run(len(pixels), work, _ADVICE)
        count, n = len(tokens), self._side * self._pool
        present = np.ones(tokens.shape[:2], np.bool_)
        return EncodedTiles(tokens, present, tuple(signals), n * n, (n * n,) * count)

    def _encode_pruned(
        self, family: LlavaFamily, pixels: NDArray[np.uint8], plan: EncodePlan
    ) -> EncodedTiles:
        """A token is the mean of what is left of its patches; where nothing is, there is none."""
        side = self._side * self._pool
        k = max(1, int(plan.share * side * side + 0.5))
        present: list[NDArray[np.bool_]] = []
        left: list[int] = []

        def work(some: slice) -> Tensor:
            features, shown, lengths = [], [], []
            images = self._images(pixels[some])
            for image in encode_pruned(
                family.vision, images, plan.reduction, k, family.feature_layer
            ):
                projected = family.project(image.features)
                row, col = image.positions // side, image.positions % side
                cells = row // self._pool * self._side + col // self._pool
                tokens = group_means(projected, cells, self._side**2).to(projected.dtype)
                features.append(tokens)
                shown.append(torch.bincount(cells, minlength=self._side**2).numpy() > 0)
                lengths.append(len(image.positions))
            present.extend(shown)
            left.extend(lengths)
            return torch.stack(features)

        stacked = self._batch.run(len(pixels), work, _ADVICE)
        signals: tuple[TileSignals, ...] = ({},) * len(left)
        return EncodedTiles(stacked, np.stack(present), signals, side * side, tuple(left))

    def _images(self, pixels: NDArray[np.uint8]) -> Tensor:
        images = torch.from_numpy(pixels).to(self._mean.device).float()
        images = (images - self._mean) / self._std
        return images.permute(0, 3, 1, 2).to(self._dtype)

    def _pooled(self, tokens: Tensor) -> Tensor:
        return pooled_mean(tokens, self._side, self._pool)
