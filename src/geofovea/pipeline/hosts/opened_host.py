"""An LVLM that shows what goes on inside: its encoder for reductions, its decoder for a focus."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geofovea.errors import ModelError
from geofovea.pipeline.hosts.families.base import Family
from geofovea.pipeline.hosts.lvlm import SCENE_POSITION_FILE, LvlmHost
from geofovea.pipeline.hosts.region_focus import DistilledFocus, load_focus
from geofovea.pipeline.hosts.settings import HostSettings
from geofovea.pipeline.hosts.shapes import shape_from_config
from geofovea.pipeline.inference.attention.backend import unplanned_attention
from geofovea.pipeline.inference.attention.support import can_run_layers
from geofovea.pipeline.inference.decoder.inputs import DecoderInput
from geofovea.pipeline.inference.vision.clip_encoder import VisionPart
from geofovea.pipeline.inference.vision.clip_signals import CLIP_SIGNALS
from geofovea.pipeline.inference.vision.inputs import EncodePlan
from geofovea.pipeline.inference.vision.outputs import EncodedTiles
from geofovea.pipeline.system.device_memory import enough_memory
from geofovea.pipeline.system.model_lock import one_at_a_time
from geofovea.regionfocus.tokens import TokenSet
from geofovea.tiling.pyramid import Pyramid, Tile

__all__ = ["OpenedHost"]


class OpenedHost(LvlmHost):
    """A loaded LVLM whose encoder and decoder can be entered."""

    def __init__(
        self,
        name: str,
        family: Family,
        tokenizer: Any,
        settings: HostSettings,
        scene_position: Tensor | None = None,
    ) -> None:
        """As `LvlmHost` does.

        Raises:
            ModelError: If the settings do not fit the model.
        """
        super().__init__(name, family, tokenizer, settings, scene_position)
        # other towers have no class token, or pool: what is heard would be of other tokens
        layer = getattr(family.config, "vision_feature_layer", 0)
        tower = family.config.vision_config.model_type
        is_clip = tower == "clip_vision_model" and isinstance(layer, int)
        self._vision = (
            VisionPart(self._model, self.grid[0], settings.pool, *self._mean_and_std())
            if is_clip
            else None
        )
        # tokens with deep features are wider than the embeddings of words
        of_text = set() if family.deep else {"text_embeds", "text_similarity"}
        signals = {"entropy"} | of_text | (CLIP_SIGNALS if is_clip else set())
        # a run with a reduction has compact positions of one axis
        plain = family.axes == 1 and not family.deep and self.capabilities.positions == "compact"
        drops = plain and can_run_layers(family.decoder)
        stages = ({"encoder_layer"} if is_clip else set()) | ({"decoder_layer"} if drops else set())
        self.capabilities = replace(
            self.capabilities, signals=frozenset(signals), stages=frozenset(stages)
        )
        self.focus_layer: int = settings.focus_layer
        self.shape = shape_from_config(family.config, settings.focus_layer, family.tile_size)
        self._focus_folder: Path | None = None
        self._region_focus: DistilledFocus | None = None

    def left_out(self, question: str) -> tuple[str, ...]:
        """See ``SupportsSpecialWords``."""
        return self._words.left_out(question)

    def answering(self, tokens: int) -> OpenedHost:
        """The same model, loaded once, whose answers may be at least so long.

        Raises:
            ModelError: If no answer can be so long.
        """
        if tokens <= self._settings.answer_tokens:
            return self
        other = copy(self)
        other._settings = replace(self._settings, answer_tokens=tokens)
        other._writer = replace(self._writer, most=tokens)
        return other

    @one_at_a_time
    @torch.inference_mode()
    @unplanned_attention()
    def encode_planned(
        self, pixels: NDArray[np.uint8], tiles: Sequence[Tile], pyramid: Pyramid, plan: EncodePlan
    ) -> EncodedTiles:
        """See ``SupportsEncoderSignals``.

        Raises:
            ModelError: If the vision tower is no CLIP, cannot be run layer by layer, or does not
                fit the memory of the device.
        """
        if self._vision is None:
            raise ModelError(
                f"{self.name} shows nothing of its encoder; choose a reduction that reads features "
                "and scores only, such as focus_spread or divprune"
            )
        with enough_memory("choose a reduction that reads features and scores only"):
            encoded = self._vision.encode_planned(pixels, plan)
        return replace(encoded, features=self._placed(encoded.features, tiles, pyramid))

    @one_at_a_time
    @torch.inference_mode()
    def question_embeds(self, question: str) -> Tensor:
        """Of the question alone, without template and instruction."""
        return self._embed(self._words.word_ids(self._words.plain(question)))

    @property
    def decoder(self) -> Any:
        """The text model; see ``SupportsDecoderAccess``."""
        return self._decoder

    @one_at_a_time
    @torch.no_grad()
    def decoder_input(self, question: str, tokens: TokenSet) -> DecoderInput:
        """The embedded prompt; see ``SupportsDecoderAccess``.

        Raises:
            ModelError: If the vision tokens do not stand one after the other, as behind compact
                positions without words between tiles.
        """
        sequence = self._prompt(question, tokens, answer=0)
        visual, length = sequence.visual, len(sequence)
        first, count = int(visual[0]), len(visual)
        in_a_row = int(visual[-1]) - first + 1 == count
        # M-RoPE has three rows of them
        plain = torch.equal(sequence.positions.flatten().cpu(), torch.arange(length))
        if not in_a_row or not plain or sequence.deep is not None:
            raise ModelError(
                f"a region focus module reads vision tokens that stand in a row at positions of "
                f"one axis, and those of {self.name} do not; choose focus='attention'"
            )
        # a clone of what inference mode made may be learnt from
        return DecoderInput(sequence.embedded.clone(), first, count)

    def weights(self) -> Iterator[tuple[str, Tensor]]:
        """All parameters and the map of places; see ``SupportsDecoderAccess``."""
        yield from self._model.named_parameters()
        if self._scene_position is not None:
            yield SCENE_POSITION_FILE, self._scene_position

    @one_at_a_time
    def use_region_focus(self, folder: Path) -> None:
        """Take the region focus module in a folder; it is loaded when it is first asked for."""
        self._focus_folder, self._region_focus = folder, None
        self.capabilities = replace(self.capabilities, region_focus=True)

    @one_at_a_time
    def region_scores(self, question: str, tokens: TokenSet) -> Tensor:
        """What its region focus module gives each of n tokens, float32 (n,), sum 1.

        Raises:
            ModelError: If it has none, or one that was made from other weights.
        """
        if self._focus_folder is None:
            raise ModelError(f"{self.name} brings no region focus module: run geofovea distill")
        if self._region_focus is None:
            module, _ = load_focus(self._focus_folder, self)
            self._region_focus = module.to(next(self._decoder.parameters()).device)
        return self._region_focus.scores([self.decoder_input(question, tokens)])[0]
