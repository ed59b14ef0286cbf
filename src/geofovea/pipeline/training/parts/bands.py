"""Training of kernels for a further band, and of the decoder that searches and answers with it.

The tower and the projector of the model stay as they are. What a further band adds to the patches
of its embedding has to come through both of them, and low-rank differences of the decoder learn to
read it. They also learn where to look: the attention of the last word has to fall on what a
question is about, as when the model itself was trained. At some steps the band is hidden, as
ChannelViT hides channels, so that questions about what colors show are answered without it too.

Source of the idea: "Channel Vision Transformers", see ``inference.bands``. A kernel for each band
whose patches are added is ours.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from geofovea.pipeline.hosts.learned.adapted_decoder import learnable_decoder, low_rank_tensors
from geofovea.pipeline.inference.attention.rows import row_logits
from geofovea.pipeline.inference.bands.extra_bands import ExtraBands, patch_owner
from geofovea.pipeline.training.lessons.dense_labels import IGNORED
from geofovea.pipeline.training.losses import answer_position, focus_loss, word_loss
from geofovea.pipeline.training.parts.band_lessons import BandLessons
from geofovea.pipeline.training.parts.frozen_model import Entering, FrozenModel
from geofovea.pipeline.training.parts.lessons import at_answers
from geofovea.pipeline.training.parts.recipe import PartRecipe
from geofovea.pipeline.training.student import packed_rows

__all__ = ["BandPart"]

_HIDDEN = 0.25
"""Share of the steps in which the further band is hidden."""


class _Reading(NamedTuple):
    """What a part makes of b lessons with q questions.

    Attributes:
        logits: ``(b, q, 2, V)``, at the answers.
        targets: ``(b, q, l)``, those that are right.
        attention: ``(b, heads, q, n)``, logits of the last words on the tokens, where the search
            reads them.
    """

    logits: Tensor
    targets: Tensor
    attention: Tensor


class BandPart(nn.Module):
    """A model whose patches learn a further band, with low-rank differences of its decoder."""

    def __init__(self, model: FrozenModel, recipe: PartRecipe) -> None:
        """A part as it is before the first step; seed torch before the call.

        The settings may name another fourth band than near infrared, as a baseline: ``fourth`` is
        ``ndvi`` for the index in its place, or ``nothing`` for colors alone.
        """
        super().__init__()
        self.settings: dict[str, Any] = dict(recipe.settings) | {
            "focus_layer": model.shape.focus_layer
        }
        self._fourth = self.settings.get("fourth", "nir")
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
        logits, targets, attention = self._read(lessons, is_other, hides=is_hidden)
        places = answer_position(targets)[..., None] + torch.arange(2)
        labels = targets.gather(2, places).masked_fill(~lessons.answered[..., None], IGNORED)
        losses = {"colors": word_loss(logits[:, 1:], labels[:, 1:])}
        if not is_hidden:
            losses["band"] = word_loss(logits[:, :1], labels[:, :1])
        losses["focus"], _ = _focus(lessons, attention)
        total: Tensor = torch.stack([*losses.values()]).sum()
        return total, {name: loss.item() for name, loss in losses.items()}

    @torch.no_grad()
    def measure(self, lessons: BandLessons) -> dict[str, float]:
        """Accuracy of questions about lawns and about colors, with the band and without it.

        Each lawn counts twice, healthy and dry. Without the band one of the two answers is wrong.
        ``focus`` is the mean share of the attention that falls on what a question is about, among
        the tokens of a level.
        """
        record = {}
        for name, hides in (("with_band", False), ("without_band", True)):
            band, colors, shares = [], [], []
            for some in lessons.batches(8):
                for is_other in (False, True):
                    which = torch.full((len(some),), is_other)
                    logits, targets, attention = self._read(some, which, hides=hides)
                    _, mass = _focus(some, attention)
                    shares.append(mass[~mass.isnan()])
                    answers = targets.gather(2, answer_position(targets)[..., None])[..., 0]
                    right = logits[:, :, 0].argmax(-1) == answers
                    band.append(right[:, 0][some.answered[:, 0]])
                    colors.append(right[:, 1:][some.answered[:, 1:]])
            record[f"lawns_{name}"] = _mean(band)
            record[f"colors_{name}"] = _mean(colors)
            record[f"focus_{name}"] = _mean(shares)
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

    def _read(self, lessons: BandLessons, is_other: Tensor, *, hides: bool) -> _Reading:
        """Show lessons, and ask.

        Args:
            lessons: What is shown and asked.
            is_other: bool ``(b,)``, whether a lesson shows the other lawn.
            hides: Whether the band is hidden.
        """
        self.bands.shows_extra = not hides and self._fourth != "nothing"
        student, model = self._student[0], self._model[0]
        tokens = self._encode(self._tiles(lessons, is_other), lessons.group[0])
        vision: Tensor = tokens + student.scene_position(lessons.places)
        targets = lessons.targets.clone()
        targets[:, 0] = torch.where(is_other[:, None], lessons.other, targets[:, 0])
        attention: list[Tensor] = []

        def read(entering: Entering) -> Entering:
            if entering.number == model.shape.focus_layer:
                rows, count = 1 + vision.shape[1] + packed_rows(targets), vision.shape[1]
                which = (entering.layer, entering.hidden, entering.rotary)
                attention.append(row_logits(*which, rows, 1, count))
            return entering

        decoder = self.decoder
        logits = model.logits(vision, lessons.visible, lessons.words, decoder, change=read)
        return _Reading(at_answers(logits, targets), targets, attention[0])

    def _tiles(self, lessons: BandLessons, is_other: Tensor) -> Tensor:
        """Tiles in [0, 255], ``(b, k, T, T, 4)``."""
        colors, own, other = lessons.tiles[..., :3], lessons.tiles[..., 3:4], lessons.tiles[..., 4:]
        fourth = torch.where(is_other[:, None, None, None, None], other, own)
        if self._fourth == "ndvi":
            near, red = fourth.float(), colors[..., :1].float()
            index = (near - red) / (near + red).clamp_min(1)
            fourth = ((index + 1) * 127.5).round().to(colors.dtype)
        return torch.cat([colors, fourth], -1)

    def _encode(self, tiles: Tensor, group: Tensor) -> Tensor:
        """Tokens of tiles, coarse to fine; the kernels learn from the finest, for time."""
        student = self._student[0]
        far = int((group < group.max()).sum()) // student.shape.grid**2
        with torch.no_grad():
            tokens = student.encode(tiles[:, :far])
        return torch.cat([tokens, student.encode(tiles[:, far:])], 1)


def _widen(student: Any, bands: int) -> None:
    """Let a student take further bands, in [0, 1]."""
    student.mean = torch.cat([student.mean, student.mean.new_zeros(bands)])
    student.std = torch.cat([student.std, student.std.new_full((bands,), 255.0)])


def _focus(lessons: BandLessons, attention: Tensor) -> tuple[Tensor, Tensor]:
    """See ``focus_loss``."""
    where = {"group": lessons.group, "visible": lessons.visible, "focus": lessons.focus}
    return focus_loss(attention, where)


def _mean(parts: list[Tensor]) -> float:
    values = torch.cat(parts).float()
    return round(values.mean().item(), 4) if len(values) else 0.0
