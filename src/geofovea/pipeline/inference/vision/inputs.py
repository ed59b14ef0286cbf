"""What is wanted of a vision encoder beside its tokens."""

from __future__ import annotations

from dataclasses import dataclass

from geofovea.errors import ModelError
from geofovea.regionfocus.reductions.encoder.base import EncoderReduction
from geofovea.regionfocus.reductions.tile_signals import TILE_SIGNALS

__all__ = ["EncodePlan"]


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
