"""What tells one encoder of tiles from another: its weights, its settings, what computes it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from geofovea import __version__

if TYPE_CHECKING:
    from geofovea.pipeline.hosts.families.base import Family
    from geofovea.pipeline.hosts.settings import HostSettings

__all__ = ["EncoderIdentity", "IdentifiedEncoder", "encoder_digest", "encoder_settings"]

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


@runtime_checkable
class IdentifiedEncoder(Protocol):
    """A host whose tokens may outlive its process, because it can be told from any other."""

    def encoder_identity(self) -> EncoderIdentity | None:
        """What it is now; None where its weights cannot be read, as when they are not loaded."""
        ...


def encoder_settings(
    family: Family, settings: HostSettings, grid: tuple[int, int]
) -> dict[str, Any]:
    """What tokens of a host depend on besides weights, dtype and device, as JSON can say it.

    Args:
        family: What drives the encoder.
        settings: Of the host.
        grid: ``(rows, columns)`` of the tokens of a tile.
    """
    return {
        "family": type(family).__name__,
        "config": {**family.config.to_dict(), "_name_or_path": None},
        "attention": getattr(family.vision.config, "_attn_implementation", ""),
        "normalization": [settings.image_mean, settings.image_std],
        "tile_size": family.tile_size,
        "grid": grid,
        "pool": settings.pool,
    }


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
    told = json.dumps({"about": about, "versions": versions}, sort_keys=True, default=str)
    digest = hashlib.sha256(told.encode())
    for name, value in sorted(weights.items()):
        if value.is_meta:
            return None
        digest.update(f"{name} {tuple(value.shape)} {value.dtype};".encode())
        raw = value.detach().cpu().contiguous().flatten().view(torch.uint8)
        digest.update(raw.numpy().data)
    return digest.hexdigest()
