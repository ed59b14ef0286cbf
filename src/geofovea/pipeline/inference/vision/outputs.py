"""What a vision encoder made of some tiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from geofovea.regionfocus.reductions.tile_signals import TileSignals
from geofovea.regionfocus.uniform_sampling import even_positions

__all__ = ["EncodedTiles"]


@dataclass(frozen=True, slots=True, eq=False)
class EncodedTiles:
    """What an encoder made of k tiles of g × g tokens.

    Attributes:
        features: ``(k, g², d)``; what is not present is zero.
        present: bool ``(k, g²)``, which tokens there are.
        signals: Of each tile, what was asked for.
        patches: Patches that entered the encoder, for each tile.
        patches_left: Those that left it, or what they merged into.
    """

    features: Tensor
    present: NDArray[np.bool_]
    signals: tuple[TileSignals, ...]
    patches: int
    patches_left: tuple[int, ...]

    def lost(self, valid: Sequence[NDArray[np.bool_]]) -> list[int]:
        """The tiles that show data, bool ``(g²,)`` each, and of which none was left."""
        return [i for i, shows in enumerate(valid) if not (shows & self.present[i]).any()]

    def with_whole(
        self, places: Sequence[int], features: Tensor, valid: Sequence[NDArray[np.bool_]]
    ) -> EncodedTiles:
        """The same, with as many tokens of some tiles as were left, of those that show data.

        Args:
            places: The tiles.
            features: Of these as if nothing were dropped, ``(m, g², d)``.
            valid: Of all tiles.
        """
        own, present, counts = self.features.clone(), self.present.copy(), list(self.patches_left)
        patches_a_token = max(1, self.patches // present.shape[1])
        for place, whole in zip(places, features, strict=True):
            candidates = valid[place].nonzero()[0]
            count = max(1, counts[place] // patches_a_token)
            places_in_tile = candidates[even_positions(len(candidates), count)]
            own[place], present[place] = whole, False
            present[place][places_in_tile] = True
            counts[place] = len(places_in_tile) * patches_a_token
        return replace(self, features=own, present=present, patches_left=tuple(counts))
