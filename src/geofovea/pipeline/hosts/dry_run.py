"""A model that was just loaded encodes one tile and begins to read it.

A ``config.json`` that does not belong to its weights, numbers too small for what the weights make
of them, or a tower built in a way that nobody foresaw show here, in words, and not after a scene
was read.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from geofovea.errors import GeoFoveaError, ModelError
from geofovea.pipeline.hosts.lvlm import LvlmHost
from geofovea.pipeline.inference.attention.support import attention_window
from geofovea.pipeline.inference.decoder.outputs import check_finite
from geofovea.regionfocus.tokens import tokens_of_tiles
from geofovea.tiling.pyramid import Pyramid

__all__ = ["QUESTION", "parts_that_fit", "try_model"]

QUESTION = "What is here?"
"""What a model is asked that nobody has asked anything yet."""


def try_model(host: LvlmHost) -> None:
    """Show a host a tile.

    Only the layers below its focus layer run; where that cannot be read, the whole decoder once.

    Raises:
        ModelError: If it cannot encode it, or cannot read what it made of it.
    """
    side = host.tile_size
    pyramid = Pyramid(side, side, side)
    tiles = list(pyramid.tiles(0))
    pixels = np.arange(side * side * 3, dtype=np.uint8).reshape(1, side, side, 3)
    with parts_that_fit(host.name):
        features = host.encode(pixels, tiles, pyramid)
        check_finite(features, host.name, host.decoder)
        # one token is enough to see whether the parts fit
        token = tokens_of_tiles(features, host.grid, tiles, pyramid).select(torch.tensor([0]))
        sees_all = attention_window(host.decoder, host.focus_layer) is None
        if host.capabilities.attention and sees_all:
            host.scores(QUESTION, token)
        else:
            host.generate(QUESTION, token, choices=("A", "B"))


@contextmanager
def parts_that_fit(name: str) -> Iterator[None]:
    """Turn whatever parts of a model that do not fit each other raise into words.

    Raises:
        ModelError: Instead of any error that is not of ours.
    """
    try:
        yield
    except GeoFoveaError:
        raise
    except Exception as error:  # what does not fit may fail anywhere
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise ModelError(
            f"{name} cannot read a tile ({reason}): its configuration, weights and tokenizer do "
            "not fit each other; copy or download all of it again, from one place"
        ) from error
