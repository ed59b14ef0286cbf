"""How to reach an OpenAI-compatible endpoint, what its pictures cost, what may be spent there."""

from __future__ import annotations

import ipaddress
import math
import os
import re
import sys
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urlsplit, urlunsplit

from geofovea._arguments import is_number, is_whole, shown
from geofovea.errors import BudgetError, ModelError

__all__ = ["DEFAULT_KEY_VARIABLE", "ENDPOINT_PREFIX", "EndpointSettings", "SpendLimit"]

ENDPOINT_PREFIX = "openai:"
"""How the name of a model behind an endpoint begins."""
DEFAULT_ANSWER_TOKENS = 128
DEFAULT_KEY_VARIABLE = "GEOFOVEA_API_KEY"
"""Read where no other variable is named. Not a provider's own: its key must not go to others."""
_OPENAI_VARIABLE, _OPENAI_HOST = "OPENAI_API_KEY", "api.openai.com"

_EXAMPLES = (
    "for example http://localhost:8000/v1 (vLLM), http://localhost:30000/v1 (SGLang), "
    "http://localhost:11434/v1 (Ollama) or https://api.openai.com/v1"
)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_USUAL = re.compile(r"[A-Z_][A-Z0-9_]{0,63}")
_MOST_SIDE = 4096
_SIZES = ("tile_size", "image_tokens")
_WHOLE = (*_SIZES, "answer_tokens", "attempts")
_TIMES = ("attempt_seconds", "total_seconds")
_MAY_BE_NONE = ("attempts", "attempt_seconds")
_KEY = re.compile(r"[\x21-\x7e]+")


@dataclass(frozen=True, slots=True)
class SpendLimit:
    """The most that one host may spend at its endpoint, over all its questions.

    Attributes:
        calls: Requests sent, repeated ones included.
        tokens: Prompt and answer tokens together, as the endpoint counts them.

    Raises:
        BudgetError: If a limit is not a whole number of at least 1.

    Examples:
        >>> geofovea.SpendLimit(calls=50)
        SpendLimit(calls=50, tokens=1000000)
    """

    calls: int = 200
    tokens: int = 1_000_000

    def __post_init__(self) -> None:
        for name in ("calls", "tokens"):
            limit: object = getattr(self, name)
            if not is_whole(limit, 1):
                raise BudgetError(
                    f"a spend limit needs {name} as a whole number of at least 1, got "
                    f"{shown(limit)}"
                )


