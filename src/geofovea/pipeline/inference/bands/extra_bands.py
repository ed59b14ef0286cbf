"""Bands beside red, green and blue, added to the patches of a tower that knows only these.

Every further band has a kernel of its own, as in ChannelViT each channel has a vector of its own,
and its patches are added to those of the colors. So a tile has as many tokens as before, and the
tower does the same work. ChannelViT has a token for each band and place, which costs a tower c
times the tokens; see `patch_embedding`.

Without a further band, the output is that of the colors alone, to the bit. With the zeros that all
new weights begin with, so is that of any band.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from geofovea.errors import ModelError
from geofovea.pipeline.inference.bands.channels import channel_names

__all__ = ["ExtraBands", "patch_owner"]

_MEAN, _STD = 0.45, 0.27
"""Of every further band in [0, 1]: about those of the colors of pictures."""


class ExtraBands(nn.Module):
    """Takes the place of the patch embedding of a CLIP tower.

    Attributes:
        colors: The patch embedding that it replaces.
        kernels: One for each further band, ``(1, p, p)`` to ``d``.
        vectors: ``(bands, d)``, added where the band is given.
        channels: Names of the further bands' parts of the spectrum.
        shows_extra: Whether further bands are looked at; in training they are hidden at times.
    """

    def __init__(self, colors: nn.Conv2d, wavelengths_um: Sequence[float]) -> None:
        """Prepare bands that change nothing yet.

        Args:
            colors: Of the tower.
            wavelengths_um: Central wavelength of each further band, in micrometers.

        Raises:
            SceneError: If a wavelength belongs to no part of the spectrum, or two to one.
        """
        super().__init__()
        self.colors = colors
        self.channels = channel_names(wavelengths_um)
        width, _, *patch = colors.weight.shape
        count = len(self.channels)
        self.kernels = nn.Parameter(colors.weight.new_zeros(count, width, 1, *patch))
        self.vectors = nn.Parameter(colors.weight.new_zeros(count, width))
        self.shows_extra = True

    @property
    def weight(self) -> Tensor:
        """The kernel of the colors; the tower asks for its type."""
        return self.colors.weight

    def forward(self, images: Tensor) -> Tensor:
        """Patches ``(b, d, rows, columns)`` of images ``(b, 3 + n, h, w)``.

        Colors are normalized as the tower expects them; further bands lie in [0, 1]. There may be
        none of them.

        Raises:
            ModelError: If there are some, but not all of them.
        """
        patches: Tensor = self.colors(images[:, :3])
        extra = images[:, 3:]
        if not extra.shape[1] or not self.shows_extra:
            return patches
        if extra.shape[1] != len(self.channels):
            raise ModelError(
                f"images need {len(self.channels)} bands beside red, green and blue "
                f"({', '.join(self.channels)}), or none; got {extra.shape[1]}"
            )
        stride = self.colors.stride
        for number, vector in enumerate(self.vectors):
            band = (extra[:, number : number + 1] - _MEAN) / _STD
            patches = patches + torch.conv2d(band, self.kernels[number], vector, stride)
        return patches


def patch_owner(tower: Any) -> Any:
    """The module of a CLIP tower whose ``patch_embedding`` makes patches of pixels.

    Raises:
        ModelError: If the tower is of another kind.
    """
    model = getattr(tower, "vision_model", tower)
    embeddings = getattr(model, "embeddings", None)
    patches = getattr(embeddings, "patch_embedding", None)
    if not isinstance(patches, nn.Conv2d | ExtraBands):
        raise ModelError(
            f"bands are added to the patches of a CLIP tower, not of a {type(tower).__name__}"
        )
    return embeddings
