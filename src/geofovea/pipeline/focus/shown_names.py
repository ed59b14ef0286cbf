"""Whether tiles show what a name calls, judged by a model's own dual encoder.

How much attention falls on a place says little of whether it is there. A dual encoder says how
likely a phrase is true of a tile, and the tiles that were looked at are encoded already.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import compress

from geofovea.datasets.synthetic.vocabulary import (
    SPELLINGS,
    THINGS,
    is_in_domain,
    sites_in,
    thing_called,
    things_taken_for_granted,
)
from geofovea.pipeline.focus.token_pair import TokenPair, token_pair_beside
from geofovea.pipeline.hosts.base import Host
from geofovea.pipeline.inference.prompts.presence import singular_of
from geofovea.regionfocus.tokens import TokenSet
from geofovea.tiling.pyramid import Pyramid, Tile
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

    def thing_called(self, name: str) -> str | None:
        """The kind of thing that a name calls; None where the dual encoder has learned none."""
        return thing_called(name)

    def site_probability(self, site: str, tokens: Iterable[TokenSet]) -> float | None:
        """How likely the likeliest tile shows a site; None where no tile can tell.

        Tiles at native resolution are not asked: they show a part of a site, and parts of different
        sites look alike.

        Args:
            site: As `sites_in` and `site_called` give it.
            tokens: Of tiles of the scene.
        """
        return max((likely for _, likely in self.site_probabilities(site, tokens)), default=None)

    def site_probabilities(self, site: str, tokens: Iterable[TokenSet]) -> list[tuple[Tile, float]]:
        """How likely each tile shows a site, in their order, without those that cannot tell.

        Args:
            site: As `sites_in` and `site_called` give it.
            tokens: Of tiles of the scene; a tile is there as often as sets hold tokens of it.
        """
        # all tiles of a set at once: a question looks at dozens, and each would be placed alone
        shown = [coarse for each in tokens if len(coarse := _coarse(each))]
        tiles = [tile for coarse in shown for tile in coarse.tiles]
        return list(zip(tiles, self._of_pictures(shown, site), strict=True))

    def thing_probabilities(self, noun: str, pictures: Sequence[TokenSet]) -> list[float | None]:
        """How likely each picture shows a thing; None where that cannot be told.

        It can at native resolution, of things that the dual encoder has learned.

        Args:
            noun: What is looked for, in the singular or plural.
            pictures: The tokens of one tile each, or some of them; several may be of one tile.

        Returns:
            A probability or None for each picture, in their order.
        """
        thing = singular_of(noun.lower())
        thing = SPELLINGS.get(thing, thing)
        if thing not in THINGS:
            return [None] * len(pictures)
        can_tell = [len(each) > 0 and each.tiles[0].level == 0 for each in pictures]
        likely = iter(self._of_pictures(list(compress(pictures, can_tell)), thing))
        return [next(likely) if can else None for can in can_tell]

    def _of_pictures(self, pictures: Sequence[TokenSet], text: str) -> list[float]:
        """How likely a text is true of each tile of them, in order; the text is embedded once."""
        if not pictures:
            return []
        likely: list[float] = self._pair.probabilities(pictures, self._pyramid, text).tolist()
        return likely


def _coarse(tokens: TokenSet) -> TokenSet:
    """The tokens above native resolution; a look of a search is of one level, as a rule."""
    is_coarse = [tile.level > 0 for tile in tokens.tiles]
    has_all = all(is_coarse) and bool(tokens.tile_index.bincount(minlength=len(is_coarse)).all())
    return tokens if has_all else tokens.select(tokens.levels > 0)
