"""The published method as a whole: image and prompt in, pruned prompt and answer out.

Source: as in `geofovea.regionfocus.rfm.published_geometry`; this is its two-pass inference.

1. The global tile gives 576 tokens, each tile of the lowest level 144. The prompt is: words before
   the image, global tokens, the embedding of ":", local tokens with a newline after each row, words
   after the image.
2. The RFM scores the local tokens; the best quarter and all newlines vote for tiles of the second
   level.
3. Those tiles fill the grid of the second level; its other tokens are empty. The RFM scores the
   valid ones, and the best quarter of them and all newlines replace the local tokens.

``fixed`` (default): empty tokens get no score. ``mask_defect=True`` gives the numbers of the
released code, where they gain some. A prompt longer than the model allows is refused; the released
code cuts off its end, the question first.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from geofovea.errors import ModelError
from geofovea.pipeline.hosts.published.image import PublishedImage
from geofovea.pipeline.hosts.published.weights import PublishedParts, load_parts
from geofovea.pipeline.inference.attention.backend import unplanned_attention
from geofovea.pipeline.inference.decoder.decoded_answer import decoded_answer
from geofovea.pipeline.inference.decoder.greedy import greedy_tokens
from geofovea.pipeline.inference.decoder.outputs import Generation
from geofovea.pipeline.inference.decoder.run import DecoderRun
from geofovea.pipeline.inference.prompts.batch import PromptBatch
from geofovea.pipeline.inference.prompts.embeds import PromptSequence
from geofovea.pipeline.inference.vision.features import TILES_AT_ONCE, tower_features
from geofovea.pipeline.system.model_lock import lock_of, one_at_a_time
from geofovea.pipeline.system.torch_threads import threads_for
from geofovea.regionfocus.rfm.published_geometry import TOKENS_PER_SIDE, PublishedPlan
from geofovea.regionfocus.rfm.published_selection import (
    KEPT_SHARE,
    select_share,
    tiles_of_tokens,
    valid_tokens,
)

__all__ = [
    "IMAGE_ID",
    "PublishedLook",
    "PublishedModel",
    "PublishedPass",
    "load_published_model",
    "published_prompt",
]

IMAGE_ID = -200
"""Stands for the image among the ids of a prompt."""

_MOST_ANSWER_TOKENS = 16
_TEMPLATES = {
    "qwen2": (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n",
        "\n{question}<|im_end|>\n<|im_start|>assistant\n",
    ),
    "llama": (
        "A chat between a curious user and an artificial intelligence assistant. The assistant "
        "gives helpful, detailed, and polite answers to the user's questions. USER: ",
        "\n{question} ASSISTANT:",
    ),
}


@dataclass(frozen=True, slots=True, eq=False)
class PublishedPass:
    """One of the two passes over the local tokens.

    Attributes:
        level: Of the plan.
        grid: ``(rows, columns)`` of local tokens, newlines included.
        tiles: int64 ``(m, 2)``: row and column of the tiles that were encoded, row-major.
        embeds: ``(s, d)``, the prompt that the RFM saw, empty tokens as zeros.
        first: Position of the first local token in it.
        valid: bool ``(rows · columns,)``: which local tokens are not empty.
        scores: float32 ``(rows · columns,)``.
        index: int64, ascending: the local tokens that were selected.
    """

    level: int
    grid: tuple[int, int]
    tiles: Tensor
    embeds: Tensor
    first: int
    valid: Tensor
    scores: Tensor
    index: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class PublishedLook:
    """What was seen of an image for one prompt.

    Attributes:
        plan: Levels of the image.
        first: Pass over the lowest level.
        second: Pass over the chosen tiles of the next one.
        embeds: ``(k, d)``, the pruned prompt.
    """

    plan: PublishedPlan
    first: PublishedPass
    second: PublishedPass
    embeds: Tensor


def published_prompt(family: str, question: str) -> str:
    """The prompt of a question, with ``<image>`` where the image stands.

    The words are those of the released evaluation scripts, for they are what the weights know. For
    LRS-VQA those scripts end the question with one newline more.

    Args:
        family: ``"qwen2"`` or ``"llama"``.
        question: With whatever asks for a short answer.
    """
    before, after = _TEMPLATES[family]
    return before + "<image>" + after.replace("{question}", question)


class PublishedModel:
    """A published model that looks and answers as its authors' code does. Threads may share it.

    Attributes:
        name: How the user named it.
        parts: Its parts.
        answer_tokens: Of the longest answer.
    """

    def __init__(self, parts: PublishedParts) -> None:
        """Join the parts of a model."""
        self.name = parts.name
        self.parts = parts
        self.answer_tokens = _MOST_ANSWER_TOKENS
        self.model_lock = lock_of(parts.decoder)
        self.threads: int | None = threads_for(parts.decoder)
        self._device = parts.newline.device
        self._dtype = parts.newline.dtype

    @one_at_a_time
    def prompt_ids(self, question: str) -> Tensor:
        """Ids ``(s,)`` of the prompt with one ``IMAGE_ID``.

        Raises:
            ModelError: If the model came without a tokenizer.
        """
        tokenizer = self.parts.tokenizer
        if tokenizer is None:
            raise ModelError(
                f"{self.name!r} has no tokenizer beside its weights: put it there, or give ids"
            )
        # words in the question that mean something to the tokenizer must not break the prompt
        for word in (*tokenizer.all_special_tokens, "<image>"):
            question = question.replace(word, " ")
        before, after = published_prompt(self.parts.family, question).split("<image>")
        ids = [*tokenizer.encode(before), IMAGE_ID]
        ids += tokenizer.encode(after, add_special_tokens=False)
        return torch.tensor(ids)

    @one_at_a_time
    @torch.inference_mode()
    @unplanned_attention()
    def look(
        self,
        image: PublishedImage,
        ids: Tensor,
        *,
        share: float = KEPT_SHARE,
        mask_defect: bool = False,
    ) -> PublishedLook:
        """Both passes over an image.

        Args:
            image: The image.
            ids: int64 ``(s,)``, with one ``IMAGE_ID``.
            share: Of the valid local tokens that each pass selects; the method has .25.
            mask_defect: Reproduce the released code's wrong mask in the second pass.

        Raises:
            ModelError: If the ids do not hold exactly one image and a question after it, or the
                pruned prompt is longer than the model allows.
            GeometryError: If the image is too flat.
        """
        plan = image.plan
        grids = plan.first_grid, plan.second_grid
        before, after = self.words(ids)
        start = torch.cat([before, self.encode(image.global_tile())[0], self._embed([self.colon])])
        everywhere = torch.ones(plan.levels[0].blocks, dtype=torch.bool).nonzero()
        pixels = image.tiles(0)
        features = self.encode_pooled(pixels.flatten(0, 1))
        first = self._pass(plan, 0, grids[0], start, features, everywhere, after, share, False)
        level = plan.levels[plan.second]
        tiles = tiles_of_tokens(first.index, first.grid, level.blocks)
        rows, cols = tiles.T
        if plan.second == 0:
            features = features[rows * level.blocks[1] + cols]
        else:
            del pixels
            features = self.encode_pooled(image.tiles(plan.second)[rows, cols])
        second = self._pass(
            plan, plan.second, grids[1], start, features, tiles, after, share, mask_defect
        )
        local = second.embeds[second.first + second.index.to(self._device)]
        embeds = torch.cat([start, local, after])
        self.check_length(len(embeds))
        return PublishedLook(plan, first, second, embeds)

    def check_length(self, length: int) -> None:
        """Refuse a prompt that is longer than the model allows.

        Raises:
            ModelError: If it is.
        """
        if length > self.parts.longest:
            raise ModelError(
                f"the pruned prompt has {length} tokens, {self.name!r} takes "
                f"{self.parts.longest}: ask a shorter question, or keep fewer tokens"
            )

    @property
    def colon(self) -> int:
        """Id of the token between global and local tokens."""
        return self.parts.colon

    @one_at_a_time
    @torch.inference_mode()
    @unplanned_attention()
    def features(self, pixels: Tensor) -> Tensor:
        """What the tower makes of tiles (m, 3, 336, 336): ``(m, 576, dv)``, no class token."""
        parts = []
        for start in range(0, len(pixels), TILES_AT_ONCE):
            batch = pixels[start : start + TILES_AT_ONCE].to(self._device, self._dtype)
            layers = (self.parts.feature_layer,)
            parts.append(tower_features(self.parts.tower, batch, layers, has_class_token=True))
        return torch.cat(parts)

    @one_at_a_time
    @torch.inference_mode()
    def encode(self, pixels: Tensor) -> Tensor:
        """All tokens of tiles (m, 3, 336, 336), for the global one: ``(m, 576, d)``."""
        tokens: Tensor = self.parts.projector(self.features(pixels))
        return tokens

    @one_at_a_time
    @torch.inference_mode()
    def encode_pooled(self, pixels: Tensor) -> Tensor:
        """Tokens of tiles (m, 3, 336, 336), means of two by two: ``(m, 144, d)``."""
        side = TOKENS_PER_SIDE
        parts = []
        # not of all tiles at once: before pooling there are four times as many tokens
        for start in range(0, len(pixels), TILES_AT_ONCE):
            whole = self.encode(pixels[start : start + TILES_AT_ONCE])
            parts.append(whole.view(len(whole), side, 2, side, 2, -1).mean((2, 4)).flatten(1, 2))
        return torch.cat(parts)

    @one_at_a_time
    @torch.inference_mode()
    def logits(self, embeds: Tensor) -> Tensor:
        """What the decoder says after a prompt ``(k, d)``: float32 ``(vocabulary,)``."""
        return self._logits(self._run(embeds).prefill())[0]

    @one_at_a_time
    @torch.inference_mode()
    @unplanned_attention()
    def greedy(
        self, embeds: Tensor, count: int = _MOST_ANSWER_TOKENS, stop: Collection[int] = ()
    ) -> tuple[list[int], list[float]]:
        """At most ``count`` ids after a prompt ``(k, d)``, and their log probabilities.

        The first id in ``stop`` ends them and is not among them.
        """
        run = self._run(embeds, count)
        tokens = greedy_tokens(
            run.prefill(),
            run.advance,
            self._logits,
            self.parts.decoder.get_input_embeddings(),
            stop,
            count,
        )
        ids = tokens.ids[0]
        return ids, tokens.log_probabilities[0, : len(ids)].tolist()

    def ask(
        self, image: PublishedImage, question: str, *, mask_defect: bool = False
    ) -> tuple[Generation, PublishedLook]:
        """Answer a question about an image.

        Raises:
            ModelError: If the model came without a tokenizer, or the prompt is too long.
            GeometryError: If the image is too flat.
        """
        look = self.look(image, self.prompt_ids(question), mask_defect=mask_defect)
        return self.answer(look.embeds), look

    @one_at_a_time
    def answer(self, embeds: Tensor) -> Generation:
        """A greedy answer after a prompt ``(k, d)``; needs the tokenizer."""
        most = self.answer_tokens
        token_ids, log_probabilities = self.greedy(embeds, most, stop=self._stop_ids())
        return decoded_answer(
            self.parts.tokenizer,
            token_ids,
            log_probabilities,
            most=most,
            has_ended=len(token_ids) < most,
        )

    def _pass(
        self,
        plan: PublishedPlan,
        level: int,
        grid: tuple[int, int],
        start: Tensor,
        features: Tensor,
        tiles: Tensor,
        after: Tensor,
        share: float,
        mask_defect: bool,
    ) -> PublishedPass:
        """Score and select the local tokens of some tiles of a level."""
        local = self._local(features, tiles, plan.levels[level].blocks, grid)
        embeds = torch.cat([start, local, after])
        valid = valid_tokens([(int(r), int(c)) for r, c in tiles], grid)
        scores = self.parts.focus(embeds, len(start), len(local), valid, mask_defect=mask_defect)
        index = select_share(scores, grid, valid, share)
        return PublishedPass(level, grid, tiles, embeds, len(start), valid, scores.cpu(), index)

    def _local(
        self, features: Tensor, tiles: Tensor, blocks: tuple[int, int], grid: tuple[int, int]
    ) -> Tensor:
        """Tokens (m, 144, d) of some tiles in the cropped grid, newlines added, row-major."""
        side, width = TOKENS_PER_SIDE, features.shape[-1]
        plane = features.new_zeros(blocks[0], blocks[1], side, side, width)
        rows, cols = tiles.T.to(features.device)
        plane[rows, cols] = features.view(-1, side, side, width)
        whole = plane.permute(0, 2, 1, 3, 4).reshape(blocks[0] * side, blocks[1] * side, width)
        newlines = self.parts.newline.expand(grid[0], 1, width)
        return torch.cat([whole[: grid[0], : grid[1] - 1], newlines], 1).flatten(0, 1)

    def words(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings ``(a, d)`` and ``(b, d)`` of what stands before the image and after it.

        Raises:
            ModelError: If the ids do not hold exactly one image and words after it.
        """
        places = (ids == IMAGE_ID).nonzero()[:, 0].tolist()
        if len(places) != 1 or places[0] == len(ids) - 1:
            raise ModelError(
                f"a prompt holds exactly one image ({IMAGE_ID}) and words after it; got "
                f"{len(places)} images in {len(ids)} ids"
            )
        token_ids = ids.tolist()
        return self._embed(token_ids[: places[0]]), self._embed(token_ids[places[0] + 1 :])

    def _embed(self, ids: Sequence[int]) -> Tensor:
        token_ids = torch.tensor(ids, dtype=torch.int64, device=self._device)
        embedded: Tensor = self.parts.decoder.get_input_embeddings()(token_ids)
        return embedded

    def _run(self, embeds: Tensor, answer: int = 0) -> DecoderRun:
        """A run of the decoder over a prompt ``(k, d)``, with room for some tokens behind it."""
        places = torch.arange(len(embeds), device=self._device)[None]
        nothing = torch.zeros(0, dtype=torch.int64)
        prompt = PromptSequence(embeds[None], places, nothing, None, len(embeds))
        return DecoderRun(self.parts.decoder.model, PromptBatch.of([prompt]), answer)

    def _logits(self, states: Tensor) -> Tensor:
        """Of the next token, float32 ``(b, vocabulary)``, after states ``(b, d)``."""
        logits: Tensor = self.parts.decoder.lm_head(states)
        return logits.float()

    def _stop_ids(self) -> set[int]:
        eos = self.parts.decoder.config.eos_token_id
        listed = eos if isinstance(eos, list) else [eos]
        return {i for i in (*listed, self.parts.tokenizer.eos_token_id) if i is not None}


def load_published_model(
    name: str, *, device: str = "cpu", dtype: torch.dtype = torch.float32
) -> PublishedModel:
    """Load a published model from a local folder or a hub id; see `load_parts`.

    Raises:
        ModelError: If there is none, or it cannot be used.
    """
    return PublishedModel(load_parts(name, device=device, dtype=dtype))