@dataclass(frozen=True, slots=True)
class EndpointSettings:
    """Where an endpoint is and how to deal with it.

    Attributes:
        url: Its base address, ``http`` or ``https``; ``/chat/completions`` is added.
        key_variable: Environment variable that holds the key; without it no key is sent.
        limit: What may be spent.
        tile_size: Side in pixels of the tiles that are sent.
        image_tokens: Vision tokens that the model makes of one such tile. Budgets are counted in
            them, so they must form a square grid on the tile: 16 × 16 tokens of 28 px by default,
            as Qwen2.5-VL and InternVL have them.
        picture_format: ``jpeg`` (quality 90) or ``png``.
        answer_tokens: Most tokens of an answer.
        attempt_seconds: Longest that one request may take, from connecting to the last byte; None
            is as long as the call may: local servers take minutes for the first answer.
        total_seconds: Longest that a call may take with all its repetitions and pauses.
        attempts: Most requests for one call. None is 4 where a reply fails, and as many as the
            time allows, with longer and longer pauses, while the endpoint is not ready or asks to
            be left alone.
        pause_seconds: First pause before a repetition; each further one is twice as long.
        ledger_file: File that makes the limit one for all processes that name it. A call is counted
            there before it is sent.

    Raises:
        ModelError: If a value cannot be meant.
    """

    url: str
    key_variable: str = DEFAULT_KEY_VARIABLE
    limit: SpendLimit = SpendLimit()
    tile_size: int = 448
    image_tokens: int = 256
    picture_format: str = "jpeg"
    answer_tokens: int = DEFAULT_ANSWER_TOKENS
    attempt_seconds: float | None = None
    total_seconds: float = 180.0
    attempts: int | None = None
    pause_seconds: float = 0.5
    ledger_file: str | None = None

    def __post_init__(self) -> None:
        _check_url(self.url)
        _check_variable(self.key_variable)
        self._check_numbers()
        self._check_grid()
        form = self.picture_format
        if not isinstance(form, str) or form not in ("jpeg", "png"):
            raise ModelError(f"picture_format is 'jpeg' or 'png', got {shown(form)}")
        if not isinstance(self.limit, SpendLimit):
            raise ModelError(f"limit is a geofovea.SpendLimit, got {shown(self.limit)}")
        if self.ledger_file is not None and not isinstance(self.ledger_file, str):
            raise ModelError(f"ledger_file is the name of a file, got {shown(self.ledger_file)}")

    def _check_numbers(self) -> None:
        """That whole numbers are whole, and that what is counted or waited for is positive."""
        for name in (*_WHOLE, *_TIMES):
            value = getattr(self, name)
            if value is None and name in _MAY_BE_NONE:
                continue
            if name in _WHOLE and not is_whole(value, -sys.maxsize):
                raise ModelError(f"{name} must be a whole number, got {shown(value)}")
            if name not in _SIZES and (not is_number(value) or value <= 0):
                raise ModelError(f"{name} must be positive, got {shown(value)}")
        pause = self.pause_seconds
        if not is_number(pause) or pause < 0:
            raise ModelError(f"pause_seconds must not be negative, got {shown(pause)}")

    def _check_grid(self) -> None:
        """That the vision tokens of a tile form a square grid on it."""
        if not 1 <= self.tile_size <= _MOST_SIDE:
            raise ModelError(f"tile_size is 1 to {_MOST_SIDE} pixels, got {self.tile_size}")
        side = math.isqrt(max(0, self.image_tokens))
        if side < 1 or side**2 != self.image_tokens or self.tile_size % side:
            fitting = [n * n for n in range(4, 65) if self.tile_size % n == 0]
            raise ModelError(
                f"image_tokens={self.image_tokens} do not form a square grid on tiles of "
                f"{self.tile_size} px; choose the nearest of {', '.join(map(str, fitting))}"
            )

    def described(self) -> dict[str, Any]:
        """The settings that change answers; times, attempts and the key are not among them."""
        names = ("tile_size", "image_tokens", "picture_format", "answer_tokens")
        # as it is asked for: a stroke at the end or a capital in the host is no other endpoint
        parts = urlsplit(self.display_url)
        url = urlunsplit(parts._replace(netloc=parts.netloc.lower()))
        return {"url": url} | {name: getattr(self, name) for name in names}

    @property
    def grid(self) -> tuple[int, int]:
        """``(rows, columns)`` of the vision tokens of one tile."""
        side = math.isqrt(self.image_tokens)
        return side, side

    @property
    def display_url(self) -> str:
        """The address as it may stand in messages."""
        return self.url.rstrip("/")

    @property
    def is_local(self) -> bool:
        """Whether the endpoint is on this machine, so that no proxy is asked."""
        host = urlsplit(self.url).hostname or ""
        try:
            address = ipaddress.ip_address(host)
            # servers print 0.0.0.0, the address they listen at, and it leads to this machine
            return address.is_loopback or address.is_unspecified
        except ValueError:
            return host == "localhost" or host.endswith(".localhost")

    @property
    def is_private(self) -> bool:
        """Whether nobody on the way can read what is sent."""
        return self.is_encrypted or self.is_local

    @property
    def is_encrypted(self) -> bool:
        """Whether it is reached by ``https``."""
        return urlsplit(self.url).scheme == "https"

    @property
    def _is_openai(self) -> bool:
        return self.is_encrypted and urlsplit(self.url).hostname == _OPENAI_HOST

    def key(self) -> str | None:
        """The key from the environment; None where the default variable is not set.

        Raises:
            ModelError: If another variable was named and is not set, or what it holds is not a key.
        """
        key = os.environ.get(self.key_variable, "").strip()
        if not key and self.key_variable == DEFAULT_KEY_VARIABLE and self._is_openai:
            key = os.environ.get(_OPENAI_VARIABLE, "").strip()
        if not key:
            if self.key_variable == DEFAULT_KEY_VARIABLE:
                return None
            # a key may have been given in place of a name, and some look nearly like one
            variable = (
                self.key_variable if _USUAL.fullmatch(self.key_variable) else "that was named"
            )
            raise ModelError(
                f"the environment variable {variable} is not set; put the key of "
                f"{self.display_url} into it"
            )
        if not _KEY.fullmatch(key):
            raise ModelError(
                f"the environment variable {self.key_variable} holds characters that no key has; "
                "copy the key again"
            )
        return key


def _check_variable(name: str) -> None:
    if not isinstance(name, str) or not _VARIABLE.fullmatch(name):
        # the name is not repeated: a key may have been given in its place
        raise ModelError(
            "the key variable must be the name of an environment variable, such as "
            f"{DEFAULT_KEY_VARIABLE}; the key itself is never an argument"
        )


def _parts_of(url: str) -> SplitResult | None:
    """The parts of an address; None if it is not whole."""
    try:
        parts = urlsplit(url)
        is_whole = bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        return None
    # a space from the clipboard would be asked for as part of the path
    return parts if is_whole and not re.search(r"\s", url) else None


def _check_url(url: str) -> None:
    if not isinstance(url, str):
        raise ModelError(f"an endpoint is an http or https address, got {shown(url)}; {_EXAMPLES}")
    parts = _parts_of(url)
    if parts is None or parts.scheme not in ("http", "https"):
        # an address with one of these may hold a secret
        got = "another text" if re.search("[@?#]", url) else shown(url)
        raise ModelError(f"an endpoint is an http or https address, got {got}; {_EXAMPLES}")
    if parts.username is not None or parts.query or parts.fragment or not url.isprintable():
        # such an address may hold a secret, so it is not repeated
        raise ModelError(
            "the address of an endpoint must have no password, query or fragment; put the key "
            f"into the environment variable {DEFAULT_KEY_VARIABLE} and give the address alone, "
            f"{_EXAMPLES}"
        )
    if parts.path.rstrip("/").endswith("/chat/completions"):
        raise ModelError(
            "the address of an endpoint ends where /chat/completions begins, which is added; got "
            f"{url:.200}"
        )
