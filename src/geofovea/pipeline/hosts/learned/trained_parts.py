"""The trained parts of a loaded host, built from their files on first use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from geofovea.errors import ModelError
from geofovea.pipeline.hosts.base import SupportsDecoderAccess
from geofovea.pipeline.hosts.fingerprint import weights_hash
from geofovea.pipeline.hosts.learned.adapted_decoder import adapted_decoder
from geofovea.pipeline.hosts.learned.band_reading import BandReader, Rebuild, band_reader
from geofovea.pipeline.hosts.learned.card import PART_FILES, PartCard
from geofovea.pipeline.hosts.learned.part_files import part_tensors
from geofovea.pipeline.hosts.learned.shared_space import SharedSpace
from geofovea.regionfocus.layer_plans.atp import RATES, Atp, ThresholdHead, thresholds
from geofovea.regionfocus.layer_plans.base import LayerMethod, check_acts
from geofovea.regionfocus.layer_plans.deepstack import DeepStack
from geofovea.regionfocus.layer_plans.dyvte import DyVte, ExitRouter, router_logits
from geofovea.regionfocus.layer_plans.registry import make_layer_method
from geofovea.regionfocus.layer_plans.saisa import Saisa, SaisaProjector
from geofovea.regionfocus.resamplers.registry import make_resampler, parse_resampler
from geofovea.regionfocus.resamplers.tiles import ResampledTiles
from geofovea.regionfocus.token_children import QUARTERS

__all__ = [
    "Resampling",
    "Stacking",
    "SupportsTrainedParts",
    "TrainedParts",
    "depth_of",
    "layer_method",
    "planned_method",
    "resampling",
    "stack_reader",
]


_WRONG = (LookupError, TypeError, ValueError, ArithmeticError, AttributeError, RuntimeError)
"""What is raised by files of a part that do not belong together."""


@dataclass(frozen=True, slots=True, eq=False)
class Resampling:
    """How vision tokens become fewer, and what reads them.

    Attributes:
        tiles: Makes the tokens of the final prompt.
        decoder: The decoder that was trained to read them.
    """

    tiles: ResampledTiles
    decoder: Any


@dataclass(frozen=True, slots=True, eq=False)
class Stacking:
    """How the finest level enters layers beside the sequence, and what reads the sums.

    Attributes:
        method: Has a map for each group.
        decoder: The decoder that was trained with them.
    """

    method: DeepStack
    decoder: Any


@runtime_checkable
class SupportsTrainedParts(Protocol):
    """A host beside whose weights trained parts may stand."""

    parts: TrainedParts | None


class TrainedParts:
    """What stands beside a host's weights; threads may share it, and load a part twice at worst."""

    def __init__(
        self,
        name: str,
        cards: Mapping[str, PartCard],
        files: Mapping[str, Path | None],
        rebuild: Rebuild,
    ) -> None:
        """Remember where the parts are; nothing is read yet.

        Args:
            name: Of the model.
            cards: What is known of each part, by kind.
            files: Where its weights are; None where they are missing.
            rebuild: Makes the host anew of a changed model.
        """
        self._name, self.cards, self._files = name, dict(cards), dict(files)
        self._rebuild = rebuild
        self._loaded: dict[str, Any] = {}

    def resampler(self, host: SupportsDecoderAccess) -> Resampling | None:
        """The resampler with its decoder; None if there is none.

        Raises:
            ModelError: If it is damaged, or was trained beside other weights.
        """
        part: Resampling | None = self._part("resampler", host, _resampling)
        return part

    def routers(self, host: SupportsDecoderAccess) -> DyVte | None:
        """The trained exits; None if there are none. Raises as `resampler` does."""
        part: DyVte | None = self._part("exits", host, _exits)
        return part

    def projectors(self, host: SupportsDecoderAccess) -> Saisa | None:
        """The projectors of each layer; None if there are none. Raises as `resampler` does."""
        part: Saisa | None = self._part("saisa", host, _saisa)
        return part

    def thresholds(self, host: SupportsDecoderAccess) -> Atp | None:
        """The heads of thresholds; None if there are none. Raises as `resampler` does."""
        part: Atp | None = self._part("thresholds", host, _thresholds)
        return part

    def stack(self, host: SupportsDecoderAccess) -> Stacking | None:
        """Maps with their decoder; None if there are none. Raises as `resampler` does."""
        part: Stacking | None = self._part("stack", host, _stack)
        return part

    def shared_space(self, host: SupportsDecoderAccess) -> SharedSpace | None:
        """Where tiles and texts are compared; None if nowhere. Raises as `resampler` does."""
        part: SharedSpace | None = self._part("dual_encoder", host, _shared_space)
        return part

    def band_reader(self, host: SupportsDecoderAccess) -> BandReader | None:
        """The host that reads further bands; None if there is none. Raises as `resampler` does."""

        def made(_: Any, card: PartCard, tensors: dict[str, Tensor]) -> BandReader:
            return band_reader(self._rebuild, card, tensors)

        part: BandReader | None = self._part("bands", host, made)
        return part

    def _part(self, kind: str, host: SupportsDecoderAccess, make: Any) -> Any:
        if kind not in self.cards:
            return None
        if kind not in self._loaded:
            self._check(host, self.cards[kind])
            device = next(host.decoder.parameters()).device
            path = self._files[kind] or Path(self._name) / PART_FILES[kind]
            tensors = part_tensors(path, self.cards[kind].sha256)
            on_device = {name: value.float().to(device) for name, value in tensors.items()}
            try:
                self._loaded[kind] = make(host, self.cards[kind], on_device)
            except _WRONG as error:
                reason = " ".join(str(error).split())
                raise ModelError(
                    f"the {kind} beside {self._name} are not what geofovea.json says ({reason}): "
                    "train them again with geofovea train --with"
                ) from error
        return self._loaded[kind]

    def _check(self, host: SupportsDecoderAccess, card: PartCard) -> None:
        own = weights_hash(host.weights())
        if own != card.host_hash:
            raise ModelError(
                f"the part {card.method!r} of {self._name} was trained beside weights "
                f"{card.host_hash[:12]}, and this model has weights {own[:12]}: train one for it "
                f"with geofovea train --with {card.method}"
            )


