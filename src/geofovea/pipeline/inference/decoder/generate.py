"""From a decoder's last states to words, or to the likeliest of some choices."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Any

import torch
from torch import Tensor

from geofovea.errors import ModelError, QuestionError
from geofovea.pipeline.inference.attention.support import can_batch
from geofovea.pipeline.inference.decoder.choice_scoring import letter_scores, word_scores
from geofovea.pipeline.inference.decoder.decoded_answer import decoded_answer
from geofovea.pipeline.inference.decoder.greedy import greedy_tokens
from geofovea.pipeline.inference.decoder.inputs import Prompt
from geofovea.pipeline.inference.decoder.lazy import planned_run
from geofovea.pipeline.inference.decoder.logit_rules import LogitRules
from geofovea.pipeline.inference.decoder.outputs import Generation, check_finite
from geofovea.pipeline.inference.decoder.pruned import pruned_run, vision_lengths
from geofovea.pipeline.inference.decoder.recorded_steps import RecordedSteps
from geofovea.pipeline.inference.decoder.run import DecoderRun
from geofovea.pipeline.inference.decoder.thought import (
    BEFORE_THOUGHT,
    LEFT_THOUGHT,
    UNTHOUGHT,
    begin_with_thoughts,
    think,
    thought_warning,
)
from geofovea.pipeline.inference.prompts.batch import PromptBatch, run_side_by_side
from geofovea.pipeline.inference.prompts.embeds import PromptSequence
from geofovea.pipeline.inference.prompts.template import PromptTemplate
from geofovea.regionfocus.tokens import TokenSet

__all__ = ["TEXT_CHAT", "UNUSED_CHAT", "AnswerGenerator"]

UNUSED_CHAT = (
    "the chat template of this model does not write one image before one question, so the model "
    "was asked in the usual words of its family, which may not be those that it was trained with; "
    "put a 'template' of your own into its geofovea.json"
)
"""What is said of an answer to another prompt than that of the chat template."""

TEXT_CHAT = (
    "the chat template of this model is for texts alone, so the image was put into the text of the "
    "question as in the usual prompts of its family, which may not be what it was trained with; "
    "put a 'template' of your own into its geofovea.json"
)
"""What is said of an answer to a prompt whose chat template knows no images."""


@dataclass(frozen=True, slots=True, eq=False)
class AnswerGenerator:
    """Answers prompts with a decoder and the head of its model.

    Attributes:
        name: Of the model.
        decoder: Its text model.
        head: States ``(m, d)`` to logits ``(m, V)``.
        embed: Ids ``(m,)`` to vectors ``(m, d)``.
        tokenizer: Makes text of ids.
        words: Makes ids of words.
        stop: Ids that end an answer.
        most: Tokens of the longest answer.
        recorded: Steps that are replayed; None runs each of them.
        rules: What holds for each token of an answer besides; None where nothing does.
    """

    name: str
    decoder: Any
    head: Callable[[Tensor], Tensor]
    embed: Callable[[Tensor], Tensor]
    tokenizer: Any
    words: PromptTemplate
    stop: Collection[int]
    most: int
    recorded: RecordedSteps | None = None
    rules: LogitRules | None = None

    def answers(
        self, prompts: Sequence[Prompt], sequences: Sequence[PromptSequence]
    ) -> list[Generation]:
        """Answer prompts, side by side as far as their kinds and lengths allow.

        Each answer is as if its prompt were alone. Runs that drop tokens or skip work inside the
        decoder, and choices without letters, do go alone.

        Args:
            prompts: What is asked.
            sequences: The same, embedded.

        Raises:
            ModelError: If words of choices would be scored in a run that drops tokens, or the
                model makes numbers that are not finite.
            QuestionError: If a choice says nothing.
        """
        if any(prompt.decoder is not None for prompt in prompts):
            return self._by_decoder(prompts, sequences)
        kinds: dict[_Kind, list[int]] = {}
        for i, prompt in enumerate(prompts):
            kinds.setdefault(self._kind(prompt), []).append(i)
        generations: dict[int, Generation] = {}
        for kind, which in kinds.items():
            together = kind is not _Kind.ALONE and can_batch(self.decoder)
            results = run_side_by_side(
                [len(sequences[i]) for i in which],
                lambda some, kind=kind, of=which: self._answered(  # type: ignore[misc]
                    kind, [prompts[of[i]] for i in some], [sequences[of[i]] for i in some]
                ),
                together=together,
            )
            generations |= zip(which, results, strict=True)
        texts = [len(each) - len(each.visual) for each in sequences]
        return [
            self._noted(replace(generations[i], text_tokens=count)) for i, count in enumerate(texts)
        ]

    def _by_decoder(
        self, prompts: Sequence[Prompt], sequences: Sequence[PromptSequence]
    ) -> list[Generation]:
        """`answers`, those of each decoder together; only the model's own has recorded steps."""
        generations: dict[int, Generation] = {}
        for decoder in {id(prompt.decoder): prompt.decoder for prompt in prompts}.values():
            which = [i for i, prompt in enumerate(prompts) if prompt.decoder is decoder]
            writer = self if decoder is None else replace(self, decoder=decoder, recorded=None)
            plain = [replace(prompts[i], decoder=None) for i in which]
            results = writer.answers(plain, [sequences[i] for i in which])
            generations |= zip(which, results, strict=True)
        return [generations[i] for i in range(len(prompts))]

    def _noted(self, generation: Generation) -> Generation:
        words = self.words
        notes = (
            (words.closes_thought, UNTHOUGHT),
            (words.ignores_chat, UNUSED_CHAT),
            (words.chat_lacks_images, TEXT_CHAT),
        )
        warnings = tuple(note for holds, note in notes if holds)
        return replace(generation, warnings=(*generation.warnings, *warnings))

    def _kind(self, prompt: Prompt) -> _Kind:
        if (
            self.words.thought is not None
            or prompt.drops_tokens
            or prompt.skips_work
            or (prompt.choices and not self.letters(prompt.choices))
        ):
            return _Kind.ALONE
        return _Kind.LETTER if prompt.choices else _Kind.GREEDY

    def _answered(
        self, kind: _Kind, prompts: Sequence[Prompt], sequences: Sequence[PromptSequence]
    ) -> list[Generation]:
        if kind is _Kind.ALONE:
            return [self._alone(*one) for one in zip(prompts, sequences, strict=True)]
        run = DecoderRun(self.decoder, PromptBatch.of(sequences), self.most, self.recorded)
        states = run.prefill()
        if kind is _Kind.GREEDY:
            return self.greedy(states, run.advance, [each.words for each in sequences])
        chosen = [self.letter(s, p.choices) for s, p in zip(states, prompts, strict=True)]
        return self._doubted(chosen, states, run.advance, [each.words for each in sequences])

    def answer_of(self, prompt: Prompt, sequence: PromptSequence, run: DecoderRun) -> Generation:
        """Answer one prompt from a run that is prepared for it, and drops nothing.

        Args:
            prompt: What is asked.
            sequence: The same, embedded.
            run: Not begun yet.

        Raises:
            ModelError: If the model makes numbers that are not finite.
            QuestionError: If a choice says nothing.
        """
        generation = self._behind_thought(
            run.prefill(), run.advance, prompt, sequence.words, run.peek
        )
        text = len(sequence) - len(sequence.visual)
        return self._noted(replace(generation, text_tokens=text))

    def _alone(self, prompt: Prompt, sequence: PromptSequence) -> Generation:
        spelt = bool(prompt.choices) and not self.letters(prompt.choices)
        tokens, reduction = prompt.tokens, prompt.reduction
        if prompt.skips_work:
            return self._skipping(prompt, sequence)
        if not prompt.drops_tokens or not isinstance(tokens, TokenSet) or reduction is None:
            room = self.most + (self.words.thought.reach if self.words.thought else 0)
            plain = DecoderRun(self.decoder, PromptBatch.of([sequence]), room)
            return self._behind_thought(
                plain.prefill(), plain.advance, prompt, sequence.words, plain.peek
            )
        if spelt:
            raise ModelError(
                f"{self.name} has no letters to choose by, and its decoder cannot score words "
                "with a reduction inside; leave out the reduction or the choices"
            )
        run = pruned_run(self.decoder, sequence, tokens, reduction)
        state = run.advance(sequence.embedded)
        generation = self._behind_thought(state, run.advance, prompt, sequence.words)
        return replace(generation, tokens_by_layer=vision_lengths(run, sequence))

    def _skipping(self, prompt: Prompt, sequence: PromptSequence) -> Generation:
        """Answer one prompt whose vision tokens do less inside the layers.

        Raises:
            ModelError: If its tokens are of several dates, its choices have no letters, or the
                decoder cannot be run by a plan.
        """
        tokens, method = prompt.tokens, prompt.skip
        if not isinstance(tokens, TokenSet) or method is None:
            raise ModelError(
                "work inside layers is skipped for tokens of one date; leave out skip="
            )
        if prompt.choices and not self.letters(prompt.choices):
            raise ModelError(
                f"{self.name} has no letters to choose by, and its decoder cannot score words "
                "while it skips work; leave out skip= or the choices"
            )
        method = method.of(tokens)
        run = planned_run(self.decoder, sequence, method, tokens.tile_index)
        generation = self._behind_thought(run.prefill(), run.advance, prompt, sequence.words)
        return replace(
            generation,
            tokens_by_layer=run.tokens_by_layer,
            layer_work=tuple(run.work),
            tokens_beside=run.tokens_beside,
        )

    def _behind_thought(
        self,
        state: Tensor,
        advance: Callable[[Tensor], Tensor],
        prompt: Prompt,
        words: Sequence[int],
        peek: Callable[[Tensor], Tensor] | None = None,
    ) -> Generation:
        """Answer one prompt, behind a thought where the model gets room for one.

        Args:
            state: Of the last token of the prompt, ``(1, d)``.
            advance: The state ``(1, d)`` behind one more token, ``(1, 1, d)``.
            prompt: What is asked.
            words: Ids of the words of the prompt.
            peek: See `wording`, for choices without letters.
        """
        marks = self.words.thought
        if marks is None:
            return self._answer(state, advance, prompt.choices, words, peek)

        def likeliest(state: Tensor, ids: Sequence[int]) -> int:
            logits = self._logits(state)
            if self.rules is None:
                return int(logits.argmax(-1))
            return int(self.rules.likeliest(logits, [[*words, *ids]]))

        thought = think(state, advance, likeliest, self.embed, marks, self.stop, peek)
        words = (*words, *thought.ids)
        generation = self._answer(thought.state, thought.advance, prompt.choices, words, peek)
        cut = (thought_warning(marks.most),) if thought.was_cut else ()
        left = (LEFT_THOUGHT,) if thought.was_left else ()
        return replace(
            generation,
            warnings=(*generation.warnings, *cut, *left),
            thought_tokens=len(thought.ids),
        )

    def _answer(
        self,
        state: Tensor,
        advance: Callable[[Tensor], Tensor],
        choices: Sequence[str],
        words: Sequence[int],
        peek: Callable[[Tensor], Tensor] | None,
    ) -> Generation:
        if not choices:
            return self.greedy(state, advance, [words])[0]
        if peek is None or self.letters(choices):
            chosen = self.letter(state[0], choices)
        else:
            chosen = self.wording(state[0], choices, peek)
        return self._doubted([chosen], state, advance, [words])[0]

    def _doubted(
        self,
        chosen: Sequence[Generation],
        states: Tensor,
        advance: Callable[[Tensor], Tensor],
        prompts: Sequence[Sequence[int]],
    ) -> list[Generation]:
        """Choices with a warning where the model would have begun with a thought; as `greedy`."""

        def likeliest(states: Tensor, answers: Sequence[Sequence[int]]) -> Tensor:
            logits = self._logits(states)
            if self.rules is None:
                return logits.argmax(-1)
            return self.rules.behind(prompts)(logits, answers)

        thinks = begin_with_thoughts(
            states, advance, likeliest, self.embed, self.tokenizer, self.stop
        )
        return [
            replace(each, warnings=(*each.warnings, BEFORE_THOUGHT)) if thinks_first else each
            for each, thinks_first in zip(chosen, thinks, strict=True)
        ]

    def greedy(
        self,
        states: Tensor,
        advance: Callable[[Tensor], Tensor],
        prompts: Sequence[Sequence[int]],
    ) -> list[Generation]:
        """The likeliest word after word, for some prompts at once.

        Args:
            states: Of the last token of each prompt, ``(b, d)``.
            advance: States ``(b, d)`` behind one more token of each, ``(b, 1, d)``.
            prompts: Ids of the words of each prompt.
        """
        tokens = greedy_tokens(
            states,
            advance,
            self._logits,
            self.embed,
            self.stop,
            self.most,
            None if self.rules is None else self.rules.behind(prompts),
        )
        check_finite(tokens.log_probabilities, self.name, self.decoder)
        logs = tokens.log_probabilities.tolist()
        return [
            decoded_answer(
                self.tokenizer, ids, log[: len(ids)], most=self.most, has_ended=has_ended
            )
            for ids, log, has_ended in zip(tokens.ids, logs, tokens.has_ended, strict=True)
        ]

    def letter(self, state: Tensor, choices: Sequence[str]) -> Generation:
        """The choice whose letter is likeliest behind a prompt with the last state ``(d,)``."""
        believed = self._log_probabilities(state[None])[0]
        return self._likeliest(choices, letter_scores(believed, self.letters(choices)))

    def wording(
        self, state: Tensor, choices: Sequence[str], peek: Callable[[Tensor], Tensor]
    ) -> Generation:
        """The choice whose words are likeliest.

        Args:
            state: Of the last token of the prompt, ``(d,)``.
            choices: Answers.
            peek: States ``(m, d)`` of tokens ``(1, m, d)`` behind the prompt.

        Raises:
            QuestionError: If a choice says nothing.
        """
        ids = [self.words.word_ids(self.words.plain(choice)) for choice in choices]
        if not all(ids):
            raise QuestionError(f"a choice among {', '.join(choices)} has no words; reword it")

        def follow(some: Sequence[int]) -> Tensor:
            return self._log_probabilities(peek(self.embed(torch.tensor(some))[None]))

        believed = self._log_probabilities(state[None])[0]
        return self._likeliest(choices, word_scores(believed, ids, self.stop, follow))

    def letters(self, choices: Sequence[str]) -> list[list[int]]:
        """Ids of the letter of each choice; none if the vocabulary lacks one."""
        letters = [self.words.letter_ids(chr(ord("A") + i)) for i in range(len(choices))]
        return letters if all(letters) else []

    def _likeliest(self, choices: Sequence[str], scores: Tensor) -> Generation:
        """The choice with the highest score."""
        check_finite(scores, self.name, self.decoder)
        best = int(scores.argmax())
        return Generation(
            choices[best],
            (float(scores.log_softmax(0)[best]),),
            choices=tuple(scores.tolist()),
        )

    def _log_probabilities(self, states: Tensor) -> Tensor:
        """Log-probabilities of the next token, float32 (m, V), after states (m, d)."""
        return self._logits(states).log_softmax(-1)

    def _logits(self, states: Tensor) -> Tensor:
        """Logits of the next token, float32 (m, V), after states (m, d)."""
        return self.head(states).float()


class _Kind(Enum):
    """How a prompt is answered: word by word, by a letter, or alone."""

    GREEDY = auto()
    LETTER = auto()
    ALONE = auto()
