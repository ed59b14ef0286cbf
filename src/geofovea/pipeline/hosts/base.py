"""What the pipeline asks of an LVLM: encode tiles, score tokens, answer. One small protocol.

What a host may do beyond that are the protocols whose names begin with ``Supports``. None has to be
there: whoever uses one asks for it with ``isinstance``, and says what to do where it is missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from geofovea.pipeline.hosts.fingerprint import EncoderIdentity
from geofovea.pipeline.hosts.shapes import HostShape
from geofovea.pipeline.hosts.usage import EndpointUse
from geofovea.pipeline.inference.decoder.inputs import DecoderInput, Prompt
from geofovea.pipeline.inference.decoder.outputs import Generation
from geofovea.pipeline.inference.decoder.spoken_boxes import BoxStyle
from geofovea.pipeline.inference.memory.stored_prompts import StoredPrompts
from geofovea.pipeline.inference.prompts.presence import PresenceWords
from geofovea.pipeline.inference.vision.inputs import EncodePlan
from geofovea.pipeline.inference.vision.outputs import EncodedTiles
from geofovea.regionfocus.attention_mode import AttentionMode
from geofovea.regionfocus.budget import Budget
from geofovea.regionfocus.tokens import TokenSet
from geofovea.tiling.pyramid import Pyramid, Tile
from geofovea.tiling.scene import Scene

__all__ = [
    "LINKS",
    "Capabilities",
    "Host",
    "Speaker",
    "SupportsAttentionMode",
    "SupportsBatching",
    "SupportsContextRoom",
    "SupportsDecoderAccess",
    "SupportsEncoderSignals",
    "SupportsFingerprint",
    "SupportsFlopCount",
    "SupportsFocusModules",
    "SupportsGrounding",
    "SupportsImages",
    "SupportsPrefixCache",
    "SupportsPresence",
    "SupportsRegionFocus",
    "SupportsSpecialWords",
    "SupportsTileMemory",
    "knows_no_word",
    "unknown_words_text",
]

LINKS = ("a", "an", "at", "in", "of", "on", "the", "with")
"""Words of a name that call nothing by themselves."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a host can do beyond answering.

    Attributes:
        attention: Its last-prompt-token attention can be read, so it can focus by itself.
        domain: What its training covered: ``"general"``, or ``"synthetic"`` for the synthetic world
            and ``"synthetic 2"`` for its second version.
        context: The longest sequence in tokens that its positions were made for.
        region_focus: It brings a region focus module, so ``focus="rfm"`` works.
        signals: Fields of a `TokenContext` that it can give beyond its tokens.
        stages: Where inside it tokens can be dropped: ``encoder_layer``, ``decoder_layer``.
        positions: The policy of its position ids; see `inference.prompts.position_ids`.
        choices: It scores answers to choose from, given as ``choices`` to ``generate``.
        layer_plans: ``generate`` takes a layer method, ``skip``, which says what vision tokens do
            inside its layers.
        dates: ``generate`` takes `DatedTokens`, so that it can be asked about several dates.
        unsought: Words that it answers about and never learned to look for.
        confidence_temperature: See `HostSettings`.
    """

    attention: bool
    domain: str
    context: int
    region_focus: bool = False
    signals: frozenset[str] = frozenset()
    stages: frozenset[str] = frozenset()
    positions: str = "compact"
    choices: bool = False
    dates: bool = False
    layer_plans: bool = False
    unsought: frozenset[str] = frozenset()
    confidence_temperature: float = 1.0


@runtime_checkable
class Host(Protocol):
    """An LVLM behind the pipeline.

    Attributes:
        name: How the user named it.
        tile_size: Side in pixels of the tiles that it takes.
        grid: ``(rows, columns)`` of the vision tokens of one tile.
        default_budget: What it spends when the user sets no budget.
        capabilities: What it can do beyond answering, and which scenes it knows.
    """

    name: str
    tile_size: int
    grid: tuple[int, int]
    default_budget: Budget
    capabilities: Capabilities

    def encode(self, pixels: NDArray[np.uint8], tiles: Sequence[Tile], pyramid: Pyramid) -> Tensor:
        """Vision tokens (k, rows · columns, d) of tiles given as uint8 (k, T, T, 3)."""
        ...

    def scores(self, question: str, tokens: TokenSet) -> Tensor:
        """How much the last prompt token attends to each token, float32 (n,), sums to 1.

        A host with ``SupportsAttentionMode`` reads it by the mode that somebody chose or
        calibrated. Where nobody did, this is the attention of its ``focus_layer`` as it is, and
        only the search compares it with neutral questions.

        Raises:
            ModelError: If the host exposes no attention.
        """
        ...

    def generate(self, question: str, tokens: TokenSet | None) -> Generation:
        """Answer a question from exactly these tokens, in their order, greedily.

        None shows no picture at all: what the question alone gives away, the blind baseline.
        """
        ...

    def unknown_words(self, question: str) -> list[str]:
        """Words of a question that the host has no token for; empty for open vocabularies."""
        ...


def unknown_words_text(who: str, unknown: Sequence[str]) -> str:
    """A sentence about words that somebody does not know, the first eight of them."""
    what = "word" if len(unknown) == 1 else "words"
    return f"{who} does not know the {what} {', '.join(unknown[:8])}"


def knows_no_word(host: Host, name: str) -> bool:
    """Whether a name says nothing to a host, so that what it finds is something else."""
    words = [word for word in name.lower().split() if word not in LINKS]
    return bool(words) and set(words) <= set(host.unknown_words(name))


@runtime_checkable
class SupportsAttentionMode(Protocol):
    """A host whose attention is read in one of several modes.

    Attributes:
        attention_mode: Which rows make its scores, and how.
        default_attention_mode: What it would be if nobody had chosen or calibrated one.
        focus_origin: Where that comes from: ``calibrated``, ``chosen`` or ``default``.
        reuses_prefix: Whether a further question about the same tokens costs its words alone.
    """

    @property
    def attention_mode(self) -> AttentionMode:
        """See above."""
        ...

    @property
    def default_attention_mode(self) -> AttentionMode:
        """See above."""
        ...

    @property
    def focus_origin(self) -> str:
        """See above."""
        ...

    @property
    def reuses_prefix(self) -> bool:
        """See above."""
        ...

    def with_attention(self, mode: AttentionMode, distortion: Any = None) -> Host:
        """The same model, read in another mode.

        Args:
            mode: Which rows make its scores, and how.
            distortion: What changes rows as they are read, for benches; see
                ``attention_scorer.Distortion``. None leaves what was there.
        """
        ...

    def attention_rows(self, prompts: Sequence[tuple[str, TokenSet]]) -> list[Tensor]:
        """For each prompt, the rows that its mode names as shares (g, n), before correction."""
        ...


@runtime_checkable
class SupportsBatching(Protocol):
    """A host in this process that takes questions side by side, each as if it were alone."""

    def scores_together(
        self, prompts: Sequence[tuple[str, TokenSet]], *, again: bool
    ) -> list[Tensor]:
        """The scores of the search for each: by the host's ``attention_mode`` where it has one.

        ``again`` is as in ``SupportsPrefixCache.scores_again``.
        """
        ...

    def generate_together(self, prompts: Sequence[Prompt]) -> list[Generation]:
        """As ``Host.generate`` for each."""
        ...


@runtime_checkable
class SupportsContextRoom(Protocol):
    """A host that knows how much of its context a question leaves."""

    def room(self, question: str, tiles: int, choices: Sequence[str] = ()) -> int:
        """Vision tokens of at most so many tiles that fit beside a question; maybe negative."""
        ...


@runtime_checkable
class SupportsPrefixCache(Protocol):
    """A host that need not run the same vision tokens again for each question."""

    def scores_again(self, question: str, tokens: TokenSet) -> Tensor:
        """The scores of the search, for tokens that further questions will be asked of."""
        ...


@runtime_checkable
class SupportsPresence(Protocol):
    """A host that is asked in its own words whether something is there; others in plain English.

    Attributes:
        presence: Those words.
    """

    presence: PresenceWords


@runtime_checkable
class SupportsGrounding(Protocol):
    """A host in this process whose model may have been taught to answer with boxes.

    Attributes:
        box_style: How it writes them; None where it was not taught to.
    """

    box_style: BoxStyle | None

    def answering(self, tokens: int) -> Host:
        """The same model, whose answers may be at least so long."""
        ...


@runtime_checkable
class SupportsTileMemory(Protocol):
    """A host that may answer out of stored keys and values of tiles."""

    @property
    def stored_prompts(self) -> StoredPrompts | None:
        """What does it; None where its prompts cannot be put together out of tiles."""
        ...


@runtime_checkable
class SupportsSpecialWords(Protocol):
    """A host whose tokenizer knows special words, which are left out of questions."""

    def omitted_words(self, question: str) -> tuple[str, ...]:
        """What a careful reader should know about the words that are left out of a question."""
        ...


class Speaker(Protocol):
    """What answers: a host, or one that is held to some choices."""

    def generate(self, question: str, tokens: TokenSet | None) -> Generation:
        """See ``Host.generate``."""
        ...


@runtime_checkable
class SupportsEncoderSignals(Protocol):
    """A host that shows how it encodes, or lets tokens be dropped on the way."""

    def encode_planned(
        self, pixels: NDArray[np.uint8], tiles: Sequence[Tile], pyramid: Pyramid, plan: EncodePlan
    ) -> EncodedTiles:
        """Tiles uint8 (k, T, T, 3), encoded as planned."""
        ...

    def question_embeds(self, question: str) -> Tensor:
        """Embeddings (t, d) of the words of a question, as the decoder would get them."""
        ...


@runtime_checkable
class SupportsFingerprint(Protocol):
    """A host whose tokens may outlive its process, because it can be told from any other."""

    def encoder_identity(self) -> EncoderIdentity | None:
        """What it is now; None where its weights cannot be read, as when they are not loaded."""
        ...


@runtime_checkable
class SupportsDecoderAccess(Protocol):
    """A host with a decoder of stock layers, see `inference.attention.support` for which.

    Attributes:
        decoder: The text model: ``layers``, ``rotary_emb`` and ``config``.
        focus_layer: The layer whose last-prompt-token attention is the host's own focus.
    """

    @property
    def decoder(self) -> Any:
        """See above."""
        ...

    @property
    def focus_layer(self) -> int:
        """See above."""
        ...

    def decoder_input(self, question: str, tokens: TokenSet) -> DecoderInput:
        """The embedded prompt; positions are 0 … s − 1."""
        ...

    def weights(self) -> Iterator[tuple[str, Tensor]]:
        """All that was learned, by name: what makes two hosts the same."""
        ...


@runtime_checkable
class SupportsFlopCount(Protocol):
    """A host whose operations can be counted.

    Attributes:
        shape: What is known of it.
    """

    shape: HostShape | None


@runtime_checkable
class SupportsImages(Protocol):
    """A host that gets whole tiles as pictures, each at a declared price.

    Attributes:
        image_tokens: Vision tokens that one tile costs.
        tile_size: Side of a tile in pixels.
        grid: ``(rows, columns)`` of the pieces that stand for its tokens.
    """

    image_tokens: int
    tile_size: int
    grid: tuple[int, int]

    def for_scene(self, scene: Scene) -> Host:
        """The same host, told where its pictures will come from."""
        ...

    def ask_picture(self, rgb: NDArray[np.uint8], instruction: str) -> str:
        """What the model says about one picture uint8 (rows, columns, 3)."""
        ...

    @property
    def use_here(self) -> EndpointUse:
        """What the calling thread spent so far."""
        ...


@runtime_checkable
class SupportsFocusModules(Protocol):
    """A host that takes a region focus module which was made from it."""

    def use_region_focus(self, folder: Path) -> None:
        """Take the module in a folder; it is loaded when it is first asked for."""
        ...


@runtime_checkable
class SupportsRegionFocus(Protocol):
    """A host that can bring a region focus module; its capabilities say whether it does."""

    def region_scores(self, question: str, tokens: TokenSet) -> Tensor:
        """What the module gives each of n tokens, float32 ``(n,)``, sum 1."""
        ...
