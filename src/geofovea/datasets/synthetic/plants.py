"""What grows on a site of version 2, or only looks as if it did: near infrared alone tells."""

from __future__ import annotations

import random
from dataclasses import replace

from geofovea.datasets.synthetic.vocabulary import LAWNS, ROOFS
from geofovea.datasets.synthetic.world import Site, World
from geofovea.errors import DataError

__all__ = ["with_green_roofs", "with_lawn"]


def with_lawn(rng: random.Random, site: Site) -> Site:
    """The site with a lawn around its pad; half of the lawns are healthy."""
    return replace(site, lawn=rng.choice(LAWNS))


def with_green_roofs(world: World) -> World:
    """The world with a green roof on every hall; half of the roofs are planted.

    A roof follows from the seed of the world and the place of its site, so it is the same at all
    dates.

    Raises:
        DataError: If the world has no near infrared, for then nothing tells one from another.
    """
    if world.bands < 4:
        raise DataError(
            f"green roofs need near infrared, which a world of version {world.version} does not "
            "have; choose world=2"
        )
    return replace(world, sites=tuple(_with_green_roof(world.seed, site) for site in world.sites))


def _with_green_roof(seed: int, site: Site) -> Site:
    rng = random.Random(f"geofovea-roof-{seed}-{site.kind}-{site.box.as_tuple()}")
    return replace(site, hall=replace(site.hall, roof=rng.choice(ROOFS)))
