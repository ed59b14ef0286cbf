"""Training of kernels for a further band, and of the decoder that answers from it.

The tower and the projector of the model stay as they are. What a further band adds to the patches
of its embedding has to come through both of them, and low-rank differences of the decoder learn to
read it. At some steps the band is hidden, as ChannelViT hides channels, so that questions about
what colors show are answered without it too.

Source of the idea: "Channel Vision Transformers", see ``inference.bands``. A kernel for each band
whose patches are added is ours.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geofovea.pipeline.hosts.learned.adapted_decoder import learnable_decoder, low_rank_tensors
from geofovea.pipeline.inference.bands.extra_bands import ExtraBands, patch_owner
from geofovea.pipeline.training.lessons.dense_labels import IGNORED
from geofovea.pipeline.training.losses import answer_position
from geofovea.pipeline.training.parts.band_lessons import BandLessons
from geofovea.pipeline.training.parts.frozen_model import FrozenModel
from geofovea.pipeline.training.parts.lessons import at_answers
from geofovea.pipeline.training.parts.recipe import PartRecipe

__all__ = ["BandPart"]

_HIDDEN = 0.25
"""Share of the steps in which the further band is hidden."""


class BandPart(nn.Module):
    """A model whose patches learn a further band, with low-rank differences of its decoder."""

    def __init__(self, model: FrozenModel, recipe: PartRecipe) -> None:
        """A part as it is before the first step; seed torch before the call."""
        super().__init__()
        self.settings: dict[str, Any] = dict(recipe.settings)
        self.decoder = learnable_decoder(model.llava.model.language_model, recipe.rank)
        self._student = [model.learner()]
        owner = patch_owner(self._student[0].llava.model.vision_tower)
        owner.patch_embedding = ExtraBands(owner.patch_embedding, self.settings["wavelengths_um"])
        self.bands = owner.patch_embedding
        _widen(self._student[0], len(self.bands.channels))
        self._model = [model]

    def prepare(self, lessons: BandLessons) -> None:
        """See ``TrainedPart``: lessons are all that is needed."""

    def loss(self, lessons: BandLessons, draw: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        """See ``TrainedPart``.

        Args:
            lessons: Of one step.
            draw: Decides whether the band is hidden, and which lawn each lesson shows.
        """
        is_hidden = bool(torch.rand((), generator=draw) < _HIDDEN)
        is_other = torch.rand(len(lessons), generator=draw) < 0.5
        logits, targets = self._answers(lessons, is_other, hides=is_hidden)
        places = answer_position(targets)[..., None] + torch.arange(2)
        wanted = targets.gather(2, places).masked_fill(~lessons.answered[..., None], IGNORED)
        losses = {"colors": _cross_entropy(logits[:, 1:], wanted[:, 1:])}
        if not is_hidden:
            losses["band"] = _cross_entropy(logits[:, :1], wanted[:, :1])
        total: Tensor = torch.stack([*losses.values()]).sum()
        return total, {name: loss.item() for name, loss in losses.items()}

    @torch.no_grad()
    def measure(self, lessons: BandLessons) -> dict[str, float]:
        """Accuracy of questions about lawns and about colors, with the band and without it.

        Each lawn counts twice, healthy and dry. Without the band one of the two answers is wrong.
        """
        record = {}
        for name, hides in (("with_band", False), ("without_band", True)):
            band, colors = [], []
            for some in lessons.batches(8):
                for is_other in (False, True):
                    which = torch.full((len(some),), is_other)
                    logits, targets = self._answers(some, which, hides=hides)
                    answers = targets.gather(2, answer_position(targets)[..., None])[..., 0]
                    right = logits[:, :, 0].argmax(-1) == answers
                    band.append(right[:, 0][some.answered[:, 0]])
                    colors.append(right[:, 1:][some.answered[:, 1:]])
            record[f"lawns_{name}"] = _mean(band)
            record[f"colors_{name}"] = _mean(colors)
        return record

    def tensors(self) -> dict[str, Tensor]:
        """What the part is made of, under the names in its file."""
        own = {"bands.kernels": self.bands.kernels, "bands.vectors": self.bands.vectors}
        return own | {f"decoder.{k}": v for k, v in low_rank_tensors(self.decoder).items()}

    def rates(self, recipe: PartRecipe) -> list[dict[str, Any]]:
        """Parameters with their peak rates."""
        learned = [p for p in self.decoder.parameters() if p.requires_grad]
        return [
            {"params": learned, "lr": recipe.decoder_rate},
            {"params": [self.bands.kernels, self.bands.vectors], "lr": recipe.learning_rate},
        ]

    def _answers(
        self, lessons: BandLessons, is_other: Tensor, *, hides: bool
    ) -> tuple[Tensor, Tensor]:
        """Logits at the answers ``(b, q, 2, V)``, and the targets ``(b, q, l)`` that are right.

        Args:
            lessons: What is shown and asked.
            is_other: bool ``(b,)``, whether a lesson shows the other lawn.
            hides: Whether the band is hidden.
        """
        self.bands.shows_extra = not hides
        own, other = lessons.tiles[..., 3:4], lessons.tiles[..., 4:]
        near = torch.where(is_other[:, None, None, None, None], other, own)
        tiles = torch.cat([lessons.tiles[..., :3], near], -1)
        student, model = self._student[0], self._model[0]
        tokens = student.encode(tiles)
        vision: Tensor = tokens + student.scene_position(lessons.places)
        targets = lessons.targets.clone()
        targets[:, 0] = torch.where(is_other[:, None], lessons.other, targets[:, 0])
        logits = model.logits(vision, lessons.visible, lessons.words, self.decoder)
        return at_answers(logits, targets), targets


def _widen(student: Any, bands: int) -> None:
    """Let a student take further bands, in [0, 1]."""
    student.mean = torch.cat([student.mean, student.mean.new_zeros(bands)])
    student.std = torch.cat([student.std, student.std.new_full((bands,), 255.0)])


def _cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean over what counts, which may be nothing."""
    losses = F.cross_entropy(
        logits.flatten(0, 2), targets.flatten(), ignore_index=IGNORED, reduction="sum"
    )
    return losses / (targets != IGNORED).sum().clamp_min(1)


def _mean(parts: list[Tensor]) -> float:
    values = torch.cat(parts).float()
    return round(values.mean().item(), 4) if len(values) else 0.0
