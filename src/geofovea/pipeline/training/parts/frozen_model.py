"""The model beside which a part is trained: its vision tower, and its decoder on packed questions.

It is of the embedded model's kind, because no other knows the vocabulary of the synthetic world.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from geofovea.errors import ModelError
from geofovea.pipeline.hosts.base import SupportsDecoderAccess
from geofovea.pipeline.hosts.scene_positions import SCENE_POSITION_FILE
from geofovea.pipeline.training.starting import shape_of
from geofovea.pipeline.training.student import Student, packed_positions

__all__ = ["Change", "Entering", "FrozenModel", "Watch"]

Watch = Callable[[int, Tensor], None]
"""Is shown each layer's number and what enters it, ``(b, 1 + n + q l, d)``."""


@dataclass(frozen=True, slots=True, eq=False)
class Entering:
    """What is about to enter a layer.

    Attributes:
        number: Of the layer.
        layer: The layer.
        hidden: ``(b, 1 + n + q l, d)``.
        mask: ``(b, 1 + n)``, see ``packed_attention``.
        rotary: Cosines and sines of all places.
    """

    number: int
    layer: Any
    hidden: Tensor
    mask: Tensor
    rotary: tuple[Tensor, Tensor]


Change = Callable[[Entering], Entering]
"""Makes something else of what enters a layer: other states, or another mask."""


class FrozenModel:
    """A host's weights, none of which is changed.

    Attributes:
        shape: Of the model.
        llava: Its stock class, with the attention of packed questions in its decoder.
    """

    def __init__(self, host: SupportsDecoderAccess, folder: Path) -> None:
        """Copy the weights of a host.

        Args:
            host: The model, loaded.
            folder: Where it was loaded from.

        Raises:
            ModelError: If it is not a model of the embedded kind.
        """
        weights = dict(host.weights())
        position = weights.pop(SCENE_POSITION_FILE, None)
        self.shape = shape_of(folder)
        student = Student(self.shape)
        try:
            missing, unexpected = student.llava.load_state_dict(weights, strict=False)
        except RuntimeError as error:
            raise _not_of_this_kind(host) from error
        if position is None or unexpected or set(missing) - {"lm_head.weight"}:
            raise _not_of_this_kind(host)
        student.scene_position.weight.data.copy_(position)
        self._student = student.eval().requires_grad_(False)
        self.llava: Any = student.llava

    @property
    def depth(self) -> int:
        """Layers of the decoder."""
        return len(self.llava.model.language_model.layers)

    def digest(self) -> str:
        """SHA-256 of all weights that vision tokens and logits depend on, in hexadecimal."""
        digest = hashlib.sha256()
        # scene positions stand beside the stock model, and every token carries them
        for module in (self.llava, self._student.scene_position):
            for name, weight in module.named_parameters():
                digest.update(name.encode())
                digest.update(weight.detach().numpy().tobytes())
        return digest.hexdigest()

    @torch.no_grad()
    def tokens(self, tiles: Tensor, places: Tensor) -> Tensor:
        """Vision tokens as the decoder gets them, ``(b, n, d)``.

        Args:
            tiles: uint8 ``(b, k, T, T, 3)``.
            places: ``(b, n, 3)``, see ``token_places``.
        """
        # in bits of a batch, or the tower would hold the tiles of all at once
        parts = [self._student.encode(each[None]) for each in tiles]
        tokens = torch.cat(parts)[:, : places.shape[1]]
        placed: Tensor = tokens + self._student.scene_position(places)
        return placed

    def learner(self) -> Student:
        """A copy of its own, in which something may be changed and learn."""
        return copy.deepcopy(self._student)

    def embed(self, words: Tensor) -> Tensor:
        """Embeddings of words, ``(..., d)``."""
        embedded: Tensor = self.llava.get_input_embeddings()(words)
        return embedded

    def logits(
        self,
        vision: Tensor,
        visible: Tensor | Sequence[Tensor],
        words: Tensor,
        decoder: Any = None,
        watch: Watch | None = None,
        change: Change | None = None,
    ) -> Tensor:
        """Logits of the next word ``(b, q, l, V)`` at each word of packed questions.

        Args:
            vision: ``(b, n, d)``.
            visible: bool ``(b, n)``, tokens that may be seen; or one for each layer, where later
                ones may hide more. Positions are those of what the first layer sees.
            words: int64 ``(b, q, l)``.
            decoder: Another decoder in place of the model's own.
            watch: Is shown what enters each layer.
            change: Changes that.
        """
        decoder = self.llava.model.language_model if decoder is None else decoder
        layers = list(decoder.layers)
        by_layer = [visible] * len(layers) if isinstance(visible, Tensor) else list(visible)
        batch, questions, length = words.shape
        config = self.llava.config.text_config
        start = self.embed(torch.full_like(words[:, 0, :1], config.bos_token_id))
        hidden = torch.cat([start, vision, self.embed(words.flatten(1))], 1)
        masks = [torch.cat([v.new_ones(batch, 1), v], 1) for v in by_layer]
        positions = packed_positions(masks[0], questions, length)
        rotary = decoder.rotary_emb(hidden, positions)
        for number, (layer, mask) in enumerate(zip(layers, masks, strict=True)):
            if watch is not None:
                watch(number, hidden)
            entering = Entering(number, layer, hidden, mask, rotary)
            if change is not None:
                entering = change(entering)
            hidden = layer(
                entering.hidden,
                attention_mask=entering.mask,
                position_ids=positions,
                position_embeddings=rotary,
                question_length=length,
            )
        states = decoder.norm(hidden[:, 1 + vision.shape[1] :])
        logits: Tensor = self.llava.lm_head(states).float()
        return logits.view(batch, questions, length, -1)


def _not_of_this_kind(host: object) -> ModelError:
    return ModelError(
        f"{getattr(host, 'name', host)} is not a model of the kind of the embedded one, and "
        "parts are trained on the synthetic world, whose words only such models know; choose "
        "'embedded' or a folder that geofovea train has written"
    )
