"""The interface of all cache policies, and what a layer's cache shows them.

A policy may do three things, and most do one: store vision entries in fewer bits, drop some of them
once the question is known, or let a query read some of them. Entries that are not vision tokens
(the first word, and the words around the pictures) stay, exact and always read. Queries and keys
are those that attention sees: rotated, key head ``h // (heads / key_heads)`` for query head h.
"""

from __future__ import annotations

from abc import ABC
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from geofovea.errors import ModelError

__all__ = ["CachePolicy", "CacheView", "ExactEntries", "StoredEntries", "attention_rows"]


@dataclass(frozen=True, slots=True, eq=False)
class CacheView:
    """The keys and values of one layer.

    Attributes:
        keys: ``(key_heads, s, head_dim)``.
        values: ``(key_heads, s, head_dim)``.
        visual: int64 ``(n,)``, ascending: the entries of vision tokens.
        queries: ``(heads, m, head_dim)`` of some rows; None where no question is known.
        rows: int64 ``(m,)``, ascending: the places of these rows in the sequence.
        layer: Its number.
        depth: Layers of the decoder.

    Raises:
        ModelError: If the shapes contradict each other.
    """

    keys: Tensor
    values: Tensor
    visual: Tensor
    queries: Tensor | None = None
    rows: Tensor | None = None
    layer: int = 0
    depth: int = 1

    def __post_init__(self) -> None:
        shape = tuple(self.keys.shape)
        if len(shape) != 3 or tuple(self.values.shape) != shape:
            raise ModelError(
                "a cache has keys and values (key_heads, s, head_dim), got "
                f"{shape} and {tuple(self.values.shape)}"
            )
        if len(self.visual) and not 0 <= int(self.visual[0]) <= int(self.visual[-1]) < shape[1]:
            raise ModelError(f"vision entries must lie within 0..{shape[1] - 1}")
        if self.queries is not None and self.queries.shape[0] % shape[0]:
            raise ModelError(
                f"{self.queries.shape[0]} query heads cannot share {shape[0]} key heads evenly"
            )
        if (self.queries is None) != (self.rows is None):
            raise ModelError("queries need the places of their rows, and places their queries")

    @property
    def length(self) -> int:
        """Entries of the cache."""
        return self.keys.shape[1]

    @property
    def words(self) -> Tensor:
        """int64 ``(w,)``, ascending: entries that are no vision tokens."""
        every = torch.ones(self.length, dtype=torch.bool, device=self.keys.device)
        every[self.visual] = False
        return every.nonzero()[:, 0]


class StoredEntries(Protocol):
    """Vision entries of a layer as a policy stores them; each is told from others by identity."""

    def __hash__(self) -> int:
        """Of the object, whatever it holds."""
        ...

    @property
    def nbytes(self) -> int:
        """Memory of all that is needed to restore them."""
        ...

    def restore(self) -> tuple[Tensor, Tensor]:
        """Keys and values ``(key_heads, n, head_dim)`` in the order of ``visual``."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class ExactEntries:
    """Entries as they are.

    Attributes:
        keys: ``(key_heads, n, head_dim)``.
        values: ``(key_heads, n, head_dim)``.
    """

    keys: Tensor
    values: Tensor

    @property
    def nbytes(self) -> int:
        """See `StoredEntries`."""
        return self.keys.nbytes + self.values.nbytes

    def restore(self) -> tuple[Tensor, Tensor]:
        """See `StoredEntries`."""
        return self.keys, self.values


class CachePolicy(ABC):
    """What is stored, kept and read of a cache; by default everything, exactly."""

    name: ClassVar[str]
    needs_question: ClassVar[bool] = False
    """Whether `keep` or `store` looks at queries of the question."""

    def store(self, view: CacheView) -> StoredEntries:
        """The vision entries, as they are stored until a question reads them.

        Args:
            view: The cache of one layer; not changed.

        Returns:
            Keys and values of all vision entries.
        """
        return ExactEntries(view.keys[:, view.visual], view.values[:, view.visual])

    def keep(self, view: CacheView) -> Tensor:
        """Entries of the whole cache that stay for the words of the answer.

        Args:
            view: The cache of one layer, with queries of the question; not changed.

        Returns:
            int64 ascending, ``(k,)`` for all heads, or ``(key_heads, k)`` for each its own.

        Raises:
            ModelError: If the policy needs queries and the view has none.
        """
        return torch.arange(view.length, device=view.keys.device)

    def read(self, query: Tensor, keys: Tensor) -> Tensor | None:  # noqa: ARG002
        """Which vision entries one query attends to.

        Args:
            query: ``(heads, head_dim)``, rotated, of one token.
            keys: ``(key_heads, n, head_dim)``, rotated, of the vision entries.

        Returns:
            int64 ``(k,)`` ascending; None for all of them.
        """
        return None

    def sees(self, logits: Tensor) -> Tensor | None:  # noqa: ARG002
        """As `read`, for some queries at once.

        Args:
            logits: float32 ``(heads, m, n)``, scaled, of the queries over the vision entries.

        Returns:
            bool ``(m, n)``; None where each attends to all of them.
        """
        return None


def attention_rows(view: CacheView) -> Tensor:
    """Attention of the rows that a view shows, float32 ``(heads, m, s)``; a row sees up to itself.

    Raises:
        ModelError: If it shows none.
    """
    if view.queries is None or view.rows is None:
        raise ModelError(
            "this cache policy needs queries of the question, and here there are none; choose one "
            "that stores entries without them, such as plain or vidkv"
        )
    group = view.queries.shape[0] // view.keys.shape[0]
    keys = view.keys.float().repeat_interleave(group, 0)
    logits = view.queries.float() @ keys.transpose(1, 2) / view.keys.shape[-1] ** 0.5
    later = torch.arange(view.length, device=logits.device) > view.rows[:, None]
    weights: Tensor = logits.masked_fill(later, -torch.inf).softmax(-1)
    return weights
