"""Whether an annotated object was seen: the one measure of focus in every benchmark and table.

A question is *hit* where what was seen at native resolution, taken together, covers at least half
of an annotated box; with several boxes, of any one of them. Two things can be seen: the tiles that
were looked at (tile hit), and the tokens of them that entered the decoder (token hit).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from geofovea.tiling.pyramid import Box

if TYPE_CHECKING:
    from geofovea.pipeline.answers.answer import Answer
    from geofovea.regionfocus.tokens import TokenSet

__all__ = ["HIT_SHARE", "covered_share", "hit_rate", "is_hit", "tile_share", "token_share"]

# the least share of a box that counts as a hit
HIT_SHARE = 0.5


def is_hit(share: float) -> bool:
    """Whether a share of a box, in [0, 1], is large enough to have seen what is in it."""
    return share >= HIT_SHARE


def hit_rate(shares: Iterable[float | bool | None]) -> float | None:
    """Share of the annotated questions that are hit; None where no question is annotated.

    Args:
        shares: For each question the share of its box that was seen, or whether it was hit; None
            for questions without a box.
    """
    hits = [is_hit(float(share)) for share in shares if share is not None]
    return sum(hits) / len(hits) if hits else None


def tile_share(answer: Answer, targets: Sequence[Box]) -> float:
    """The largest share of a target (scene pixels) that native tiles of an answer's looks cover."""
    tiles = {tile for look in answer.looks if look.level == 0 for tile in look.tiles}
    return covered_share(tiles, targets)


def token_share(tokens: TokenSet, targets: Sequence[Box]) -> float:
    """The largest share of a target (scene pixels) that the cells of native tokens cover."""
    cells = tokens.at_level(0).boxes_scene.tolist()
    return covered_share({Box(*cell) for cell in cells}, targets)


def covered_share(seen: Iterable[Box], targets: Sequence[Box]) -> float:
    """The largest share of a target that boxes cover together, all in scene pixels, in [0, 1].

    Args:
        seen: Boxes that do not overlap: tiles of one level, or cells of tokens.
        targets: At least one box.
    """
    seen = list(seen)
    return max(sum(target.share_inside(each) for each in seen) for target in targets)
