"""What is wanted of a vision encoder beside its tokens, and what comes back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from geofovea.errors import ModelError
from geofovea.regionfocus.reductions.encoder.base import EncoderReduction
from geofovea.regionfocus.reductions.tile_signals import TILE_SIGNALS, TileSignals
from geofovea.regionfocus.uniform_sampling import even_positions
from geofovea.tiling.pyramid import Pyramid, Tile

__all__ = ["EncodePlan", "EncodedTiles", "PlannedEncoder"]


@dataclass(frozen=True, slots=True)
class EncodePlan:
    """What is wanted of an encoder beside its tokens.

    Attributes:
        signals: Some of ``TILE_SIGNALS``.
        reduction: What drops patches on their way through the encoder; None drops none.
        share: Of its patches that a tile keeps, where there is a reduction.

    Raises:
        ModelError: If there is no such signal, or no such share, or signals are wanted of an
            encoder that drops what they are about.
    """

    signals: frozenset[str] = frozenset()
    reduction: EncoderReduction | None = None
    share: float = 1.0

    def __post_init__(self) -> None:
        if unknown := sorted(self.signals - TILE_SIGNALS):
            raise ModelError(
                f"no encoder shows {', '.join(unknown)}; ask for some of "
                f"{', '.join(sorted(TILE_SIGNALS))}"
            )
        if not 0 < self.share <= 1:
            raise ModelError(f"a tile keeps a share above 0 and at most 1, got {self.share}")
        if self.reduction is not None and self.signals - {"entropy"}:
            raise ModelError(
                f"the reduction {self.reduction.name!r} drops patches inside the encoder, so the "
                f"{', '.join(sorted(self.signals))} of its tokens are not known; choose one of "
                "the two"
            )

    @property
    def is_plain(self) -> bool:
        """Whether only tokens are wanted."""
        return not self.signals and self.reduction is None


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

    def lost(self, shown: Sequence[NDArray[np.bool_]]) -> list[int]:
        """The tiles that show data, bool ``(g²,)`` each, and of which none was left."""
        return [i for i, shows in enumerate(shown) if not (shows & self.present[i]).any()]

    def with_whole(
        self, places: Sequence[int], features: Tensor, shown: Sequence[NDArray[np.bool_]]
    ) -> EncodedTiles:
        """The same, with as many tokens of some tiles as were left, of those that show data.

        Args:
            places: The tiles.
            features: Of these as if nothing were dropped, ``(m, g², d)``.
            shown: Of all tiles.
        """
        own, present, left = self.features.clone(), self.present.copy(), list(self.patches_left)
        patches_a_token = max(1, self.patches // present.shape[1])
        for place, whole in zip(places, features, strict=True):
            candidates = shown[place].nonzero()[0]
            count = max(1, left[place] // patches_a_token)
            chosen = candidates[even_positions(len(candidates), count)]
            own[place], present[place] = whole, False
            present[place][chosen] = True
            left[place] = len(chosen) * patches_a_token
        return replace(self, features=own, present=present, patches_left=tuple(left))


@runtime_checkable
class PlannedEncoder(Protocol):
    """A host that shows how it encodes, or lets tokens be dropped on the way."""

    def encode_planned(
        self, pixels: NDArray[np.uint8], tiles: Sequence[Tile], pyramid: Pyramid, plan: EncodePlan
    ) -> EncodedTiles:
        """Tiles uint8 (k, T, T, 3), encoded as planned."""
        ...

    def question_embeds(self, question: str) -> Tensor:
        """Embeddings (t, d) of the words of a question, as the decoder would get them."""
        ...
