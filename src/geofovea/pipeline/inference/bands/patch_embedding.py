"""One patch projection for all bands: a token for each band and place.

Source: "Channel Vision Transformers: An Image Is Worth C x 16 x 16 Words", insitro/ChannelViT. A
token is the projection of one band's patch, the vector of its channel and that of its place. The
projection and the places are shared by all channels, so any subset of channels makes tokens, and a
missing band differs from a band of zeros.

``faithful``: `released_positions`. The release resamples the vectors of places at a scale of
(n + 0.1) / n whenever there is more than one band, even at the native size, and so changes them.
``fixed``: they are added as they are, and resampled to an exact size.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from geofovea.errors import ModelError

__all__ = ["BandEmbedding", "released_positions", "resampled_positions"]


class BandEmbedding(nn.Module):
    """Makes tokens of the bands of tiles.

    Attributes:
        projection: ``(1, p, p)`` to ``d``.
        channel_vectors: ``(channels, d)``; zero at the start.
        places: ``(1 + n, d)``, that of the class token first.
        class_vector: ``(d,)``.
    """

    def __init__(self, channels: int, width: int, patch: int, places: int) -> None:
        """Prepare random weights; seed torch before the call.

        Args:
            channels: Parts of the spectrum that the encoder knows.
            width: Of a token.
            patch: Side of a patch in pixels.
            places: Patches of a tile of the native size, a square number.

        Raises:
            ModelError: If they are not the patches of a square.
        """
        super().__init__()
        if round(places**0.5) ** 2 != places:
            raise ModelError(f"the patches of a tile are n x n, got {places}")
        self.projection = nn.Conv2d(1, width, patch, stride=patch)
        self.channel_vectors = nn.Parameter(torch.zeros(channels, width))
        self.places = nn.Parameter(torch.randn(1 + places, width) * 0.02)
        self.class_vector = nn.Parameter(torch.randn(width) * 0.02)

    def forward(self, images: Tensor, numbers: Tensor, *, released: bool = False) -> Tensor:
        """Tokens of bands, ``(b, 1 + c · n, d)``: the class token, then band after band, row-major.

        Args:
            images: ``(b, c, h, w)``; sides are multiples of the patch.
            numbers: int64 ``(c,)``, the channel of each band, each once.
            released: Whether places are resampled as in the release.

        Raises:
            ModelError: If the bands and channels do not match, or there is no such channel.
        """
        self._check(images, numbers)
        grid = (
            images.shape[2] // self.projection.kernel_size[0],
            images.shape[3] // self.projection.kernel_size[1],
        )
        make = released_positions if released and len(numbers) > 1 else resampled_positions
        places = make(self.places[1:], grid)
        patches = self.projection(images.flatten(0, 1)[:, None]).flatten(2).transpose(1, 2)
        patches = patches.reshape(*images.shape[:2], *patches.shape[1:]) + places
        tokens = (patches + self.channel_vectors[numbers][:, None]).flatten(1, 2)
        first = (self.class_vector + self.places[0]).expand(len(images), 1, -1)
        return torch.cat([first, tokens], dim=1)

    def _check(self, images: Tensor, numbers: Tensor) -> None:
        channels, patch = len(self.channel_vectors), self.projection.kernel_size
        if images.ndim != 4 or images.shape[1] != len(numbers) or not len(numbers):
            raise ModelError(
                f"{len(numbers)} channels need images (b, {len(numbers)}, h, w), got "
                f"{tuple(images.shape)}"
            )
        if images.shape[2] % patch[0] or images.shape[3] % patch[1]:
            raise ModelError(
                f"the sides of a tile are multiples of {patch[0]}, got {tuple(images.shape[2:])}"
            )
        is_known = bool((numbers >= 0).all()) and bool((numbers < channels).all())
        if not is_known or len(set(numbers.tolist())) != len(numbers):
            raise ModelError(
                f"each band has a channel of its own from 0 to {channels - 1}, got "
                f"{numbers.tolist()}"
            )


def resampled_positions(places: Tensor, grid: tuple[int, int]) -> Tensor:
    """Vectors of places ``(n, d)`` on another grid, ``(rows · cols, d)``; as they are on their own.

    Args:
        places: Row-major, of a square.
        grid: Rows and columns.
    """
    side = round(len(places) ** 0.5)
    if grid == (side, side):
        return places
    picture = places.T.reshape(1, -1, side, side)
    resampled = nn.functional.interpolate(picture, size=grid, mode="bicubic")
    return resampled[0].flatten(1).T


def released_positions(places: Tensor, grid: tuple[int, int]) -> Tensor:
    """See `resampled_positions`; by a scale that is never 1, as released."""
    side = round(len(places) ** 0.5)
    picture = places.T.reshape(1, -1, side, side)
    scale = ((grid[0] + 0.1) / side, (grid[1] + 0.1) / side)
    resampled = nn.functional.interpolate(picture, scale_factor=scale, mode="bicubic")
    return resampled[0].flatten(1).T
