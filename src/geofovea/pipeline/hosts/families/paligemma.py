"""PaliGemma and PaliGemma 2: a SigLIP tower and a decoder whose whole prompt sees itself both ways.

Sources: Beyer et al., PaliGemma, arXiv 2407.07726; Steiner et al., PaliGemma 2, arXiv 2412.03555.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from geofovea.pipeline.hosts.families.base import Family
from geofovea.pipeline.hosts.settings import HostSettings
from geofovea.pipeline.hosts.shapes import EncoderShape
from geofovea.pipeline.inference.decoder.spoken_boxes import BoxStyle
from geofovea.pipeline.inference.prompts.sight import Sight

__all__ = ["PaliGemmaFamily"]


class PaliGemmaFamily(Family):
    """PaliGemma on Gemma, PaliGemma 2 on Gemma 2: tiles of 224, 448 or 896 pixels.

    Stock positions begin at 1 and here they begin at 0: rotary embeddings know differences alone.
    """

    model_type = "paligemma"
    model_class = "PaliGemmaForConditionalGeneration"
    # a task and a language begin a prompt; nothing tells it how long an answer may be
    defaults = HostSettings(instruction="", image_mean=(0.5, 0.5, 0.5), image_std=(0.5, 0.5, 0.5))
    template = "{image}<bos>answer en {question}\n"
    boxes = BoxStyle.LOCATIONS
    sight = Sight.PROMPT

    def __init__(self, model: Any, tile_size: int | None = None) -> None:
        super().__init__(model, tile_size)
        self.decoder = model.model.language_model
        self.vision = model.model.vision_tower
        vision = self.config.vision_config
        self.tile_size = self._only_tile_size(tile_size, vision.image_size)
        self.grid = self._grid(vision.image_size // vision.patch_size)
        self._cap: float | None = getattr(self.decoder.config, "final_logit_softcapping", None)

    def logits(self, states: Tensor) -> Tensor:
        """Logits ``(m, V)``; Gemma 2 holds them within a bound."""
        logits = super().logits(states)
        return logits if self._cap is None else (logits / self._cap).tanh() * self._cap

    @classmethod
    def encoder_shape(cls, config: Any, tile_size: int | None = None) -> EncoderShape:  # noqa: ARG003
        """See `Family`."""
        return EncoderShape.with_linear_projector(
            config.vision_config, config.text_config.hidden_size
        )
