"""Bands declared by wavelength, and the channels of an encoder that they are shown to."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from geofovea.errors import SceneError
from geofovea.tiling.pixels.composites import ROLES

__all__ = ["CHANNELS", "channel_names", "channel_numbers", "sampled_channels"]

CHANNELS = tuple(ROLES)
"""Parts of the spectrum by number; the same table by which composites choose bands."""


def channel_numbers(wavelengths_um: Sequence[float]) -> Tensor:
    """The channel of each band, int64 ``(c,)``.

    Args:
        wavelengths_um: Central wavelength of each band in micrometers, in the order of the bands.

    Raises:
        SceneError: If there is no band, a wavelength belongs to no channel, or two belong to one.
    """
    numbers = [_channel(wave) for wave in wavelengths_um]
    if not numbers:
        raise SceneError("an encoder of bands needs at least one band")
    for number in set(numbers):
        waves = [w for w, n in zip(wavelengths_um, numbers, strict=True) if n == number]
        if len(waves) > 1:
            raise SceneError(
                f"bands at {', '.join(f'{w:g}' for w in waves)} µm are all {CHANNELS[number]}; "
                "choose one of them"
            )
    return torch.tensor(numbers)


def channel_names(wavelengths_um: Sequence[float]) -> tuple[str, ...]:
    """Names of the channels of bands; raises as `channel_numbers` does."""
    return tuple(CHANNELS[number] for number in channel_numbers(wavelengths_um).tolist())


def _channel(wavelength_um: float) -> int:
    for number, role in enumerate(ROLES.values()):
        if role.low_um <= wavelength_um < role.high_um:
            return number
    ranges = ", ".join(f"{r.name} {r.low_um:g}-{r.high_um:g}" for r in ROLES.values())
    raise SceneError(f"no channel is at {wavelength_um:g} µm; the channels are {ranges}")


def sampled_channels(count: int, generator: torch.Generator) -> Tensor:
    """Hierarchical channel sampling of ChannelViT: int64 ``(m,)``, ascending places of channels.

    First m is drawn from 1 to ``count``, then m channels without replacement. So the share of draws
    with a channel is (count + 1) / (2 count), and small subsets are as frequent as large ones.

    Args:
        count: Channels to draw from.
        generator: Its state decides the draw.

    Raises:
        SceneError: If there are none.
    """
    if count < 1:
        raise SceneError(f"there must be at least one channel to draw from, got {count}")
    most = int(torch.randint(1, count + 1, (), generator=generator))
    return torch.randperm(count, generator=generator)[:most].sort().values
