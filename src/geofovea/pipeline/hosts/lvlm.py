"""LVLMs on stock ``transformers``, in this process, whatever their family.

The decoder is driven directly: prefill and decode over ``inputs_embeds`` with explicit positions,
so any subset of vision tokens can be given, with no patch and no placeholder tokens. A model folder
may carry a ``geofovea.json`` with the keys of ``HostSettings``; without it those of its family
hold.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geofovea.errors import ModelError
from geofovea.pipeline.hosts.base import Capabilities
from geofovea.pipeline.hosts.families.base import Family
from geofovea.pipeline.hosts.fingerprint import EncoderIdentity, encoder_digest, encoder_settings
from geofovea.pipeline.hosts.scene_positions import token_places
from geofovea.pipeline.hosts.settings import SETTINGS_FILE, HostSettings
from geofovea.pipeline.inference.attention.backend import unplanned_attention
from geofovea.pipeline.inference.attention.support import can_read_rows, sight, turns_by_length
from geofovea.pipeline.inference.decoder.choice_scoring import choice_instruction
from geofovea.pipeline.inference.decoder.generate import AnswerWriter
from geofovea.pipeline.inference.decoder.inputs import Prompt
from geofovea.pipeline.inference.decoder.outputs import Generation, check_finite
from geofovea.pipeline.inference.decoder.prefix_cache import PrefixMemory, can_reuse_prefix
from geofovea.pipeline.inference.decoder.run import last_row_logits
from geofovea.pipeline.inference.prompts.batch import run_side_by_side
from geofovea.pipeline.inference.prompts.embeds import PromptLayout, PromptSequence
from geofovea.pipeline.inference.prompts.template import PromptWords
from geofovea.pipeline.system.device_memory import ShrinkingBatch, enough_memory
from geofovea.pipeline.system.model_lock import lock_of, one_at_a_time
from geofovea.pipeline.system.torch_threads import threads_for
from geofovea.regionfocus.budget import Budget
from geofovea.regionfocus.reductions.decoder.base import DecoderReduction
from geofovea.regionfocus.tokens import TokenSet
from geofovea.tiling.pyramid import Pyramid, Tile

__all__ = ["SCENE_POSITION_FILE", "LvlmHost"]

SCENE_POSITION_FILE = "scene_position.safetensors"
_TILES_AT_ONCE = 16
_WHAT_HELPS = "set a smaller token budget, load it with another dtype, or use a larger device"


class LvlmHost:
    """A loaded LVLM; see the ``Host`` protocol for its methods. Threads may share it."""

    def __init__(
        self,
        name: str,
        family: Family,
        tokenizer: Any,
        settings: HostSettings,
        scene_position: Tensor | None = None,
    ) -> None:
        """Wrap a model and its tokenizer.

        Args:
            name: How the user named it.
            family: A model in evaluation mode, as its family drives it.
            tokenizer: Its tokenizer.
            settings: How to use it.
            scene_position: Linear map (d, 3) of a token's place, added to the token.

        Raises:
            ModelError: If the settings do not fit the model.
        """
        text = family.decoder.config
        rows, cols = family.grid
        if not getattr(text, "max_position_embeddings", None):
            raise ModelError(
                f"the config.json of {name} says no max_position_embeddings of its text model, so "
                "it is not known what fits; add it"
            )
        pool, policy = settings.pool, settings.positions or family.policies[0]
        if rows % pool or cols % pool:
            raise ModelError(
                f"a pool of {pool} does not divide the {rows} tokens along a side of a tile; set "
                f"another in {SETTINGS_FILE}"
            )
        if policy not in family.policies:
            raise ModelError(
                f"a {family.model_type} has no positions {policy!r}; choose one of "
                + ", ".join(family.policies)
            )
        if scene_position is not None and scene_position.shape != (text.hidden_size, 3):
            raise ModelError(
                f"{SCENE_POSITION_FILE} of {name} holds a matrix {tuple(scene_position.shape)}, "
                f"the model needs {(text.hidden_size, 3)}"
            )
        self.name = name
        self.tile_size = family.tile_size
        self.grid = (rows // pool, cols // pool)
        self.default_budget = Budget(tiles=settings.tiles, tokens=settings.tokens)
        self.capabilities = Capabilities(
            attention=can_read_rows(family.decoder)
            and settings.focus_layer < text.num_hidden_layers,
            domain=settings.domain,
            context=text.max_position_embeddings,
            class_token=family.has_class_token,
            positions=policy,
            choices=True,
        )
        self._sees = sight(family.decoder, settings.focus_layer) or self.capabilities.context
        self.model_lock = lock_of(family.decoder)
        self.threads: int | None = threads_for(family.model)
        self._family, self._model, self._decoder = family, family.model, family.decoder
        self._tokenizer = tokenizer
        self._settings = settings
        self._scene_position = scene_position
        self._words = PromptWords(
            tokenizer, family.prompt_style(policy), settings.template, settings.instruction
        )
        self._layout = PromptLayout(
            policy,
            family.axes,
            self.grid,
            self.tile_size,
            text.hidden_size,
            self._words.marks,
            family.newline,
            self._embed,
        )
        self._batch = ShrinkingBatch(_TILES_AT_ONCE)
        self._dtype = self._model.get_input_embeddings().weight.dtype
        self._writer = AnswerWriter(
            name,
            self._decoder,
            self._model.lm_head,
            self._embedded,
            tokenizer,
            self._words,
            self._stop_ids(),
            settings.answer_tokens,
        )
        # with any other prompt, what stands before the question depends on it, or on what follows
        self.reuses_prefix = (
            (family.axes, family.deep, policy) == (1, 0, "compact")
            and self._words.shows_first
            and can_reuse_prefix(self._decoder, settings.focus_layer)
        )
        self.forget_prefixes()
        self._encoder: tuple[Any, str | None, torch.device] | None = None

    @one_at_a_time
    @torch.inference_mode()
    @unplanned_attention()
    def encode(self, pixels: NDArray[np.uint8], tiles: Sequence[Tile], pyramid: Pyramid) -> Tensor:
        """Vision tokens (k, rows · columns, d) of tiles uint8 (k, T, T, 3), some at once.

        Raises:
            ModelError: If not even one tile fits into the memory of the device.
        """
        tokens = self._batch.run(
            len(pixels),
            lambda some: self._encode_some(pixels[some]),
            "not even one tile can be encoded; load it with another dtype or use a larger device",
        )
        return self._placed(tokens, tiles, pyramid)

    def _placed(self, tokens: Tensor, tiles: Sequence[Tile], pyramid: Pyramid) -> Tensor:
        """Tokens (k, g², d) with their places in the scene added, where the model knows of any."""
        if self._scene_position is None:
            return tokens
        places = np.stack([token_places(pyramid, tile, self.grid[0]) for tile in tiles])
        placed = torch.from_numpy(places).to(tokens.device) @ self._scene_position.T
        return tokens + placed.to(tokens.dtype)

    def _encode_some(self, pixels: NDArray[np.uint8]) -> Tensor:
        mean, std = self._mean_and_std()
        images = torch.from_numpy(pixels).to(mean.device).float()
        images = ((images - mean) / std).permute(0, 3, 1, 2).to(self._dtype)
        tokens = self._family.encode(images)
        (rows, cols), pool = self.grid, self._settings.pool
        expected = (rows * cols * pool**2, self._layout.width * (1 + self._family.deep))
        if tokens.shape[1:] != expected:
            raise ModelError(
                f"the encoder of {self.name} makes tokens {tuple(tokens.shape[1:])} of a tile, its "
                f"config.json says {expected}; copy or download it again"
            )
        pooled = tokens.view(len(tokens), rows, pool, cols, pool, -1).mean((2, 4))
        return pooled.flatten(1, 2)

    def _mean_and_std(self) -> tuple[Tensor, Tensor]:
        """Of red, green and blue in [0, 255], float32 (3,), where images have to be."""
        device = next(self._family.vision.parameters()).device
        both = (self._settings.image_mean, self._settings.image_std)
        mean, std = (torch.tensor(v, device=device, dtype=torch.float32) * 255 for v in both)
        return mean, std

    @one_at_a_time
    def encoder_identity(self) -> EncoderIdentity | None:
        """See ``SupportsFingerprint``; weights are read anew where one was changed in place."""
        model, settings = self._model, self._settings
        own = {id(p) for part in (self._decoder, model.lm_head) for p in part.parameters()}
        named = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        weights = {name: value for name, value in named.items() if id(value) not in own}
        if self._scene_position is not None:
            weights[SCENE_POSITION_FILE] = self._scene_position
        state = tuple(
            (name, value.data_ptr(), 0 if value.is_inference() else value._version)
            for name, value in weights.items()
            if not value.is_meta
        )
        if self._encoder is None or self._encoder[0] != state:
            device = next(self._family.vision.parameters()).device
            about = encoder_settings(self._family, settings, self.grid)
            about |= {"dtype": str(self._dtype), "device": str(device)}
            self._encoder = state, encoder_digest(weights, about), device
        _, digest, device = self._encoder
        return None if digest is None else EncoderIdentity(digest, device)

    def scores(self, question: str, tokens: TokenSet) -> Tensor:
        """Softmax of the last prompt token's attention over the tokens, mean of heads, (n,).

        Tiles that do not fit the context together, or what the focus layer sees of it, are shown
        one group after the other, and the softmax is taken over all of them; the scores are then
        those of several prompts.

        Raises:
            ModelError: If the decoder is of a kind whose attention cannot be read, or a single tile
                does not fit the context or the memory of the device.
        """
        return self.scores_together([(question, tokens)])[0]

    def scores_again(self, question: str, tokens: TokenSet) -> Tensor:
        """See ``SupportsPrefixCache``; where a prefix cannot be reused, `scores`."""
        return self.scores_together([(question, tokens)], again=True)[0]

    @one_at_a_time
    @torch.inference_mode()
    def scores_together(
        self, asked: Sequence[tuple[str, TokenSet]], *, again: bool = False
    ) -> list[Tensor]:
        """See ``SupportsBatching``."""
        sees = self._sight()
        groups = [(i, q, g) for i, (q, tokens) in enumerate(asked) for g in self._groups(q, tokens)]
        sequences = [self._prompt(question, group, answer=0) for _, question, group in groups]
        lengths = [len(each) for each in sequences]
        if (longest := max(lengths, default=0)) > sees:
            raise ModelError(
                f"layer {self._settings.focus_layer} of {self.name} sees {sees} tokens back, and a "
                f"question with a tile takes {longest}: set focus_layer in its {SETTINGS_FILE} to "
                "a layer that sees all, or choose focus='similarity'"
            )
        row: Callable[[list[PromptSequence]], list[Tensor]] = (
            self._prefixes.logits
            if again and self.reuses_prefix
            else partial(last_row_logits, self._decoder, self._settings.focus_layer)
        )
        with enough_memory(_WHAT_HELPS), unplanned_attention(longest):
            logits = run_side_by_side(
                lengths,
                lambda some: row([sequences[i] for i in some]),
                together=not turns_by_length(self._decoder),
            )
        of_each: list[list[Tensor]] = [[] for _ in asked]
        for (i, _, _), found in zip(groups, logits, strict=True):
            of_each[i].append(found)
        scores = [torch.cat(parts, dim=1).softmax(-1).mean(0).cpu() for parts in of_each]
        for each in scores:
            check_finite(each, self.name, self._decoder)
        return scores

    def _sight(self) -> int:
        """Tokens that the last one sees in the focus layer.

        Raises:
            ModelError: If its attention cannot be read.
        """
        if not self.capabilities.attention:
            raise ModelError(
                f"the attention of layer {self._settings.focus_layer} of {self.name}, a "
                f"{self._decoder.config.model_type!r} decoder, cannot be read; choose "
                "focus='similarity', or another model"
            )
        return self._sees

    @one_at_a_time
    def forget_prefixes(self) -> None:
        """Drop what is kept for further questions."""
        self._prefixes = PrefixMemory(self._decoder, self._settings.focus_layer)

    def generate(
        self,
        question: str,
        tokens: TokenSet | None,
        reduction: DecoderReduction | None = None,
        choices: Sequence[str] = (),
    ) -> Generation:
        """Greedy answer from these tokens (or blindly), or the likeliest of some choices.

        Args:
            question: What is asked.
            tokens: What is shown.
            reduction: What drops tokens between the layers of the decoder; None drops none.
            choices: Answers to choose from; they are scored behind the same prompt.

        Raises:
            ModelError: If the prompt does not fit the context or the memory of the device, or the
                decoder cannot be run with the reduction.
            QuestionError: If a choice says nothing.
        """
        return self.generate_together([Prompt(question, tokens, tuple(choices), reduction)])[0]

    @one_at_a_time
    @torch.inference_mode()
    def generate_together(self, prompts: Sequence[Prompt]) -> list[Generation]:
        """See ``SupportsBatching``."""
        sequences = [self._prompt(p.question, p.tokens, self._instruction(p)) for p in prompts]
        for prompt, sequence in zip(prompts, sequences, strict=True):
            if prompt.drops_tokens:
                self._check_positions(sequence)
        longest = max((len(each) for each in sequences), default=0)
        with enough_memory(_WHAT_HELPS), unplanned_attention(longest):
            return self._writer.answers(prompts, sequences)

    @one_at_a_time
    def room(self, question: str, tiles: int, choices: Sequence[str] = ()) -> int:
        """Vision tokens of so many tiles that fit the context beside a question; maybe negative."""
        instruction = self._instruction(Prompt(question, None, tuple(choices)))
        ids = self._words.ids(question, instruction)
        words = len(ids.before) + len(ids.after) + self._layout.around_image()
        words += self._settings.answer_tokens
        return self.capabilities.context - words - tiles * self._layout.around_tile()

    @one_at_a_time
    def unknown_words(self, question: str) -> list[str]:
        """Words that the tokenizer can only map to its unknown token."""
        return self._words.unknown_words(question)

    def _instruction(self, prompt: Prompt) -> str | None:
        has_letters = bool(self._writer.letters(prompt.choices))
        return choice_instruction(prompt.choices) if has_letters else None

    def _check_positions(self, sequence: PromptSequence) -> None:
        """Positions that a run with a reduction inside the decoder understands."""
        if self._family.axes != 1 or sequence.deep is not None or self._layout.policy != "compact":
            raise ModelError(
                f"a reduction inside the decoder needs compact positions of one axis; "
                f"{self.name} has {self._layout.policy} ones of {self._family.axes}: choose a "
                "reduction that acts before the decoder"
            )

    def _prompt(
        self,
        question: str,
        tokens: TokenSet | None,
        instruction: str | None = None,
        answer: int | None = None,
    ) -> PromptSequence:
        """The prompt with the tokens in place, if it fits the context."""
        ids = self._words.ids(question, instruction)
        sequence = self._layout.sequence(ids, tokens)
        answered = self._settings.answer_tokens if answer is None else answer
        length = max(len(sequence), sequence.next_position) + answered
        if length > self.capabilities.context:
            what = "set a smaller token budget"
            if sequence.next_position > len(sequence):
                what += " or compact positions"
            raise ModelError(
                f"the prompt needs {length} places, {self.name} takes "
                f"{self.capabilities.context}: {what}"
            )
        return sequence

    def _groups(self, question: str, tokens: TokenSet) -> list[TokenSet]:
        """Tokens in groups of whole tiles that the last word can see, all in one if it can."""
        ids = self._words.ids(question)
        words = len(ids.before) + len(ids.after)
        _, counts = torch.unique_consecutive(tokens.tile_index, return_counts=True)
        fits = self._layout.reach(counts) + words <= self.capabilities.context
        # a window counts places, whatever positions stand there
        if (fits and self._layout.places(counts) + words <= self._sees) or len(counts) < 2:
            return [tokens]
        edge = int(counts[: len(counts) // 2].sum())
        halves = (torch.arange(edge), torch.arange(edge, len(tokens)))
        return [g for part in halves for g in self._groups(question, tokens.select(part))]

    def _embed(self, ids: Sequence[int]) -> Tensor:
        return self._embedded(torch.tensor(ids, dtype=torch.int64))

    def _embedded(self, ids: Tensor) -> Tensor:
        """Vectors (count, d) of ids (count,), wherever these are."""
        table = self._model.get_input_embeddings()
        embedded: Tensor = table(ids.to(table.weight.device))
        return embedded.to(self._dtype)

    def _stop_ids(self) -> set[int]:
        stop = getattr(self._model.generation_config, "eos_token_id", None)
        given = [*(stop if isinstance(stop, list) else [stop]), self._tokenizer.eos_token_id]
        # what is no id is never spoken, so it ends nothing
        return {i for i in given if isinstance(i, int)}
