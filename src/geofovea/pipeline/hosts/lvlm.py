"""LVLMs of any family, run in this process on stock ``transformers``.

The decoder is driven directly: prefill and decode over ``inputs_embeds`` with explicit positions,
so any subset of vision tokens can be given, with no patch and no placeholder tokens. A model folder
may carry a ``geofovea.json`` with the keys of ``HostSettings``; without it those of its family
hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geofovea.errors import ModelError
from geofovea.pipeline.hosts.attention_scorer import AttentionScorer, Distortion
from geofovea.pipeline.hosts.families import abilities
from geofovea.pipeline.hosts.families.base import Family
from geofovea.pipeline.hosts.families.settings_check import check_settings
from geofovea.pipeline.hosts.fingerprint import EncoderIdentity
from geofovea.pipeline.hosts.learned.trained_parts import TrainedParts
from geofovea.pipeline.hosts.prompt_builder import PromptBuilder, WordEmbedding
from geofovea.pipeline.hosts.region_focus import DistilledFocus, load_focus
from geofovea.pipeline.hosts.scene_positions import SCENE_POSITION_FILE
from geofovea.pipeline.hosts.settings import HostSettings
from geofovea.pipeline.hosts.tile_encoder import TileEncoder
from geofovea.pipeline.inference.attention.backend import unplanned_attention
from geofovea.pipeline.inference.attention.support import can_run_layers, layers_that_see_all
from geofovea.pipeline.inference.decoder.choice_scoring import choice_instruction
from geofovea.pipeline.inference.decoder.generate import AnswerGenerator
from geofovea.pipeline.inference.decoder.greedy import stop_ids
from geofovea.pipeline.inference.decoder.inputs import DecoderInput, Prompt, row_of_tokens
from geofovea.pipeline.inference.decoder.logit_rules import LogitRules
from geofovea.pipeline.inference.decoder.outputs import Generation
from geofovea.pipeline.inference.decoder.prefix_cache import can_reuse_prefix
from geofovea.pipeline.inference.decoder.recorded_steps import RecordedSteps
from geofovea.pipeline.inference.memory.stored_prompts import StoredPrompts
from geofovea.pipeline.inference.vision.inputs import EncodePlan
from geofovea.pipeline.inference.vision.outputs import EncodedTiles
from geofovea.pipeline.system.device_memory import enough_memory
from geofovea.pipeline.system.model_lock import lock_of, one_at_a_time
from geofovea.pipeline.system.torch_threads import threads_for
from geofovea.regionfocus.attention_mode import AttentionMode, default_mode
from geofovea.regionfocus.budget import Budget
from geofovea.regionfocus.dated_tokens import DatedTokens
from geofovea.regionfocus.layer_plans.base import LayerMethod
from geofovea.regionfocus.reductions.decoder.base import DecoderReduction
from geofovea.regionfocus.tokens import TokenSet
from geofovea.tiling.pyramid import Pyramid, Tile

__all__ = ["LvlmHost"]

_WHAT_HELPS = "set a smaller token budget, load it with another dtype, or use a larger device"


class LvlmHost:
    """A loaded LVLM; see the ``Host`` protocol for its methods. Threads may share it.

    It holds the lock of its model and what is known of it; the work is done by its parts: tiles
    become tokens in a `TileEncoder`, questions become prompts in a `PromptBuilder`, attention is
    read by an `AttentionScorer`, and answers are written by an `AnswerGenerator`.
    """

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
        check_settings(name, family, settings, scene_position)
        policy = family.policy(settings)
        self.name = name
        self.tile_size = family.tile_size
        self.default_budget = Budget(tiles=settings.tiles, tokens=settings.tokens)
        self.presence, self.box_style = settings.presence, abilities.box_style(family, tokenizer)
        self.model_lock = lock_of(family.decoder)
        self.threads: int | None = threads_for(family.model)
        self._family, self._model, self._decoder = family, family.model, family.decoder
        self._tokenizer = tokenizer
        self._embedding = WordEmbedding(family.model)
        self._tiles = TileEncoder(name, family, settings, self._embedding.dtype, scene_position)
        grid = self.grid = self._tiles.grid
        self._prompts = PromptBuilder.of(name, family, tokenizer, settings, grid, self._embedding)
        # earlier names of both, which scripts reach for
        self._words, self._prompt = self._prompts.words, self._prompts.sequence
        plain_prompts = abilities.are_plain(family, policy, self._prompts.words.shows_first)
        depth = family.decoder.config.num_hidden_layers
        reuses_prefix = plain_prompts and can_reuse_prefix(family.decoder, depth - 1)
        mode = settings.attention_mode(
            layers_that_see_all(family.decoder), reuses_prefix=reuses_prefix
        )
        self._attention = AttentionScorer(
            family.decoder,
            mode,
            self._prompts,
            plain_prompts=plain_prompts,
            what_helps=_WHAT_HELPS,
        )
        self.focus_origin = settings.focus_origin
        self._settings = replace(settings, focus_layer=mode.depth)
        one_layer = AttentionMode((mode.depth,), correction="raw")
        self._as_it_is = self._attention
        if self.focus_origin == "default":
            self._as_it_is = self._attention.with_mode(one_layer)
        self.shape = family.host_shape(family.config, self.focus_layer, family.tile_size)
        stop = stop_ids(family.model, tokenizer)
        self._writer = AnswerGenerator(
            name,
            family.decoder,
            family.logits,
            self._embedding,
            tokenizer,
            self._prompts.words,
            stop,
            settings.answer_tokens,
            rules=LogitRules.of(family.model.generation_config, stop),
        )
        self.capabilities = abilities.capabilities_of(
            family, settings, attention=self._attention.can_read, context=self._prompts.context
        )
        self._stored: StoredPrompts | None = None
        self._focus_folder: Path | None = None
        self._region_focus: DistilledFocus | None = None
        self.parts: TrainedParts | None = None

    def answering(self, tokens: int) -> LvlmHost:
        """The same model, loaded once, whose answers may be at least so long.

        Raises:
            ModelError: If no answer can be so long.
        """
        if tokens <= self._settings.answer_tokens:
            return self
        other = copy(self)
        other._settings = replace(self._settings, answer_tokens=tokens)
        other._prompts = replace(self._prompts, answer_tokens=tokens)
        other._writer = replace(self._writer, most=tokens)
        other._stored = None
        return other

    def record_steps(self) -> None:
        """Record the steps of answers as CUDA graphs from now on, and replay them.

        Raises:
            ModelError: If the steps of its decoder differ from each other.
        """
        self._writer = replace(self._writer, recorded=RecordedSteps(self._decoder))

    @one_at_a_time
    @torch.inference_mode()
    @unplanned_attention()
    def encode(self, pixels: NDArray[np.uint8], tiles: Sequence[Tile], pyramid: Pyramid) -> Tensor:
        """Vision tokens (k, rows · columns, d) of tiles uint8 (k, T, T, 3), some at once.

        Raises:
            ModelError: If not even one tile fits into the memory of the device.
        """
        return self._tiles.encode(pixels, tiles, pyramid)

    @one_at_a_time
    @torch.inference_mode()
    @unplanned_attention()
    def encode_planned(
        self, pixels: NDArray[np.uint8], tiles: Sequence[Tile], pyramid: Pyramid, plan: EncodePlan
    ) -> EncodedTiles:
        """See ``SupportsEncoderSignals``.

        Raises:
            ModelError: If the vision tower is not a CLIP, cannot be run layer by layer, or does not
                fit the memory of the device.
        """
        return self._tiles.encode_planned(pixels, tiles, pyramid, plan)

    @one_at_a_time
    @torch.inference_mode()
    def question_embeds(self, question: str) -> Tensor:
        """Of the question alone, without template and instruction."""
        words = self._prompts.words
        return self._embedding.of_ids(words.word_ids(words.plain(question)))

    @one_at_a_time
    def encoder_identity(self) -> EncoderIdentity | None:
        """See ``SupportsFingerprint``; weights are read anew where one was changed in place."""
        return self._tiles.identity()

    @one_at_a_time
    @torch.inference_mode()
    def scores(self, question: str, tokens: TokenSet) -> Tensor:
        """What each token gets of the last prompt token's attention, (n,); see ``Host.scores``.

        Tiles that do not fit the context together, or what the layers see of it, are shown one
        group after the other, and the softmax is taken over all of them.

        Raises:
            ModelError: If the decoder is of a kind whose attention cannot be read, or a single tile
                does not fit the context or the memory of the device.
        """
        return self._as_it_is.scores([(question, tokens)])[0]

    def scores_again(self, question: str, tokens: TokenSet) -> Tensor:
        """See ``SupportsPrefixCache``; where a prefix cannot be reused, all runs again."""
        return self.scores_together([(question, tokens)], again=True)[0]

    @one_at_a_time
    @torch.inference_mode()
    def scores_together(
        self, prompts: Sequence[tuple[str, TokenSet]], *, again: bool = False
    ) -> list[Tensor]:
        """See ``SupportsBatching``."""
        return self._attention.scores(prompts, again=again)

    @property
    def attention_mode(self) -> AttentionMode:
        """See ``SupportsAttentionMode``."""
        return self._attention.mode

    @property
    def default_attention_mode(self) -> AttentionMode:
        """See ``SupportsAttentionMode``."""
        return default_mode(self._layers_that_see_all, reuses_prefix=self.reuses_prefix)

    @cached_property
    def _layers_that_see_all(self) -> list[int]:
        return layers_that_see_all(self._decoder)

    @property
    def reuses_prefix(self) -> bool:
        """See ``SupportsAttentionMode``."""
        return self._attention.reuses_prefix

    @property
    def focus_layer(self) -> int:
        """See ``SupportsDecoderAccess``."""
        return self._attention.mode.depth

    def with_attention(self, mode: AttentionMode, distortion: Distortion | None = None) -> LvlmHost:
        """See ``SupportsAttentionMode``."""
        other = copy(self)
        other._attention = other._as_it_is = self._attention.with_mode(mode, distortion)
        other._stored = None
        other.shape = self.shape and replace(self.shape, focus_layer=mode.depth)
        other.capabilities = replace(self.capabilities, attention=other._attention.can_read)
        return other

    @one_at_a_time
    @torch.inference_mode()
    def attention_rows(self, prompts: Sequence[tuple[str, TokenSet]]) -> list[Tensor]:
        """See ``SupportsAttentionMode``."""
        return self._attention.rows(prompts, again=True)

    @one_at_a_time
    def forget_prefixes(self) -> None:
        """Drop what is kept for further questions."""
        self._attention.forget_prefixes()

    def generate(
        self,
        question: str,
        tokens: TokenSet | DatedTokens | None,
        reduction: DecoderReduction | None = None,
        choices: Sequence[str] = (),
        skip: LayerMethod | None = None,
        decoder: Any = None,
    ) -> Generation:
        """Greedy answer from these tokens (or blindly), or the likeliest of some choices.

        Args:
            question: What is asked.
            tokens: What is shown, of one date or several.
            reduction: What drops tokens between the layers of the decoder; None drops none.
            choices: Answers to choose from; they are scored behind the same prompt.
            skip: What vision tokens do inside its layers; None what they always do.
            decoder: What answers in place of its own decoder; None is that.

        Raises:
            ModelError: If the prompt does not fit, or the decoder cannot do what is asked of it.
            QuestionError: If a choice says nothing.
        """
        prompt = Prompt(question, tokens, (*choices,), reduction, skip, decoder)
        return self.generate_together([prompt])[0]

    @one_at_a_time
    @torch.inference_mode()
    def generate_together(self, prompts: Sequence[Prompt]) -> list[Generation]:
        """See ``SupportsBatching``."""
        sequences = [
            self._prompts.sequence(p.question, p.tokens, self._instruction(p)) for p in prompts
        ]
        longest = max((len(each) for each in sequences), default=0)
        with enough_memory(_WHAT_HELPS), unplanned_attention(longest):
            return self._writer.answers(prompts, sequences)

    @one_at_a_time
    def room(self, question: str, tiles: int, choices: Sequence[str] = ()) -> int:
        """Vision tokens of so many tiles that fit the context beside a question; maybe negative."""
        instruction = self._instruction(Prompt(question, None, tuple(choices)))
        return self._prompts.room(question, tiles, instruction)

    def words_of(self, question: str) -> list[str]:
        """The words of a question as the model reads them, in lower case."""
        return self._prompts.words.words_of(question)

    @one_at_a_time
    def unknown_words(self, question: str) -> list[str]:
        """Words that the tokenizer can only map to its unknown token."""
        return self._prompts.words.unknown_words(question)

    def omitted_words(self, question: str) -> tuple[str, ...]:
        """See ``SupportsSpecialWords``."""
        return self._prompts.words.omitted_words(question)

    @property
    def stored_prompts(self) -> StoredPrompts | None:
        """See ``SupportsTileMemory``."""
        marks = self._prompts.layout.marks
        # words within a tile belong to its rows, and those between tiles to none
        is_plain = not (marks.row or marks.between) and can_run_layers(self._decoder)
        if not (is_plain and self._attention.keeps_prompts and self._attention.can_read):
            return None
        if self._stored is None:
            self._stored = StoredPrompts(
                self.name,
                self._decoder,
                self.attention_mode,
                self._prompts,
                self._writer,
                self._attention.sees,
                self._instruction,
                self.threads,
            )
        return self._stored

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
        sequence = self._prompts.sequence(question, tokens, answer=0)
        return row_of_tokens(sequence, self.name)

    def weights(self) -> Iterator[tuple[str, Tensor]]:
        """All parameters and the map of places; see ``SupportsDecoderAccess``."""
        yield from self._model.named_parameters()
        if self._tiles.scene_position is not None:
            yield SCENE_POSITION_FILE, self._tiles.scene_position

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

    def _instruction(self, prompt: Prompt) -> str | None:
        has_letters = bool(self._writer.letters(prompt.choices))
        return choice_instruction(prompt.choices) if has_letters else None
