"""A model that reads bands beside red, green and blue, by a part that was trained for it.

It is a host of its own beside the one that it is made from, which stays as it is: the tower has
kernels for the further bands, and the tokenizer writes words that the model never learned in some
that it did. Its decoder has low-rank differences, which were trained both to answer and to attend
to what a question is about, so it searches and answers. All other weights are shared.

Words that are written as others draw attention to what those others name: *grass* is all over a
scene, and the lawn of a place is not. So the search for such a question follows the place.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from torch import Tensor

from geofovea._arguments import shown
from geofovea.errors import ModelError
from geofovea.pipeline.hosts.base import Host, SupportsImages
from geofovea.pipeline.hosts.learned.adapted_decoder import adapted_decoder
from geofovea.pipeline.hosts.learned.card import PartCard
from geofovea.pipeline.inference.bands.channels import channel_names
from geofovea.pipeline.inference.bands.extra_bands import ExtraBands, patch_owner
from geofovea.tiling.pixels.composites import composite_named

if TYPE_CHECKING:
    from geofovea.tiling.pixels.radiometry import Radiometry
    from geofovea.tiling.scene import Scene

__all__ = [
    "BandReader",
    "Rebuild",
    "band_reader",
    "host_for_scene",
    "refuse_extra_bands",
]

Rebuild = Callable[[Callable[[Any, Any, Any], "tuple[Any, Any, Any]"]], Any]
"""Makes a host anew of what a function makes of its model, tokenizer and settings."""


@dataclass(frozen=True, slots=True, eq=False)
class BandReader:
    """A host that reads further bands.

    Attributes:
        host: Like the one that it was made from.
        channels: Parts of the spectrum that it reads beside red, green and blue, in order.
    """

    host: Any
    channels: tuple[str, ...]


def host_for_scene(host: Host, scene: Scene, radiometry: Radiometry) -> Host:
    """The model as it answers about a scene, with what reads the bands that are to be shown.

    Args:
        host: The model that was chosen; it reads red, green and blue.
        scene: What is asked about; an endpoint counts what is spent on it.
        radiometry: Which bands are shown.

    Returns:
        The host itself where no further band is asked for; else what its part makes of it.

    Raises:
        ModelError: If it has no part that reads those bands, or a damaged one.
    """
    given: object = host
    if not hasattr(given, "tile_size"):
        raise ModelError(
            f"a model is what geofovea.load_model returns, got {shown(given)}; load it by its name"
        )
    if not radiometry.extra_bands:
        return host.for_scene(scene) if isinstance(host, SupportsImages) else host
    wanted = composite_named(radiometry.composite or "").roles[3:]
    parts = getattr(host, "parts", None)
    reader = None if parts is None else parts.band_reader(host)
    if reader is None:
        raise ModelError(
            f"{host.name} reads red, green and blue only, and composite={radiometry.composite!r} "
            f"shows {', '.join(wanted)} too; choose another composite, or train a part that reads "
            "it with geofovea train --with bands --output RUN and name model='RUN/model'"
        )
    if reader.channels != wanted:
        raise ModelError(
            f"the part of {host.name} reads {', '.join(reader.channels)} beside the colors, and "
            f"composite={radiometry.composite!r} shows {', '.join(wanted)}; choose another"
        )
    own: Host = reader.host
    return own


def refuse_extra_bands(radiometry: Radiometry, what: str) -> None:
    """Refuse bands beside red, green and blue where nothing would read them.

    Args:
        radiometry: Which bands are shown.
        what: What shows them, as a sentence begins.

    Raises:
        ModelError: If there are some.
    """
    if radiometry.extra_bands:
        raise ModelError(
            f"{what} show red, green and blue only, and composite={radiometry.composite!r} has a "
            "fourth band; choose another composite, such as 'ndvi' or 'false-color'"
        )


def band_reader(rebuild: Rebuild, card: PartCard, tensors: Mapping[str, Tensor]) -> BandReader:
    """The host of a part.

    Args:
        rebuild: Makes it of the parts of the host that it was trained beside.
        card: Of the part.
        tensors: Its weights.

    Raises:
        ModelError: If the part does not fit the model.
    """
    about = card.settings
    if about.get("fourth", "nir") != "nir":
        raise ValueError(f"it was trained as a baseline, with {about['fourth']}")

    def change(model: Any, tokenizer: Any, settings: Any) -> tuple[Any, Any, Any]:
        if about.get("focus_layer") != settings.focus_layer:
            raise ValueError("its attention was not trained where the model searches")
        own = replace(settings, domain=about.get("domain", settings.domain))
        return _with_part(model, card, tensors), _with_words(tokenizer, about["words"]), own

    host = rebuild(change)
    host.capabilities = replace(host.capabilities, unsought=frozenset(about["words"]))
    return BandReader(host, channel_names(about["wavelengths_um"]))


def _with_part(model: Any, card: PartCard, tensors: Mapping[str, Tensor]) -> Any:
    """A copy of a model with a part; it shares all parameters that the part does not change."""
    # refused before anything is copied
    patch_owner(model.model.vision_tower)
    other = copy.deepcopy(model, {id(value): value for value in model.parameters()})
    owner = patch_owner(other.model.vision_tower)
    patches = ExtraBands(owner.patch_embedding, card.settings["wavelengths_um"])
    for name, own in (("kernels", patches.kernels), ("vectors", patches.vectors)):
        value = tensors[f"bands.{name}"]
        if own.shape != value.shape:
            raise ValueError(f"the {name} of bands have the shape {tuple(value.shape)}")
        # the colors' own kernel is shared with the model, and stays as it is
        own.requires_grad_(False).copy_(value)
    owner.patch_embedding = patches
    differences = {k.removeprefix("decoder."): v for k, v in tensors.items() if "decoder." in k}
    other.model.language_model = adapted_decoder(other.model.language_model, differences)
    return other.eval()


def _with_words(tokenizer: Any, words: Mapping[str, str]) -> Any:
    """A copy of a tokenizer that writes some words as others."""
    from tokenizers import Regex, normalizers

    other = copy.deepcopy(tokenizer)
    backend = other.backend_tokenizer
    replaced = [
        normalizers.Replace(Regex(rf"\b{re.escape(word)}\b"), known)
        for word, known in words.items()
    ]
    own = [backend.normalizer] if backend.normalizer else []
    backend.normalizer = normalizers.Sequence([*own, *replaced])
    return other
