"""A focus by likeness that reads no pixels: vectors of tiles out of an index."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from geofovea.pipeline.engine.accounting import QuestionUsage, StageClock
from geofovea.pipeline.focus.dual_encoder import DualEncoder
from geofovea.pipeline.index.likeness import SceneLikeness
from geofovea.pipeline.index.scene_index import SceneIndex
from geofovea.regionfocus.tokens import TokenSet

__all__ = ["IndexedFocus", "indexed_likeness"]


class IndexedFocus:
    """See `Focus`: each token has the mass that an index gives its place.

    The index holds every tile of its levels, including those below the tile that is looked at. So a
    look at a coarse level already leads to the native tile that is most like the question.
    """

    name = "similarity"

    def __init__(self, likeness: SceneLikeness, clock: StageClock) -> None:
        """Take the likeness of places to a question, and a clock that counts time as ``focus``."""
        self._likeness = likeness
        self._clock = clock

    def score(self, tokens: TokenSet) -> Tensor:
        """The mass of each token's box, float32 ``(n,)``."""
        with self._clock.stage("focus"):
            masses = self._likeness.masses(tokens.boxes_scene.numpy().astype(np.float64))
            # far from likely places, masses are smaller than float32 can represent
            return torch.from_numpy(masses / max(masses.max(initial=0.0), 1e-300)).float()


def indexed_likeness(
    index: SceneIndex, encoder: DualEncoder, text: str, usage: QuestionUsage
) -> SceneLikeness | None:
    """How like a text each place of a scene is, by an index; no pixel is read.

    Args:
        index: The scene in an index; its warnings go to ``usage``.
        encoder: Embeds the text.
        text: A question or a phrase.
        usage: Counts the tiles that are compared.

    Returns:
        None if the index does not hold the scene as it is now.

    Raises:
        ModelError: If the index was made with another encoder.
        DataError: If a file of the index is damaged.
    """
    index.store.check_encoder(encoder.fingerprint, encoder.name)
    usage.warn(index.warnings)
    if not index.is_usable:
        return None
    vector = encoder.embed_text(text).to(torch.float32).numpy()
    likeness = index.likeness(vector, encoder.scale)
    usage.tiles_indexed += likeness.tiles
    return likeness
