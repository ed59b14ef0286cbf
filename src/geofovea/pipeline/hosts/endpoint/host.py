"""A black-box LVLM behind an OpenAI-compatible endpoint: it receives the surviving tiles as images.

Works with whatever speaks the chat API: vLLM, SGLang, Ollama, llama.cpp, clouds. It has no
attention to focus with, so the focus is ``prompted`` or ``similarity``, or a baseline.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from geofovea._plurals import counted
from geofovea.datasets.scoring.spoken_answer import spoken_answer
from geofovea.errors import ModelError
from geofovea.pipeline.hosts.base import Capabilities
from geofovea.pipeline.hosts.endpoint.client import EndpointClient
from geofovea.pipeline.hosts.endpoint.images import (
    ScenePlace,
    data_url,
    framed,
    pictures_from_tokens,
    tokens_from_pixels,
)
from geofovea.pipeline.hosts.endpoint.ledger import Ledger
from geofovea.pipeline.hosts.endpoint.response import ChatReply
from geofovea.pipeline.hosts.endpoint.settings import ENDPOINT_PREFIX, EndpointSettings
from geofovea.pipeline.hosts.endpoint.shared_ledger import SharedLedger
from geofovea.pipeline.hosts.usage import EndpointUse
from geofovea.pipeline.inference.decoder.decoded_answer import cut_warning
from geofovea.pipeline.inference.decoder.outputs import Generation
from geofovea.pipeline.inference.prompts.finished_prompt import FinishedPrompt
from geofovea.regionfocus.budget import Budget
from geofovea.regionfocus.dated_tokens import DatedTokens
from geofovea.regionfocus.tokens import TokenSet
from geofovea.tiling.pyramid import Box, Pyramid, Tile
from geofovea.tiling.scene import Scene

__all__ = ["EndpointHost", "endpoint_host"]

"""Begins the name of a model that is behind an endpoint."""

_DEFAULT_TILES = 48
_DEFAULT_PICTURES = 16
_INSTRUCTION = "Answer the question using a single word or phrase."
_INTRODUCTION = (
    "You see {pictures} of one satellite scene, from the whole of it to details. Positions "
    "are given in percent of the scene, x from its left and y from its top edge."
)
_INTRODUCTION_OF_DATES = (
    "You see {pictures} of one place at several dates, from the whole of it to details. "
    "Pictures of one position show the same ground. Positions are given in percent of the scene, x "
    "from its left and y from its top edge."
)
_OVERHEAD_TOKENS = 64
_PICKING_TOKENS = 64
_LONGEST_NAME = 200
# not sent: the size of a picture, on its way to the estimate of what it costs
_SIZE = "size"


class EndpointHost:
    """A model behind an endpoint; see the ``Host`` protocol for its methods."""

    def __init__(self, model: str, client: EndpointClient, place: ScenePlace | None = None) -> None:
        """Wrap what reaches the model; nothing is sent yet.

        Args:
            model: The name by which the endpoint knows it.
            client: Shared by the hosts of several scenes, and with it what is spent.
            place: Where the pictures come from; None before the scene is known.
        """
        settings = client.settings
        self.name = f"{ENDPOINT_PREFIX}{model}"
        self.tile_size = settings.tile_size
        self.grid = settings.grid
        self.image_tokens = settings.image_tokens
        self.default_budget = Budget(_DEFAULT_TILES, _DEFAULT_PICTURES * settings.image_tokens)
        # the context is the endpoint's own affair: it says so when a prompt is too long
        self.capabilities = Capabilities(
            attention=False, domain="general", context=2**31, dates=True
        )
        self._model = model
        self._client = client
        self._place = place

    def for_scene(self, scene: Scene) -> EndpointHost:
        """The same host, told where its pictures will come from."""
        place = ScenePlace(scene.width, scene.height, scene.gsd_m)
        return EndpointHost(self._model, self._client, place)

    @property
    def use(self) -> EndpointUse:
        """What was spent so far, over all scenes and questions."""
        return self._client.ledger.use

    @property
    def use_here(self) -> EndpointUse:
        """What the calling thread spent so far: that of one question is told from others'."""
        return self._client.ledger.use_here

    def encode(
        self,
        pixels: NDArray[np.uint8],
        tiles: Sequence[Tile],  # noqa: ARG002
        pyramid: Pyramid,  # noqa: ARG002
    ) -> Tensor:
        """Pieces of the pictures, uint8 (k, rows · columns, d): see `hosts.endpoint.images`."""
        return tokens_from_pixels(pixels, self.grid)

    def scores(self, question: str, tokens: TokenSet) -> Tensor:  # noqa: ARG002
        """Refused: nothing is known of the attention behind an endpoint.

        Raises:
            ModelError: Always.
        """
        raise ModelError(
            f"{self.name} exposes no attention; choose focus='prompted' or 'similarity'"
        )

    def generate(self, question: str, tokens: TokenSet | DatedTokens | None) -> Generation:
        """Answer from whole tiles, each sent as a picture with its place, and date, in words.

        Raises:
            EndpointError: See ``EndpointClient.complete``.
            SpendLimitError: Likewise.
        """
        content: list[dict[str, Any]] = []
        if tokens is not None:
            content += self._pictures(tokens)
        is_finished = isinstance(question, FinishedPrompt)
        content.append(_text(question if is_finished else f"Question: {question}\n{_INSTRUCTION}"))
        reply, warnings = self._ask(content, self._client.settings.answer_tokens)
        if not reply.text:
            warnings.append("the endpoint gave no answer: its text is empty")
        elif reply.log_probabilities is None:
            warnings.append(
                "the endpoint gives no log-probabilities: how sure the answer is, is not known; "
                "the confidence of 0 only stands for that"
            )
        return Generation(reply.text, reply.log_probabilities or (), warnings=tuple(warnings))

    def _pictures(self, tokens: TokenSet | DatedTokens) -> list[dict[str, Any]]:
        """An introduction, and the pictures with their words, of one date after the other."""
        dates: list[tuple[str, Any]] = [("", tokens)]
        introduction = _INTRODUCTION
        if isinstance(tokens, DatedTokens):
            dates = list(zip(tokens.labels, tokens.sets, strict=True))
            introduction = _INTRODUCTION_OF_DATES
        shown = [
            (label, picture)
            for label, each in dates
            for picture in pictures_from_tokens(each, self.tile_size, self.grid)
        ]
        content = [_text(introduction.format(pictures=counted(len(shown), "picture")))]
        for number, (label, picture) in enumerate(shown, 1):
            words = self._words(picture.tile.level, picture.box_scene)
            words = f"{label} {words}" if label else words
            content += [_text(f"Picture {number}: {words}."), self._image(picture.rgb)]
        return content

    def ask_picture(self, rgb: NDArray[np.uint8], instruction: str) -> str:
        """What the model says about one picture uint8 (rows, columns, 3); empty if not to its end.

        Raises:
            EndpointError: See ``EndpointClient.complete``.
            SpendLimitError: Likewise.
        """
        # a model that thinks before it speaks needs as many for a few words as for an answer
        tokens = max(_PICKING_TOKENS, self._client.settings.answer_tokens)
        reply, _ = self._ask([self._image(rgb), _text(instruction)], tokens)
        # the last number of a list that was cut may be the beginning of another, and numbers
        # between marks that are not known may be thoughts
        is_doubtful = reply.is_cut or reply.ended_by or spoken_answer(reply.text).mark
        return "" if is_doubtful else reply.text

    def unknown_words(self, question: str) -> list[str]:  # noqa: ARG002
        """None: what an endpoint's tokenizer knows cannot be seen."""
        return []

    def _words(self, level: int, box_scene: Box) -> str:
        if self._place is None:
            return f"level {level}"
        return self._place.words(level, box_scene)

    def _image(self, rgb: NDArray[np.uint8]) -> dict[str, Any]:
        image = framed(rgb)
        url = data_url(image, self._client.settings.picture_format)
        return {"type": "image_url", "image_url": {"url": url}, _SIZE: image.shape[:2]}

    def _ask(
        self, content: list[dict[str, Any]], answer_tokens: int
    ) -> tuple[ChatReply, list[str]]:
        sizes = [part.pop(_SIZE) for part in content if _SIZE in part]
        pixels_a_token = self.tile_size**2 / self.image_tokens
        price = sum(math.ceil(rows * cols / pixels_a_token) for rows, cols in sizes)
        letters = sum(len(part.get("text", "").encode()) for part in content)
        # three bytes a token is on the safe side for English, and a token a character for Chinese
        estimate = price + letters // 3 + _OVERHEAD_TOKENS
        payload = {
            "model": self._model,
            "messages": [{"role": "user", "content": content}],
            "max_tokens": answer_tokens,
            "temperature": 0,
            "logprobs": True,
            # said, because some servers stream unless they are told not to
            "stream": False,
        }
        reply = self._client.complete(payload, estimate, answer_tokens, len(sizes))
        return reply, self._doubts(reply, estimate, price)

    def _doubts(self, reply: ChatReply, estimate: int, price: int) -> list[str]:
        """What a careful reader should know about a reply."""
        settings, doubts = self._client.settings, list(reply.notes)
        if reply.is_cut:
            doubts.append(cut_warning(settings.answer_tokens))
        if reply.ended_by:
            doubts.append(f"the endpoint ended the answer early: {reply.ended_by}")
        if reply.usage is not None and reply.usage[0] > 1.25 * estimate and price:
            doubts.append(
                f"the endpoint counted {reply.usage[0]} prompt tokens where about {estimate} were "
                f"expected: its pictures cost more than the declared {self.image_tokens} tokens; "
                "declare it with image_tokens="
            )
        if settings.key() is not None and not settings.is_private:
            doubts.append(f"the key and the pictures travel to {settings.display_url} unencrypted")
        return doubts


def endpoint_host(name: str, settings: EndpointSettings | None) -> EndpointHost:
    """The host of a name such as ``openai:Qwen/Qwen2.5-VL-7B-Instruct``.

    Raises:
        ModelError: If no model or no endpoint is named, or the key that is named is not there.
    """
    model = name.removeprefix(ENDPOINT_PREFIX)
    if not model or not model.isprintable() or len(model) > _LONGEST_NAME:
        raise ModelError(
            f"{name!r:.80} names no model; write {ENDPOINT_PREFIX}NAME, for example "
            f"{ENDPOINT_PREFIX}Qwen/Qwen2.5-VL-7B-Instruct"
        )
    if settings is None:
        raise ModelError(
            f"{name} is behind an endpoint: say where with endpoint=, such as "
            "endpoint='http://localhost:8000/v1'"
        )
    settings.key()
    limit, file = settings.limit, settings.ledger_file
    ledger = Ledger(limit) if file is None else SharedLedger(limit, file)
    return EndpointHost(model, EndpointClient(settings, ledger))


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}