def resampling(host: Any, text: str) -> Resampling:
    """What a resampler of a host makes of tiles, and what reads it.

    Args:
        host: The model.
        text: ``NAME`` or ``NAME:TOKENS``, the most tokens of a tile.

    Raises:
        ModelError: If there is no such resampler, the host carries none, another, or a damaged
            one, or a tile has fewer tokens than the most.
    """
    choice = parse_resampler(text)
    parts = host.parts if isinstance(host, SupportsTrainedParts) else None
    part = None if parts is None else parts.resampler(_access(host))
    if part is None:
        raise ModelError(
            f"{host.name} carries no trained resampler; leave out resampler=, or train one with "
            f"geofovea train --with {choice.name} --output RUN and name model='RUN/model'"
        )
    if part.tiles.name != choice.name:
        raise ModelError(
            f"{host.name} carries the resampler {part.tiles.name!r}, not {choice.name!r}; choose "
            f"that one, or train the other with geofovea train --with {choice.name}"
        )
    cells = part.tiles.resampler.cells
    if choice.tokens is not None and choice.tokens > cells:
        raise ModelError(
            f"{text!r:.40} limits nothing: a tile of {host.name} has {cells} tokens; write a "
            f"smaller number, or {choice.name} for as many as the token budget allows"
        )
    return replace(part, tiles=replace(part.tiles, most=choice.tokens))


def planned_method(host: Any, method: LayerMethod) -> LayerMethod:
    """A layer method with what was trained for it beside a host; as it is where nothing was.

    Maps were trained for the layers by default: a DeepStack with a first layer of its own adds
    tokens as they are.
    """
    parts = host.parts if isinstance(host, SupportsTrainedParts) else None
    if parts is None:
        return method
    if isinstance(method, DeepStack) and method.maps is None and method.start is None:
        stack = parts.stack(_access(host))
        return method if stack is None else stack.method
    if not isinstance(method, DyVte) or method.routers:
        return method
    trained = parts.routers(_access(host))
    if trained is None:
        return method
    return trained if method.start is None else replace(trained, start=method.start)


def stack_reader(host: Any, method: LayerMethod | None) -> Any:
    """The decoder that was trained for the maps of a method; None for the model's own."""
    if not isinstance(method, DeepStack) or method.maps is None:
        return None
    parts = host.parts if isinstance(host, SupportsTrainedParts) else None
    stack = None if parts is None else parts.stack(_access(host))
    return None if stack is None else stack.decoder


def depth_of(host: Any) -> int:
    """Layers of the decoder of a host that can skip work inside them."""
    return len(_access(host).decoder.layers)


