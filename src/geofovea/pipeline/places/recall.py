"""The expected recall of a search, from a random sample of what it passed over."""

from __future__ import annotations

from collections.abc import Sequence

from geofovea.pipeline.places.quantiles import gamma_quantile

__all__ = ["expected_recall", "upper_rate"]

_HALF_ALPHA = 0.025


def expected_recall(
    found: int, drawn: Sequence[int], unseen: int
) -> tuple[float | None, float | None]:
    """Which share of all places was found, were the model asked about every tile.

    The tiles that the search passed over hold as many places each, on average, as a random sample
    of them. This estimate rests on the draw alone, not on what the model believes.

    Args:
        found: Places that were found, those of the sample included.
        drawn: Places in each tile of the sample.
        unseen: Tiles that were not looked at, the sample left out.

    Returns:
        The share, and the lower end of its 95 % interval; None where nothing was found or drawn.
    """
    if not found or not drawn:
        return None, None
    mean = sum(drawn) / len(drawn)
    recall = found / (found + unseen * mean)
    return recall, found / (found + unseen * upper_rate(sum(drawn), len(drawn)))


def upper_rate(events: int, tiles: int) -> float:
    """Upper end of the 95 % interval of a Poisson rate per tile (Garwood, Biometrika 28, 1936)."""
    return gamma_quantile(events + 1, 1 - _HALF_ALPHA) / tiles
