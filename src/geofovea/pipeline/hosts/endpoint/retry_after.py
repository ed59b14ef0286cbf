"""How long an endpoint asks to be left alone, in the many ways in which servers say it.

``Retry-After`` is a number or a date, and a date is one of the server's clock, so it is compared
with the ``Date`` of the same reply. OpenAI and Azure have ``retry-after-ms``; Google writes
``retryDelay`` into the body; others write a sentence, or say when a limit on the rate is reset.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from geofovea.pipeline.hosts.endpoint.error_body import error_of

__all__ = ["RetryHint", "retry_hint"]

_UNITS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_UNIT = r"ms|msecs?|millis|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?"
_NUMBER = r"\d{1,12}(?:\.\d{1,9})?"
_PART = re.compile(rf"({_NUMBER})\s*({_UNIT})(?![a-z])", re.IGNORECASE)
_SPAN = rf"{_NUMBER}\s*(?:{_UNIT})(?![a-z])(?:\s*(?:,|and)?\s*{_NUMBER}\s*(?:{_UNIT})(?![a-z]))*"
_ISO_SPAN = re.compile(
    rf"P(?:({_NUMBER})D)?(?:T(?:({_NUMBER})H)?(?:({_NUMBER})M)?(?:({_NUMBER})S)?)?", re.IGNORECASE
)
_ISO_DATE = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?"
# a sentence that names a time to wait; no point and no digit between the word and the time
_TIL = r"\b(?:again|retry\w*|wait\w*|resets?|reset(?:ting)?|available|ready|back)\b[^.;\d]{0,40}?"
_IN_WORDS = re.compile(rf"{_TIL}({_SPAN})", re.IGNORECASE)
_BARE_IN_WORDS = re.compile(
    rf"\bretry[-_ ]?after\b[^\w.]{{1,4}}({_NUMBER})(?![\w.]|\s*(?:{_UNIT})\b)", re.IGNORECASE
)
_AT_IN_WORDS = re.compile(rf"{_TIL}({_ISO_DATE})", re.IGNORECASE)

_EXPLICIT_HEADERS = {
    "retry-after-ms": 1e-3,
    "x-ms-retry-after-ms": 1e-3,
    "x-retry-after-ms": 1e-3,
    "retry-after": 1.0,
    "x-retry-after": 1.0,
}
_RESET_HEADER = re.compile(r"(?:^|-)rate-?limit-(?:.*-)?reset(?:-.*)?$")
_RESET_FIELD = re.compile(r"\b(?:reset|t)=(\d+)", re.IGNORECASE)
_REMAINING_FIELD = re.compile(r"\b(?:remaining|r)=(\d+)", re.IGNORECASE)

# names of fields in a body, without what joins their words, and their units taken off
_WAITS = frozenset(
    (
        *("retryafter", "retryin", "retrydelay", "retryat", "wait", "waittime", "waitfor"),
        *("resetin", "resetsin", "resetafter", "resetat", "resetsat", "availableat"),
        *("cooldown", "backoff"),
    )
)
_ESTIMATES = frozenset(("estimatedtime", "eta", "xratelimitreset", "ratelimitreset"))
_FIELD_UNIT = re.compile(r"(ms|millis|milliseconds|seconds|secs?|s|minutes|mins?)$")
_DEEPEST, _MOST_FIELDS, _MOST_TEXT = 6, 200, 4000
# numbers above are times since 1970, in seconds or in milliseconds
_EPOCH, _EPOCH_MS = 1e9, 1e11


@dataclass(frozen=True, slots=True)
class RetryHint:
    """A time for which an endpoint wants no request.

    Attributes:
        seconds: How long, from its reply on.
        is_certain: Whether it asks for that itself; otherwise it only says when a limit is reset
            or about when it will be ready, and an earlier request may be answered.
    """

    seconds: float
    is_certain: bool = True


def retry_hint(headers: Mapping[str, str], content: bytes = b"") -> RetryHint | None:
    """What a reply asks for; None where it asks for nothing that can be understood.

    Args:
        headers: Of the reply, names in lower case.
        content: Its body.
    """
    now = _date(headers.get("date", "")) or datetime.now(UTC).timestamp()
    requested = [
        _seconds(headers[name], now, scale)
        for name, scale in _EXPLICIT_HEADERS.items()
        if name in headers
    ]
    estimates: list[float | None] = []
    for field, value in _fields(_body(content), 0):
        for waits, names in ((requested, _WAITS), (estimates, _ESTIMATES)):
            if (scale := _scale(field, names)) is not None:
                waits.append(_seconds(value, now, scale))
    requested += _in_words(_text(content), now)
    if waits := [seconds for seconds in requested if seconds is not None]:
        return RetryHint(max(waits))
    estimates += _resets(headers, now)
    hints = [seconds for seconds in estimates if seconds is not None]
    return RetryHint(min(hints), is_certain=False) if hints else None


def _scale(field: str, names: frozenset[str]) -> float | None:
    """Seconds of the unit of a field, which its name may end in; None if it is of no such name."""
    if field in names:
        return 1.0
    match = _FIELD_UNIT.search(field)
    if match is None or field[: match.start()] not in names:
        return None
    return 60.0 if match[1].startswith("min") else _UNITS[_unit(match[1])]


def _resets(headers: Mapping[str, str], now: float) -> list[float | None]:
    """Until when limits on the rate hold; of several, those that are used up."""
    resets: list[tuple[bool, float | None]] = []
    for name, value in headers.items():
        if name == "ratelimit" and (reset := _RESET_FIELD.search(value)):
            remaining = _REMAINING_FIELD.search(value)
            resets.append((remaining is not None and int(remaining[1]) == 0, float(reset[1])))
        elif _RESET_HEADER.search(name):
            remaining_text = headers.get(name.replace("reset", "remaining"), "")
            resets.append((remaining_text.strip() in ("0", "0.0"), _seconds(value, now)))
    used_up = [seconds for is_used_up, seconds in resets if is_used_up and seconds is not None]
    # all that are used up have to be waited for
    return [max(used_up)] if used_up else [seconds for _, seconds in resets]


def _body(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _text(content: bytes) -> str:
    """What is said in words: the error of a JSON body, or a short page as it is."""
    text = error_of(content).text
    if not text and _body(content) is None:
        text = content[:_MOST_TEXT].decode(errors="replace")
    return text


def _fields(value: Any, depth: int) -> Iterator[tuple[str, Any]]:
    """Names and values of all plain fields of a body, within bounds."""
    if depth > _DEEPEST:
        return
    if isinstance(value, list):
        for item in value[:_MOST_FIELDS]:
            yield from _fields(item, depth + 1)
    elif isinstance(value, dict):
        for name, item in list(value.items())[:_MOST_FIELDS]:
            field = re.sub(r"[^a-z]", "", str(name).lower())
            if isinstance(item, (dict, list)) and not _is_span(item):
                yield from _fields(item, depth + 1)
            else:
                yield field, item


def _is_span(value: Any) -> bool:
    """Whether it is a duration of Google's kind."""
    return isinstance(value, dict) and bool(value) and value.keys() <= {"seconds", "nanos"}


