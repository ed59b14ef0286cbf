"""A published LRS-VQA model behind the ``Host`` protocol.

Its own way of looking is `geofovea.pipeline.session.published`; with this host it also goes through
every other descent, its RFM giving the scores (``focus="rfm"``).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geofovea.errors import ModelError
from geofovea.pipeline.hosts.base import Capabilities
from geofovea.pipeline.hosts.published.image import normalized
from geofovea.pipeline.hosts.published.model import PublishedModel, load_published_model
from geofovea.pipeline.inference.decoder.outputs import Generation
from geofovea.pipeline.system.model_lock import one_at_a_time
from geofovea.regionfocus.budget import Budget
from geofovea.regionfocus.rfm.published_geometry import TILE_SIDE, TOKENS_PER_SIDE
from geofovea.regionfocus.tokens import TokenSet
from geofovea.tiling.pyramid import Pyramid, Tile

__all__ = ["PublishedHost", "load_published"]


class PublishedHost:
    """See the ``Host`` protocol for its methods. Threads may share it."""

    def __init__(self, model: PublishedModel) -> None:
        """Wrap a loaded model."""
        self.model = model
        self.model_lock = model.model_lock
        self.name = model.name
        self.tile_size = TILE_SIDE
        self.grid = (TOKENS_PER_SIDE, TOKENS_PER_SIDE)
        # the most that its own way of looking may need: 1 + 9 + 36 tiles, 1963 tokens
        self.default_budget = Budget(tiles=46, tokens=2048)
        self.capabilities = Capabilities(
            attention=False, domain="general", context=model.parts.longest, region_focus=True
        )

    @property
    def threads(self) -> int | None:
        """Of torch that the model computes with."""
        return self.model.threads

    @threads.setter
    def threads(self, threads: int | None) -> None:
        self.model.threads = threads

    @one_at_a_time
    @torch.inference_mode()
    def encode(self, pixels: NDArray[np.uint8], tiles: Sequence[Tile], pyramid: Pyramid) -> Tensor:  # noqa: ARG002
        """Pooled tokens (k, 144, d) of tiles uint8 (k, 336, 336, 3)."""
        return self.model.encode_pooled(normalized(pixels))

    def scores(self, question: str, tokens: TokenSet) -> Tensor:  # noqa: ARG002
        """Never: its decoder's attention is not read.

        Raises:
            ModelError: Always.
        """
        raise ModelError(f"{self.name} focuses with its own module: choose focus='rfm'")

    @one_at_a_time
    @torch.inference_mode()
    def region_scores(self, question: str, tokens: TokenSet) -> Tensor:
        """Scores of its RFM over the tokens, as if they were all of the image."""
        before, after = self.model.words(self.model.prompt_ids(question))
        features = tokens.features.to(before.device, before.dtype)
        embeds = torch.cat([before, features, after])
        scores: Tensor = self.model.parts.focus(embeds, len(before), len(features))
        return scores.float().cpu()

    @one_at_a_time
    @torch.inference_mode()
    def generate(self, question: str, tokens: TokenSet | None) -> Generation:
        """Greedy answer from these tokens (or blindly), in their order, without separators."""
        before, after = self.model.words(self.model.prompt_ids(question))
        features = before[:0] if tokens is None else tokens.features.to(before.device, before.dtype)
        embeds = torch.cat([before, features, after])
        self.model.check_length(len(embeds))
        return self.model.answer(embeds)

    def unknown_words(self, question: str) -> list[str]:  # noqa: ARG002
        """None: its vocabulary is open."""
        return []


def load_published(
    name: str, *, device: str = "cpu", dtype: torch.dtype = torch.float32
) -> PublishedHost:
    """Load a published model from a local folder or a hub id, from safetensors only.

    Raises:
        ModelError: If there is none, or it cannot be used.
    """
    return PublishedHost(load_published_model(name, device=device, dtype=dtype))
