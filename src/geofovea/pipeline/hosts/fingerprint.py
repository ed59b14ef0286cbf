"""Identifies an encoder of tiles by its weights, its settings and its software."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor

from geofovea import __version__

__all__ = [
    "EncoderIdentity",
    "WeightsDigest",
    "encoder_digest",
    "weights_hash",
]

_VERSIONS_OF = ("torch", "transformers")


@dataclass(frozen=True, slots=True)
class EncoderIdentity:
    """One encoder as it is loaded.

    Attributes:
        digest: SHA-256 of all that its tokens depend on besides pixels, hexadecimal.
        device: Where its tokens are made.
    """

    digest: str
    device: torch.device


def encoder_digest(weights: Mapping[str, Tensor], about: Mapping[str, Any]) -> str | None:
    """SHA-256 over every byte of some weights, and over what is said about them.

    Unlike ``weights_hash`` it leaves no bit out, because tokens are to be equal to the bit. That
    takes the time of reading the weights once.

    Args:
        weights: By name.
        about: Settings, as JSON can say them.

    Returns:
        Hexadecimal; None where a weight has no value, as behind ``accelerate``'s offloading.
    """
    versions = {"geofovea": __version__} | {name: version(name) for name in _VERSIONS_OF}
    record = json.dumps({"about": about, "versions": versions}, sort_keys=True, default=str)
    digest = hashlib.sha256(record.encode())
    for name, value in sorted(weights.items()):
        if value.is_meta:
            return None
        digest.update(f"{name} {tuple(value.shape)} {value.dtype};".encode())
        raw = value.detach().cpu().contiguous().flatten().view(torch.uint8)
        digest.update(raw.numpy().data)
    return digest.hexdigest()


class WeightsDigest:
    """The digest of some weights, which are read anew where one was changed in place."""

    def __init__(self) -> None:
        """Read nothing yet."""
        self._last: tuple[Any, str | None] | None = None

    def of(self, weights: Mapping[str, Tensor], about: Mapping[str, Any]) -> str | None:
        """See `encoder_digest`."""
        versions = tuple(
            (name, value.data_ptr(), 0 if value.is_inference() else value._version)
            for name, value in weights.items()
            if not value.is_meta
        )
        state = versions, json.dumps(about, sort_keys=True, default=str)
        if self._last is None or self._last[0] != state:
            self._last = state, encoder_digest(weights, about)
        return self._last[1]


_MOST_VALUES = 1 << 26
"""Above this, a hash reads as many values, spread evenly over each weight."""


def weights_hash(weights: Iterable[tuple[str, Tensor]]) -> str:
    """SHA-256 over names, shapes and values of the weights of a host, hexadecimal.

    Values count as bfloat16, so that a host keeps its hash whatever precision it is loaded in. Of
    hosts above 67 M weights that many values are read, spread evenly.

    Args:
        weights: All of them, by name; see ``SupportsDecoderAccess``.
    """
    digest = hashlib.sha256()
    # earlier releases of transformers have one more part in the names of a CLIP tower
    tensors = sorted((n.replace(".vision_model.", "."), value) for n, value in weights)
    step = -(-sum(value.numel() for _, value in tensors) // _MOST_VALUES)
    for name, value in tensors:
        digest.update(f"{name} {tuple(value.shape)};".encode())
        some = value.detach().reshape(-1)[:: max(1, step)].to("cpu", torch.bfloat16)
        digest.update(some.contiguous().view(torch.int16).numpy().tobytes())
    return digest.hexdigest()
