"""Training of a resampler and of the decoder that reads what it makes.

The teacher is the unchanged model on all tokens. Each step draws a length for each level, so that
one decoder learns all of them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from geofovea.pipeline.hosts.learned.adapted_decoder import learnable_decoder, low_rank_tensors
from geofovea.pipeline.training.losses import answer_position
from geofovea.pipeline.training.parts.answers import answer_loss, right_answers, unpacked
from geofovea.pipeline.training.parts.frozen_model import FrozenModel
from geofovea.pipeline.training.parts.lessons import Lessons, at_answers
from geofovea.pipeline.training.parts.recipe import PartRecipe
from geofovea.regionfocus.resamplers.registry import make_resampler

__all__ = ["ResampledPart"]

_MEASURED = (1, 4, 9)
_SIZES = {"tokenflex": ("width",), "mqt": ("width", "heads"), "quecc": ("width", "heads")}


class ResampledPart(nn.Module):
    """A resampler that learns, with low-rank differences of the decoder."""

    def __init__(self, model: FrozenModel, recipe: PartRecipe) -> None:
        """A part as it is before the first step; seed torch before the call."""
        super().__init__()
        grid = model.shape.grid
        heads = model.llava.config.text_config.num_attention_heads
        sizes = {"width": model.shape.width, "heads": heads}
        sized = {name: sizes[name] for name in _SIZES.get(recipe.method, ())}
        self.settings: dict[str, Any] = {**sized, **recipe.settings}
        self.resampler = make_resampler(recipe.method, (grid, grid), self.settings)
        self.decoder = learnable_decoder(model.llava.model.language_model, recipe.rank)
        self._model, self._questions = [model], recipe.questions

    def prepare(self, lessons: Lessons) -> None:
        """See ``TrainedPart``: lessons are all that is needed."""

    def loss(self, lessons: Lessons, draw: torch.Generator) -> tuple[Tensor, dict[str, float]]:
        """The loss, and figures for the log.

        Args:
            lessons: Of one step.
            draw: Decides the lengths, and the questions where not all are asked.
        """
        lessons = self._some_questions(lessons, draw)
        groups = int(lessons.group.max()) + 1
        logits = self._logits(lessons, [self._length(draw) for _ in range(groups)])
        return answer_loss(logits, lessons)

    @torch.no_grad()
    def measure(self, lessons: Lessons) -> dict[str, float]:
        """Accuracy at some lengths, of answers that can be known."""
        result = {}
        draw = torch.Generator().manual_seed(0)
        lessons = self._some_questions(lessons, draw)
        for count in (c for c in _MEASURED if c in self.resampler.counts):
            right = []
            for some in lessons.batches(8):
                groups = int(some.group.max()) + 1
                right.append(right_answers(self._logits(some, [count] * groups), some))
            result[f"accuracy_{count}"] = round(torch.cat(right).float().mean().item(), 4)
        return result

    def tensors(self) -> dict[str, Tensor]:
        """What the part is made of, under the names in its file."""
        own = {f"resampler.{k}": v for k, v in self.resampler.state_dict().items()}
        return own | {f"decoder.{k}": v for k, v in low_rank_tensors(self.decoder).items()}

    def rates(self, recipe: PartRecipe) -> list[dict[str, Any]]:
        """Parameters with their peak rates."""
        learned = [p for p in self.decoder.parameters() if p.requires_grad]
        groups = [{"params": learned, "lr": recipe.decoder_rate}]
        if new := list(self.resampler.parameters()):
            groups.append({"params": new, "lr": recipe.learning_rate})
        return groups

    def _length(self, draw: torch.Generator) -> int:
        """A length of the resampler; short ones more often where there are many."""
        counts = torch.tensor(self.resampler.counts)
        weights = 1 / counts if len(counts) > 8 else torch.ones(len(counts))
        return int(counts[torch.multinomial(weights.double(), 1, generator=draw)])

    def _some_questions(self, lessons: Lessons, draw: torch.Generator) -> Lessons:
        """Where the vision tokens depend on the question, each is a lesson of its own."""
        if not self.resampler.reads_question:
            return lessons
        return unpacked(lessons, self._questions, draw)

    def _logits(self, lessons: Lessons, lengths: list[int]) -> Tensor:
        """Logits at the answers ``(b, q, 2, V)``, with a length for each level."""
        model = self._model[0]
        cells = self.resampler.cells
        tiles = lessons.vision.reshape(len(lessons), -1, cells, lessons.vision.shape[-1])
        visible = lessons.visible.reshape(len(lessons), -1, cells)
        level = lessons.group[0, ::cells].tolist()
        question = self._question(lessons) if self.resampler.reads_question else None
        tokens, shown = [], []
        for place, group in enumerate(level):
            own, count = visible[:, place], lengths[group]
            # a tile without visible tokens is resampled as a whole, and its output is never shown
            seen = own | ~own.any(1, keepdim=True)
            tokens.append(self.resampler(tiles[:, place], seen, count, question))
            members = self.resampler.members(count)[None]
            shown.append((members & own[:, None]).any(-1))
        logits = model.logits(
            torch.cat(tokens, 1), torch.cat(shown, 1), lessons.words, self.decoder
        )
        return at_answers(logits, lessons.targets)

    def _question(self, lessons: Lessons) -> Tensor:
        """Mean of the embeddings of each question, ``(b, d)``."""
        words, last = lessons.words[:, 0], answer_position(lessons.targets)[:, 0]
        is_asked = torch.arange(words.shape[1]) <= last[:, None]
        embedded = self._model[0].embed(words) * is_asked[..., None]
        mean: Tensor = embedded.sum(1) / is_asked.sum(1, keepdim=True)
        return mean
