"""Worlds by their version."""

from __future__ import annotations

import random

from geofovea.datasets.synthetic.earth.making import make_earth, make_earth_crowd, make_earth_pad
from geofovea.datasets.synthetic.vocabulary import VERSIONS
from geofovea.datasets.synthetic.world import World, make_crowd, make_pad, make_world
from geofovea.errors import DataError

__all__ = ["check_version", "crowd_of", "pad_of", "world_of"]

_MAKERS = {1: make_world, 2: make_earth}
_CROWD_MAKERS = {1: make_crowd, 2: make_earth_crowd}
_PAD_MAKERS = {1: make_pad, 2: make_earth_pad}


def check_version(version: int) -> None:
    """Refuse a version that does not exist.

    Raises:
        DataError: If there is no such version.
    """
    if version not in VERSIONS:
        allowed = " or ".join(map(str, VERSIONS))
        raise DataError(f"the version of a synthetic world is {allowed}, got world={version}")


def world_of(version: int, seed: int, width: int, height: int) -> World:
    """The world of a seed in a version; see ``make_world``.

    Raises:
        DataError: If there is no such version, or the scene is too small for a site.
    """
    check_version(version)
    return _MAKERS[version](seed, width, height)


def crowd_of(version: int, rng: random.Random, slots: int) -> World:
    """A crowded pad in a version; see ``make_crowd``.

    Raises:
        DataError: If there is no such version.
    """
    check_version(version)
    return _CROWD_MAKERS[version](rng, slots)


def pad_of(version: int, rng: random.Random, side: int) -> World:
    """A lone pad in a version; see ``make_pad``.

    Raises:
        DataError: If there is no such version.
    """
    check_version(version)
    return _PAD_MAKERS[version](rng, side)