def _in_words(text: str, now: float) -> list[float | None]:
    spans = [_span(match) for match in _IN_WORDS.findall(text[:_MOST_TEXT])]
    spans += [float(match) for match in _BARE_IN_WORDS.findall(text[:_MOST_TEXT])]
    dates = [_date(match) for match in _AT_IN_WORDS.findall(text[:_MOST_TEXT])]
    return [*spans, *(max(0.0, date - now) for date in dates if date is not None)]


def _seconds(value: Any, now: float, scale: float = 1.0) -> float | None:
    """Seconds from ``now`` on that a number, a span such as ``1m30.5s`` or a date means."""
    if _is_span(value):
        whole, nanos = value.get("seconds", 0), value.get("nanos", 0)
        parts = (_seconds(whole, now), _seconds(nanos, now, 1e-9))
        return None if None in parts else sum(part or 0.0 for part in parts)
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        text = str(value).strip()[:100]
        span = _span(text) if re.fullmatch(_SPAN, text, re.IGNORECASE) else _iso_span(text)
        if span is None and (date := _date(text)) is not None:
            span = max(0.0, date - now)
        return span
    if not math.isfinite(number):
        return None
    if number >= _EPOCH and scale == 1:
        return max(0.0, number / (1000 if number >= _EPOCH_MS else 1) - now)
    return max(0.0, number * scale)


def _span(text: str) -> float:
    """Seconds of a text such as ``1m30s``."""
    return sum(float(number) * _UNITS[_unit(unit)] for number, unit in _PART.findall(text))


def _unit(word: str) -> str:
    """The key of a unit of time, however it is spelled."""
    return "ms" if word.lower().startswith(("ms", "mil")) else word[0].lower()


def _iso_span(text: str) -> float | None:
    match = _ISO_SPAN.fullmatch(text)
    if match is None or not any(match.groups()):
        return None
    scales = (_UNITS["d"], _UNITS["h"], _UNITS["m"], _UNITS["s"])
    return sum(float(n) * scale for n, scale in zip(match.groups(), scales, strict=True) if n)


def _date(text: str) -> float | None:
    """Seconds since 1970 of a date as HTTP or ISO 8601 writes it; UTC where it names no zone."""
    for parse in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            date = parse(text.strip())
            return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
        except (ValueError, TypeError, IndexError, OverflowError):
            continue
    return None
