"""The embedded model while it learns: stock classes, plus the heads that teach it.

Three signals, each with a reason:

* the answer: cross entropy of the answer word and of the end, for many questions that share one
  image prefix and do not see each other;
* dense labels: two thin heads name site, surface, thing, color ... of every vision token. Without
  them the answers stay on a plateau for millions of questions;
* focus: the last prompt token's attention at ``focus_layer`` must fall, level by level, on the
  tokens that the question is about. That layer is what region focus reads later.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from geofovea.pipeline.inference.attention.rows import row_logits
from geofovea.pipeline.training.embedded_model import ModelShape, build_model
from geofovea.pipeline.training.lessons.dense_labels import DENSE_LABELS, IGNORED
from geofovea.pipeline.training.losses import (
    Losses,
    answer_position,
    focus_loss,
    only_dense,
    question_loss,
    word_loss,
)
from geofovea.pipeline.training.packed_attention import PACKED_QUESTIONS

__all__ = ["IMAGE_MEAN", "IMAGE_STD", "Student", "packed_positions", "packed_rows"]

IMAGE_MEAN = (0.48, 0.46, 0.41)
IMAGE_STD = (0.27, 0.26, 0.28)
_WEIGHT_OF_NOTHING = 0.1


class Student(nn.Module):
    """A LLaVA with its scene positions and its dense heads.

    Attributes:
        shape: Of the model.
        vision_frozen: Whether the vision tower learns nothing.
        heads_alone: Whether nothing learns but the heads that teach.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, shape: ModelShape) -> None:
        """Make a randomly initialized student; seed torch before the call."""
        super().__init__()
        self.shape = shape
        self.vision_frozen = False
        self.heads_alone = False
        self.llava = build_model(shape)
        # sequences are short: plain matrix products beat the fused kernels' backward on a CPU
        self.llava.set_attn_implementation(
            {"vision_config": "eager", "text_config": PACKED_QUESTIONS}
        )
        self.scene_position = nn.Linear(3, shape.width, bias=False)
        self.dense_head = nn.Linear(shape.width, sum(DENSE_LABELS.values()))
        self.heard_head = nn.Linear(shape.width, self.llava.config.text_config.vocab_size)
        self.register_buffer("mean", torch.tensor(IMAGE_MEAN) * 255, persistent=False)
        self.register_buffer("std", torch.tensor(IMAGE_STD) * 255, persistent=False)

    def forward(self, batch: dict[str, Tensor]) -> Losses:
        """Losses of a batch; ``TrainingSample`` has the shapes, here with a leading b."""
        learns = torch.is_grad_enabled() and not self.heads_alone
        with torch.set_grad_enabled(learns):
            tokens = self.encode(batch["tiles"])
        dense = self._dense_loss(tokens, batch["dense"])
        if not batch["words"].shape[1]:
            return only_dense(dense, batch)
        # the tokens of crowded tiles come last, and nobody is asked about them
        with torch.set_grad_enabled(learns):
            placed = self._placed(tokens[:, : batch["places"].shape[1]], batch)
            logits, attention_logits, gathered = self._decode(placed, batch)
        words_loss = question_loss(self.heard_head(gathered).float(), batch)
        targets, answered = batch["targets"], batch["answered"]
        labels = targets.masked_fill(~answered[..., None], IGNORED)
        answer = word_loss(logits, labels)
        focus, mass = focus_loss(attention_logits, batch)
        position = answer_position(targets)[..., None]
        predicted = logits.argmax(-1).gather(2, position)
        correct = (predicted == targets.gather(2, position))[..., 0]
        return Losses(answer, dense, focus, words_loss, correct, mass)

    def encode(self, tiles: Tensor) -> Tensor:
        """Projected and pooled tokens of tiles uint8 (b, k, T, T, 3), shape (b, k·g², d)."""
        batch, count = tiles.shape[:2]
        pixels = (tiles.flatten(0, 1).float() - self.mean) / self.std
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.vision_frozen):
            features = self.llava.model.vision_tower(pixels.permute(0, 3, 1, 2)).last_hidden_state
        tokens = self.llava.model.multi_modal_projector(features[:, 1:])
        side, pool = self.shape.tile_size // self.shape.patch_size, self.shape.pool
        tokens = tokens.unflatten(1, (side // pool, pool, side // pool, pool)).mean((2, 4))
        pooled: Tensor = tokens.reshape(batch, count * (side // pool) ** 2, -1)
        return pooled

    def _placed(self, tokens: Tensor, batch: dict[str, Tensor]) -> Tensor:
        """Tokens (b, n, d) that know their place, those of each of two dates behind its word."""
        placed: Tensor = tokens + self.scene_position(batch["places"]).to(tokens.dtype)
        labels = batch["labels"]
        if not labels.shape[1]:
            return placed
        words = self.llava.get_input_embeddings()(labels)[:, :, None].to(placed.dtype)
        dates = placed.reshape(len(placed), labels.shape[1], -1, placed.shape[2])
        return torch.cat([words, dates], 2).flatten(1, 2)

    def _dense_loss(self, tokens: Tensor, labels: Tensor) -> Tensor:
        logits = self.dense_head(tokens).float().split(list(DENSE_LABELS.values()), -1)
        losses = []
        for (name, classes), part, target in zip(
            DENSE_LABELS.items(), logits, labels.unbind(1), strict=True
        ):
            weight = part.new_ones(classes)
            # nearly all tokens show no thing, and would drown what tells the kinds apart
            weight[0] = _WEIGHT_OF_NOTHING if name == "thing" else 1.0
            weights = (target != IGNORED).float() * weight[target.clamp_min(0)]
            loss = F.cross_entropy(
                part.flatten(0, 1), target.flatten(), weight, ignore_index=IGNORED, reduction="sum"
            )
            losses.append(loss / weights.sum().clamp_min(1))
        return torch.stack(losses).mean()

    def _decode(self, vision: Tensor, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Word logits (b, q, l, V) and focus logits (b, heads, q, n) of packed questions.

        And their last words as they come to the focus layer, (b, q, d).
        """
        words, visible = batch["words"], batch["visible"]
        batch_size, questions, length = words.shape
        embed = self.llava.get_input_embeddings()
        config = self.llava.config.text_config
        start = embed(torch.full_like(words[:, 0, :1], config.bos_token_id))
        hidden = torch.cat([start, vision, embed(words.flatten(1))], 1).to(vision.dtype)
        # not F.pad: compiled for a CPU it reads before the first element, perhaps unmapped memory
        attended = torch.cat([visible.new_ones(batch_size, 1), visible], 1)
        positions = packed_positions(attended, questions, length)
        decoder = self.llava.model.language_model
        rotary = decoder.rotary_emb(hidden, positions)
        attention_logits = gathered = hidden.new_zeros(())
        for index, layer in enumerate(decoder.layers):
            if index == self.shape.focus_layer:
                rows = 1 + vision.shape[1] + packed_rows(batch["targets"])
                attention_logits = row_logits(layer, hidden, rotary, rows, 1, vision.shape[1])
                gathered = hidden.gather(1, rows[..., None].expand(-1, -1, hidden.shape[-1]))
            hidden = layer(
                hidden,
                attention_mask=attended,
                position_ids=positions,
                position_embeddings=rotary,
                question_length=length,
            )
        hidden = decoder.norm(hidden[:, 1 + vision.shape[1] :])
        logits = self.llava.lm_head(hidden).float()
        return logits.view(batch_size, questions, length, -1), attention_logits, gathered


def packed_positions(attended: Tensor, questions: int, length: int) -> Tensor:
    """Positions (b, s) of the prefix, then of questions that each go on behind what is seen of it.

    So every question has the positions that it would have alone behind the pruned prefix.
    """
    count = attended.sum(1, keepdim=True)
    within = torch.arange(length, device=attended.device).repeat(questions)
    return torch.cat([attended.cumsum(1) - 1, count + within], 1)


def packed_rows(targets: Tensor) -> Tensor:
    """The last prompt words as indices into the packed questions, (b, q)."""
    questions, length = targets.shape[1:]
    first = torch.arange(questions, device=targets.device) * length
    return answer_position(targets) + first
