"""Whether tiles show the places that a question names, judged by a model's own dual encoder.

How much attention falls on a place says little of whether it is there. A dual encoder says how
likely a phrase is true of a tile, and the tiles that were looked at are encoded already.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch

from geofovea.datasets.synthetic.vocabulary import is_in_domain, sites_in
from geofovea.pipeline.focus.token_pair import TokenPair, token_pair_beside
from geofovea.pipeline.hosts.base import Host
from geofovea.regionfocus.tokens import TokenSet
from geofovea.tiling.pyramid import Pyramid
from geofovea.tiling.scene import Scene

__all__ = ["LIKELY", "NamedPlaces"]

LIKELY = 0.5
"""From this probability on, a tile shows a place."""


class NamedPlaces:
    """Looks for names of places in the tiles of one scene.

    Only models beside which a dual encoder was trained have it, in scenes of the kind that both
    know, and for the places that it has learned.
    """

    def __init__(self, pair: TokenPair, pyramid: Pyramid) -> None:
        """Keep what is asked.

        Args:
            pair: The dual encoder.
            pyramid: Of the scene.
        """
        self._pair, self._pyramid = pair, pyramid

    @classmethod
    def of(cls, host: Host, scene: Scene, pyramid: Pyramid) -> NamedPlaces | None:
        """What a model can tell of a scene; None where it can tell nothing.

        Raises:
            ModelError: If its dual encoder is damaged, or was trained beside other weights.
        """
        if not is_in_domain(host.capabilities.domain, scene.description):
            return None
        pair = token_pair_beside(host, host.name)
        return None if pair is None else cls(pair, pyramid)

    def names_in(self, text: str) -> tuple[str, ...]:
        """The places that a text names, as far as the dual encoder has learned them."""
        return sites_in(text)

    def known_as(self, name: str) -> str | None:
        """How the dual encoder has learned a name; None where it has not."""
        sites = sites_in(name)
        is_all = len(name.split()) == len(" ".join(sites).split())
        return sites[0] if len(sites) == 1 and is_all else None

    def probability(self, name: str, tokens: Iterable[TokenSet]) -> float | None:
        """How likely the likeliest tile shows a place; None where no tile can tell.

        Tiles at native resolution are not asked: they show a part of a place, and parts of
        different places look alike.

        Args:
            name: As `names_in` and `known_as` give it.
            tokens: Of tiles of the scene.
        """
        above_native = [
            each.select(torch.tensor([t.level > 0 for t in each.tiles])[each.tile_index])
            for each in tokens
            if len(each)
        ]
        seen = [
            self._pair.probabilities(each, self._pyramid, name)
            for each in above_native
            if len(each)
        ]
        return float(torch.cat(seen).max()) if seen else None
