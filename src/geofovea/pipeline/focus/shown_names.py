"""Whether tiles show what a name calls, judged by a model's own dual encoder.

How much attention falls on a place says little of whether it is there. A dual encoder says how
likely a phrase is true of a tile, and the tiles that were looked at are encoded already.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch

from geofovea.datasets.synthetic.vocabulary import (
    SPELLINGS,
    THINGS,
    is_in_domain,
    sites_in,
    things_taken_for_granted,
)
from geofovea.pipeline.focus.token_pair import TokenPair, token_pair_beside
from geofovea.pipeline.hosts.base import Host
from geofovea.pipeline.inference.prompts.presence import singular_of
from geofovea.regionfocus.tokens import TokenSet
from geofovea.tiling.pyramid import Pyramid
from geofovea.tiling.scene import Scene

__all__ = ["LIKELY", "ShownNames"]

LIKELY = 0.5
"""From this probability on, a tile shows what a name calls."""


class ShownNames:
    """Looks for what names call in the tiles of one scene.

    Only models beside which a dual encoder was trained have it, in scenes of the kind that both
    know, and for the sites and things that it has learned.
    """

    def __init__(self, pair: TokenPair, pyramid: Pyramid) -> None:
        """Keep what is asked.

        Args:
            pair: The dual encoder.
            pyramid: Of the scene.
        """
        self._pair, self._pyramid = pair, pyramid

    @classmethod
    def of(cls, host: Host, scene: Scene, pyramid: Pyramid) -> ShownNames | None:
        """What a model can tell of a scene; None where it can tell nothing.

        Raises:
            ModelError: If its dual encoder is damaged, or was trained beside other weights.
        """
        if not is_in_domain(host.capabilities.domain, scene.description):
            return None
        pair = token_pair_beside(host, host.name)
        return None if pair is None else cls(pair, pyramid)

    def on(self, pyramid: Pyramid) -> ShownNames:
        """The same for tiles of another grid."""
        return ShownNames(self._pair, pyramid)

    def sites_in(self, text: str) -> tuple[str, ...]:
        """The sites that a text names, as far as the dual encoder has learned them."""
        return sites_in(text)

    def things_in(self, text: str) -> tuple[str, ...]:
        """The things that a text takes for granted, as far as the dual encoder has learned them."""
        return things_taken_for_granted(text)

    def site_called(self, name: str) -> str | None:
        """How the dual encoder has learned the name of a site; None where it has not."""
        sites = sites_in(name)
        is_all = len(name.split()) == len(" ".join(sites).split())
        return sites[0] if len(sites) == 1 and is_all else None

    def site_probability(self, site: str, tokens: Iterable[TokenSet]) -> float | None:
        """How likely the likeliest tile shows a site; None where no tile can tell.

        Tiles at native resolution are not asked: they show a part of a site, and parts of different
        sites look alike.

        Args:
            site: As `sites_in` and `site_called` give it.
            tokens: Of tiles of the scene.
        """
        coarse = [
            each.select(torch.tensor([t.level > 0 for t in each.tiles])[each.tile_index])
            for each in tokens
            if len(each)
        ]
        seen = self._of_tiles([each for each in coarse if len(each)], site)
        return max(seen, default=None)

    def thing_probabilities(self, noun: str, tiles: Sequence[TokenSet]) -> list[float | None]:
        """How likely each tile shows a thing; None where that cannot be told.

        It can at native resolution, of things that the dual encoder has learned.

        Args:
            noun: What is looked for, in the singular or plural.
            tiles: The tokens of one tile each.
        """
        thing = singular_of(noun.lower())
        thing = SPELLINGS.get(thing, thing)
        if thing not in THINGS:
            return [None] * len(tiles)
        native = [each for each in tiles if len(each) and each.tiles[0].level == 0]
        likely = self._of_tiles(native, thing)
        told = {each.tiles[0]: value for each, value in zip(native, likely, strict=True)}
        return [told.get(each.tiles[0]) if each.tiles else None for each in tiles]

    def _of_tiles(self, tokens: Sequence[TokenSet], text: str) -> list[float]:
        """How likely a text is true of each tile, in their order; the text is embedded once."""
        if not tokens:
            return []
        likely: list[float] = self._pair.probabilities(
            TokenSet.concat(tokens), self._pyramid, text
        ).tolist()
        return likely
