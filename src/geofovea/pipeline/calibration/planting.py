"""Sinks and trends that are planted into a host's attention while it is read.

Each is a `Distortion`: it changes the rows of every layer and head before anything is made of them,
for the question and for neutral questions alike, so that all that follows is the real code.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

import torch
from torch import Tensor

from geofovea.errors import DataError
from geofovea.regionfocus.attention_mode import WORDINGS
from geofovea.regionfocus.token_neighbors import neighbors_of
from geofovea.regionfocus.tokens import TokenSet

__all__ = ["PLANTINGS", "Planting"]

_STEEPNESS = 8.0
"""A trend at share 1 makes one token ``e**8`` times as attractive as another."""
_JITTER = 0.05
_REGISTERS = 5
_FEW_WORDS, _MANY_WORDS = 5, 9
"""No neutral question has more than the first, and questions about a thing have the second."""


@dataclass(frozen=True, slots=True)
class Planting:
    """A distortion of one kind and strength; call it to change rows.

    Attributes:
        kind: One of ``PLANTINGS``.
        share: Of each row that falls on the sinks, in [0, 1); of a trend, its steepness.
        seed: Of places that are drawn.
        upper_from: The first layer that has a sink of a kind that only upper layers have.

    Raises:
        DataError: If there is no such kind, or the share is out of its range.
    """

    kind: str
    share: float
    seed: int = 0
    upper_from: int = 2

    def __post_init__(self) -> None:
        if self.kind not in PLANTINGS or not 0 <= self.share < 1:
            raise DataError(
                f"there is no planting {self.kind!r} of share {self.share!r}: choose one of "
                f"{', '.join(PLANTINGS)}, and a share in [0, 1)"
            )

    def __call__(
        self, rows: Tensor, question: str, tokens: TokenSet, layers: tuple[int, ...]
    ) -> Tensor:
        """Rows ``(layers, heads, n)`` with what is planted; each sums to 1 as before."""
        if not self.share:
            return rows
        if self.kind in _TRENDS:
            likes = _STEEPNESS * self.share * PLANTINGS[self.kind](self, tokens, question, (0, 0))
            tilted = rows * likes.exp().to(rows)
            return tilted / tilted.sum(-1, keepdim=True)
        heads = range(rows.shape[1])
        places = [(layer, head) for layer in layers for head in heads]
        if self.kind not in _BY_ROW:
            # the same for all rows
            places = places[:1]
        sinks = torch.stack([PLANTINGS[self.kind](self, tokens, question, p) for p in places])
        shares = (sinks / sinks.sum(-1, keepdim=True)).to(rows)
        if self.kind in _BY_ROW:
            shares = shares.view_as(rows)
        share = self._share(question, tokens)
        planted = (1 - share) * rows + share * shares
        if self.kind in _UPPER:
            has_sink = torch.tensor([layer >= self.upper_from for layer in layers])
            planted = torch.where(has_sink.to(rows.device)[:, None, None], planted, rows)
        return planted

    def _share(self, question: str, tokens: TokenSet) -> float:
        words = len(question.split())
        if self.kind == "growing block":
            return self.share * min(1.0, words / _MANY_WORDS)
        if self.kind == "block of long questions":
            return self.share * (words > _FEW_WORDS)
        if self.kind == "jitter":
            draw = float(torch.rand(1, generator=self.generator(tokens, question)))
            return min(0.98, self.share + _JITTER * (2 * draw - 1))
        return self.share

    def generator(self, tokens: TokenSet, *about: object) -> torch.Generator:
        """Random numbers that are the same for the same look and whatever else is named."""
        name = repr((self.seed, tokens.tiles, len(tokens), *about)).encode()
        seed = int.from_bytes(hashlib.sha256(name).digest()[:7], "big")
        return torch.Generator().manual_seed(seed)


Row = tuple[int, int]
Sinks = Callable[[Planting, TokenSet, str, Row], Tensor]
"""Weights ``(n,)`` of the sinks of a look, for a question and a layer and head; of a trend, how
much each token is liked, from 0 to 1."""


def _drawn(planting: Planting, tokens: TokenSet, count: int, *about: object) -> Tensor:
    weights = torch.zeros(len(tokens))
    generator = planting.generator(tokens, *about)
    weights[torch.randperm(len(tokens), generator=generator)[:count]] = 1
    return weights


def _corner(_: Planting, tokens: TokenSet, __: str, ___: Row) -> Tensor:
    weights = torch.zeros(len(tokens))
    weights[0] = 1
    return weights


def _content(_: Planting, tokens: TokenSet, __: str, ___: Row) -> Tensor:
    """The token with the largest vector: where real hosts have their sinks."""
    weights = torch.zeros(len(tokens))
    weights[int(tokens.features.float().norm(dim=1).argmax())] = 1
    return weights


def _registers(_: Planting, tokens: TokenSet, __: str, ___: Row) -> Tensor:
    """The tokens with the largest vectors, as registers of a vision tower have them."""
    norms = tokens.features.float().norm(dim=1)
    weights = torch.zeros(len(tokens))
    weights[norms.topk(min(_REGISTERS, len(tokens))).indices] = 1
    return weights


def _edges(_: Planting, tokens: TokenSet, __: str, ___: Row) -> Tensor:
    """The tokens beside the right and lower edge of the scene, where padding begins."""
    ends = tokens.boxes_scene[:, 2:]
    return (ends == ends.amax(0)).any(1).float()


def _tiles(_: Planting, tokens: TokenSet, __: str, ___: Row) -> Tensor:
    """The first token of each tile."""
    weights = torch.zeros(len(tokens))
    for tile in range(len(tokens.tiles)):
        weights[int((tokens.tile_index == tile).nonzero()[0])] = 1
    return weights


def _column(planting: Planting, tokens: TokenSet, _: str, __: Row) -> Tensor:
    """All tokens of one column."""
    left = tokens.boxes_scene[:, 0]
    return (left == left[_drawn(planting, tokens, 1).bool()]).float()


def _block(planting: Planting, tokens: TokenSet, *about: object) -> Tensor:
    """A token and those that touch it."""
    weights = _drawn(planting, tokens, 1, *about)
    around = _neighbors(tokens)[int(weights.argmax())]
    weights[around[around >= 0]] = 1
    return weights


@lru_cache(maxsize=2)
def _neighbors(tokens: TokenSet) -> Tensor:
    """See `neighbors_of`; the same look is planted row by row."""
    return neighbors_of(tokens)


def _pair(planting: Planting, tokens: TokenSet, *about: object) -> Tensor:
    """A token and one that touches it."""
    weights = _drawn(planting, tokens, 1, *about)
    weights[_neighbors(tokens)[int(weights.argmax())].amax()] = 1
    return weights


def _from_the_middle(_: Planting, tokens: TokenSet, __: str, ___: Row) -> Tensor:
    """The square of the distance from the middle of the tokens."""
    centers = tokens.centers_scene
    low, high = centers.amin(0), centers.amax(0)
    squares: Tensor = ((2 * centers - low - high) ** 2).sum(1)
    return (squares / squares.amax().clamp(min=1)).float()


def _ends(tokens: TokenSet) -> Tensor:
    """Where each token ends, x and y over the size of the scene."""
    ends = tokens.boxes_scene[:, 2:].float()
    return ends / ends.amax(0)


def _turning(planting: Planting, tokens: TokenSet, question: str, _: Row) -> Tensor:
    """One of three tokens of a look, another with each question."""
    weights = _drawn(planting, tokens, 3)
    places = weights.nonzero()[:, 0]
    turn = torch.randint(len(places), (1,), generator=planting.generator(tokens, question))
    weights[:] = 0
    weights[places[int(turn)]] = 1
    return weights


def _as_asked(question: str) -> str:
    """A question without what a wording puts before it."""
    for wording in WORDINGS:
        question = question.removeprefix(wording.partition("{")[0])
    return question


PLANTINGS: Mapping[str, Sinks] = MappingProxyType(
    {
        "place": lambda p, tokens, _, __: _drawn(p, tokens, 1),
        "corner": _corner,
        "content": _content,
        "registers": _registers,
        "edges": _edges,
        "three": lambda p, tokens, _, __: _drawn(p, tokens, 3),
        "ten": lambda p, tokens, _, __: _drawn(p, tokens, 10),
        "tiles": _tiles,
        "column": _column,
        "block": lambda p, tokens, _, __: _block(p, tokens),
        "layers": lambda p, tokens, _, row: _drawn(p, tokens, 1, row[0]),
        "heads": lambda p, tokens, _, row: _drawn(p, tokens, 1, row),
        "jitter": lambda p, tokens, _, __: _drawn(p, tokens, 1),
        "turning": _turning,
        "drifting": lambda p, tokens, question, _: _drawn(p, tokens, 1, question),
        "drifting three": lambda p, tokens, question, _: _drawn(p, tokens, 3, question),
        "drifting heads": lambda p, tokens, question, row: _drawn(p, tokens, 1, question, row),
        "drifting pair": lambda p, tokens, question, _: _pair(p, tokens, question),
        "drifting block": lambda p, tokens, question, _: _block(p, tokens, question),
        "following": lambda p, tokens, question, _: _drawn(p, tokens, 1, _as_asked(question)),
        "following block": lambda p, tokens, question, _: _block(p, tokens, _as_asked(question)),
        "following blocks": lambda p, tokens, question, row: _block(
            p, tokens, _as_asked(question), row[0]
        ),
        "upper block": lambda p, tokens, _, __: _block(p, tokens),
        "upper following": lambda p, tokens, question, _: _drawn(p, tokens, 1, _as_asked(question)),
        "upper following three": lambda p, tokens, question, _: _drawn(
            p, tokens, 3, _as_asked(question)
        ),
        "upper following block": lambda p, tokens, question, _: _block(
            p, tokens, _as_asked(question)
        ),
        "growing block": lambda p, tokens, _, __: _block(p, tokens),
        "block of long questions": lambda p, tokens, _, __: _block(p, tokens),
        "trend": lambda _, tokens, __, ___: torch.linspace(0, 1, len(tokens)),
        "radial trend": _from_the_middle,
        "steep trend": lambda _, tokens, __, ___: torch.linspace(-5, 0, len(tokens)).exp(),
        "wavy trend": lambda _, tokens, __, ___: (
            torch.linspace(0, 4 * math.pi, len(tokens)).sin() / 2
        ),
        "last rows": lambda _, tokens, __, ___: _ends(tokens)[:, 1].gt(0.75).float(),
        "left columns": lambda _, tokens, __, ___: _ends(tokens)[:, 0].le(0.25).float(),
    }
)
"""Kinds of what can be planted: sinks at a drawn place, in the corner, at the largest vector or the
five largest, along the edges, three, ten, the first token of each tile, a column, a block, one in
each layer, one in each head, one of varying strength, one of three in turn; one that moves with the
question, three that do, one in each head, two that touch, and nine that touch; one that moves with
what is asked and stays where the question is put in other words, a block that does, and another
block in each layer; a block that only upper layers have, and one, three and a block of them that
follow what is asked; a block that draws more the more words a question has, and one that draws no
question of a few words; trends along the sequence, from the middle, toward the end of the
sequence, up and down along it, and steps: the lowest quarter, and the quarter on the left."""
_TRENDS = frozenset(kind for kind in PLANTINGS if kind.endswith(("trend", "rows", "columns")))
_UPPER = frozenset(kind for kind in PLANTINGS if kind.startswith("upper"))
_BY_ROW = frozenset({"layers", "heads", "drifting heads", "following blocks"})
