"""Whether something is in a tile: the probability of yes against no, tile by tile."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from geofovea.datasets.synthetic.vocabulary import SPELLINGS
from geofovea.pipeline.answers.confidence import confidence_of
from geofovea.pipeline.engine.accounting import QuestionUsage
from geofovea.pipeline.engine.calls import EngineCalls
from geofovea.pipeline.engine.metered_generator import pass_of
from geofovea.pipeline.hosts.base import Host, SupportsBatching, SupportsPresence
from geofovea.pipeline.hosts.flops import DecoderPass
from geofovea.pipeline.inference.decoder.inputs import Prompt
from geofovea.pipeline.inference.decoder.outputs import Generation
from geofovea.pipeline.inference.prompts.presence import PresenceWords, singular_of
from geofovea.pipeline.relations.names import bare_phrase
from geofovea.regionfocus.tokens import TokenSet

__all__ = ["YES_OR_NO", "Presence", "PresenceAsker", "asked_phrase", "presence_words"]

YES_OR_NO = ("yes", "no")
_IN_WORDS = " Answer with yes or no."
_PROMPTS_AT_ONCE = 16
_UNCLEAR = (
    "{count} answers were neither yes nor no and were taken for no; choose a model that follows "
    "instructions, or another phrase"
)
_WORDS_ALONE = (
    "the model gives no probabilities: every score is 1 (it said yes) or 0 (it said no), and "
    "min_score= cannot weigh them"
)


@dataclass(frozen=True, slots=True)
class Presence:
    """What the model believes of one tile.

    Attributes:
        probability: That something is there, in [0, 1].
        count: How many, where the model answers with numbers; else None.
    """

    probability: float
    count: int | None = None


def presence_words(host: Host) -> PresenceWords:
    """How a host is asked whether something is there."""
    return host.presence if isinstance(host, SupportsPresence) else PresenceWords()


def asked_phrase(host: Host, phrase: str) -> str:
    """A phrase as a host is asked about it.

    What stands before it, such as *all of the*, is no adjective. A host that knows some words alone
    is asked in these, where another case, spelling or number of the same words makes them known:
    *White-Trucks* is *white truck*.
    """
    bare = bare_phrase(phrase)
    if not host.unknown_words(bare):
        return bare
    words = [SPELLINGS.get(word, word) for word in bare.lower().replace("-", " ").split()]
    forms = (bare, " ".join(words), " ".join([*words[:-1], singular_of(words[-1])]))
    return min(forms, key=lambda form: len(host.unknown_words(form)))


@dataclass(slots=True, eq=False)
class PresenceAsker:
    """Asks one host, and counts what that takes.

    Attributes:
        host: The model.
        calls: How it is asked where it takes one question at a time.
        usage: Its clock takes the time; its warnings take doubts about answers.
        min_score: The least probability that matters.
        tokens: Vision tokens of all prompts so far.
        unclear: Answers that were neither yes nor no.
        has_probabilities: Whether some answer came with a probability; None before any.
        runs: Of the decoder, one for each prompt.
    """

    host: Host
    calls: EngineCalls
    usage: QuestionUsage
    min_score: float = 0.5
    tokens: int = 0
    unclear: int = 0
    has_probabilities: bool | None = None
    runs: list[DecoderPass] = field(default_factory=list)
    _doubts: dict[str, None] = field(default_factory=dict)

    def ask(
        self, question: str, pictures: Sequence[TokenSet], most: int | None = None
    ) -> list[Presence]:
        """Whether the host's answers to a question say that something is there.

        Args:
            question: As its presence words have it.
            pictures: What is shown each time.
            most: Vision tokens that may be taken, at least one prompt for each picture; None for
                `most_tokens`.
        """
        words = presence_words(self.host)
        presences = dict[int, Presence]()
        # it saves time, not tokens
        if words.numbers is not None and (most is None or self.most_tokens(pictures) <= most):
            presences = self._surely_absent(question, words.answers[-1], pictures)
        others = [i for i in range(len(pictures)) if i not in presences]
        generations = self._generations(question, words.answers, [pictures[i] for i in others])
        presences |= zip(
            others, (self._presence(each, words.numbers) for each in generations), strict=True
        )
        return [presences[i] for i in range(len(pictures))]

    def most_tokens(self, pictures: Sequence[TokenSet]) -> int:
        """The vision tokens that `ask` takes for some pictures at most."""
        # a model that says numbers may be asked to say one, and then to choose among all
        prompts = 1 if presence_words(self.host).numbers is None else 2
        return prompts * sum(len(picture) for picture in pictures)

    def ask_yes(self, question: str, pictures: Sequence[TokenSet]) -> list[float]:
        """Probability of yes against no for a question, for each picture."""
        generations = self._generations(question, YES_OR_NO, pictures)
        return [self._presence(each, None).probability for each in generations]

    def note(self, generations: Sequence[Generation], pictures: Sequence[TokenSet]) -> None:
        """Count what prompts about some pictures took."""
        self.tokens += sum(len(picture) for picture in pictures)
        self.runs += [pass_of(*each) for each in zip(generations, pictures, strict=True)]

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a careful reader should know of the answers."""
        warnings = list(self._doubts)
        if self.unclear:
            warnings.append(_UNCLEAR.format(count=self.unclear))
        if self.has_probabilities is False:
            warnings.append(_WORDS_ALONE)
        return tuple(warnings)

    def _surely_absent(
        self, question: str, denial: str, pictures: Sequence[TokenSet]
    ) -> dict[int, Presence]:
        """Pictures of which the model says by itself that nothing is there, surely enough.

        Most tiles of a scene are such. To let it say a number takes a fraction of the time that it
        takes to score them all, and what is left of the probability of its denial bounds what all
        other answers can have together.
        """
        presences = {}
        for index, each in enumerate(self._generations(question, (), pictures)):
            left = 1 - confidence_of(each.log_probabilities)
            if each.text.strip() == denial and left < self.min_score:
                presences[index] = Presence(_clipped(left))
        return presences

    def _generations(
        self, question: str, answers: tuple[str, ...], pictures: Sequence[TokenSet]
    ) -> list[Generation]:
        scores = self.host.capabilities.choices
        choices = answers if scores else ()
        question = question if scores or not answers else f"{question}{_IN_WORDS}"
        prompts = [Prompt(question, picture, choices) for picture in pictures]
        generations: list[Generation] = []
        with self.usage.clock.stage("answer"):
            for start in range(0, len(prompts), _PROMPTS_AT_ONCE):
                some = prompts[start : start + _PROMPTS_AT_ONCE]
                if isinstance(self.host, SupportsBatching):
                    generations += self.host.generate_together(some)
                else:
                    generations += [self.calls.generate(prompt) for prompt in some]
        self.note(generations, pictures)
        return generations

    def _presence(self, generation: Generation, numbers: tuple[int, ...] | None) -> Presence:
        if generation.choices:
            self.has_probabilities = True
            self._doubts |= dict.fromkeys(generation.warnings)
            shares = torch.tensor(generation.choices, dtype=torch.float64).softmax(0)
            if numbers is None:
                return Presence(_clipped(1 - float(shares[-1])))
            of_present = shares[:-1]
            return Presence(_clipped(1 - float(shares[-1])), numbers[int(of_present.argmax())])
        return Presence(self._in_words(generation))

    def _in_words(self, generation: Generation) -> float:
        """What an answer in words says, with its probability where the host gives one."""
        word = re.search(r"\b(yes|no|true|false)\b", generation.text.lower())
        if word is None:
            self.unclear += 1
            return 0.0
        is_there = word[1] in ("yes", "true")
        logs = generation.log_probabilities
        if not logs:
            self.has_probabilities = bool(self.has_probabilities)
            return float(is_there)
        self.has_probabilities = True
        sure = confidence_of(logs)
        return _clipped(sure if is_there else 1 - sure)


def _clipped(probability: float) -> float:
    return min(max(probability, 0.0), 1.0)
