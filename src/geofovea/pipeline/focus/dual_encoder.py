"""Encoders that put pictures and texts into one space: what they offer, and how one is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from geofovea.errors import ModelError
from geofovea.pipeline.focus.clip_pair import load_clip_pair
from geofovea.pipeline.focus.token_pair import TokenPair, token_pair_beside
from geofovea.pipeline.hosts.learned.part_files import read_cards
from geofovea.pipeline.hosts.load import EMBEDDED_MODELS, folder_of, load_host
from geofovea.pipeline.system.model_lock import LOADING, models_at_rest
from geofovea.tiling.machine.paths import is_file
from geofovea.tiling.scene import Scene

__all__ = ["DualEncoder", "load_dual_encoder"]

_PART = "dual_encoder"


class DualEncoder(Protocol):
    """Embeds pictures and texts into one space. Threads may share it.

    Attributes:
        name: How the user named it.
        side: Of the pictures that it takes without resampling, in pixels.
    """

    name: str
    side: int

    @property
    def scale(self) -> float:
        """What cosines are multiplied with before a softmax, as the encoder was trained."""
        ...

    @property
    def fingerprint(self) -> str:
        """What tells its vectors from those of another encoder: SHA-256, hexadecimal."""
        ...

    def embed_pictures(self, pictures: Sequence[NDArray[np.uint8]]) -> Tensor:
        """Unit vectors float32 (k, d) of pictures uint8 (rows, columns, 3) of any size."""
        ...

    def embed_text(self, text: str) -> Tensor:
        """The unit vector float32 (d,) of a text."""
        ...

    def doubts(self, text: str, scene: Scene | None = None) -> tuple[str, ...]:
        """What a careful reader of its ranking should know.

        Args:
            text: What it compares with.
            scene: Whose tiles it compares; None for an archive whose scenes are not opened.
        """
        ...


def load_dual_encoder(name: str) -> DualEncoder:
    """Load a dual encoder once; the two used last stay in memory.

    Args:
        name: ``embedded`` or a folder that ``geofovea train --with dual_encoder`` wrote; or a
            local folder or hub id of a CLIP or SigLIP.

    Raises:
        ModelError: If there is none, it is of another kind, or its weights are not safetensors.
    """
    with LOADING:
        return _load(name)


@lru_cache(maxsize=2)
def _load(name: str) -> DualEncoder:
    # here and not at each question: it reads a file
    folder = folder_of(name)
    if name in EMBEDDED_MODELS or (is_file(folder / "config.json") and _PART in read_cards(folder)):
        return _token_pair(name)
    with models_at_rest():
        return load_clip_pair(name)


def _token_pair(name: str) -> TokenPair:
    pair = token_pair_beside(load_host(name, "cpu"), name)
    if pair is None:
        raise ModelError(
            f"{name} carries no dual encoder: make one with geofovea train --with {_PART} "
            "--output RUN and name RUN/model, or name a CLIP or SigLIP"
        )
    return pair