def layer_method(host: Any, text: str) -> LayerMethod:
    """The layer method of a text, with what was trained for it beside a host.

    Args:
        host: The model.
        text: See ``make_layer_method``; or a method that there is only where it was trained.

    Raises:
        ModelError: If there is no such method, it can act in no layer of the host, or it has to be
            trained first.
    """
    name, colon, _ = text.partition(":")
    if name not in _ONLY_TRAINED:
        method = planned_method(host, make_layer_method(text))
        check_acts(method, depth_of(host))
        return method
    if colon:
        raise ModelError(
            f"skip={text!r}: {name} was trained for layers of its own and takes no first layer; "
            f"write {name}"
        )
    what, of_parts = _ONLY_TRAINED[name]
    parts = host.parts if isinstance(host, SupportsTrainedParts) else None
    trained: LayerMethod | None = None if parts is None else of_parts(parts, _access(host))
    if trained is None:
        raise ModelError(
            f"{host.name} carries no {what} for skip={text!r}; make them with geofovea train "
            f"--with {text} --output RUN and name model='RUN/model'"
        )
    return trained


_ONLY_TRAINED: dict[str, tuple[str, Any]] = {
    "saisa": ("projectors", TrainedParts.projectors),
    "atp": ("threshold heads", TrainedParts.thresholds),
}
"""What a method is made of that no model has from the start, by its name."""


def _access(host: Any) -> SupportsDecoderAccess:
    assert isinstance(host, SupportsDecoderAccess)  # noqa: S101 - hosts with parts have it
    return host


def _resampling(
    host: SupportsDecoderAccess, card: PartCard, tensors: dict[str, Tensor]
) -> Resampling:
    grid: tuple[int, int] = host.grid  # type: ignore[attr-defined]
    # without memory: settings of a damaged file may ask for any number of weights
    with torch.device("meta"):
        resampler = make_resampler(card.method, grid, card.settings)
    resampler.load_state_dict(_under("resampler.", tensors), assign=True)
    decoder = adapted_decoder(host.decoder, _under("decoder.", tensors))
    return Resampling(ResampledTiles(resampler.eval().requires_grad_(False)), decoder)


def _exits(host: SupportsDecoderAccess, card: PartCard, tensors: dict[str, Tensor]) -> DyVte:
    count = len(host.decoder.layers) - 1
    routers = tuple(ExitRouter(tensors[f"{i}.first"], tensors[f"{i}.second"]) for i in range(count))
    for router in routers:
        # one of another width is found now, not in the middle of a question
        router_logits(router.first.new_zeros(2 * host.decoder.config.hidden_size), router)
    threshold, start = card.settings.get("threshold", 0.0), card.settings.get("start")
    return DyVte(routers, float(threshold), None if start is None else int(start))


def _saisa(host: SupportsDecoderAccess, card: PartCard, tensors: dict[str, Tensor]) -> Saisa:
    del card
    projectors = [
        SaisaProjector(**_under(f"{i}.", tensors)) for i in range(len(host.decoder.layers))
    ]
    for projector in projectors:
        token = projector.first.new_zeros(1, host.decoder.config.hidden_size)
        if projector(token).shape != token.shape:
            raise ValueError("a projector makes states of another width")
    return Saisa(tuple(projectors))


def _thresholds(host: SupportsDecoderAccess, card: PartCard, tensors: dict[str, Tensor]) -> Atp:
    del card
    heads = tuple(ThresholdHead(**_under(f"{i}.", tensors)) for i in range(len(RATES)))
    for head in heads:
        # one whose layers do not fit is found now, not in the middle of a question
        if thresholds(head.projection.new_zeros(2, 1), head).shape != (2,):
            raise ValueError("a head has other than two thresholds")
    grid: tuple[int, int] = host.grid  # type: ignore[attr-defined]
    return Atp(heads, grid=grid, tile_size=host.tile_size)  # type: ignore[attr-defined]


def _shared_space(
    host: SupportsDecoderAccess, card: PartCard, tensors: dict[str, Tensor]
) -> SharedSpace:
    # without memory: settings of a damaged file may ask for any number of weights
    with torch.device("meta"):
        space = SharedSpace(host.decoder.config.hidden_size, card.settings)
    space.load_state_dict(tensors, assign=True)
    return space.eval().requires_grad_(False)


def _stack(host: SupportsDecoderAccess, card: PartCard, tensors: dict[str, Tensor]) -> Stacking:
    del card
    maps, width = tensors["maps"], host.decoder.config.hidden_size
    if tuple(maps.shape) != (QUARTERS, width, width):
        raise ValueError(f"maps have the shape {tuple(maps.shape)}")
    decoder = adapted_decoder(host.decoder, _under("decoder.", tensors))
    return Stacking(DeepStack(maps=tuple(maps)), decoder)


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
