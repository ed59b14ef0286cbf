"""One call to an OpenAI-compatible endpoint: bounded in time, repetitions and spending."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from geofovea.pipeline.hosts.endpoint.error_body import error_of
from geofovea.pipeline.hosts.endpoint.ledger import Ledger
from geofovea.pipeline.hosts.endpoint.parameters import adapted, is_too_much, refused_parameter
from geofovea.pipeline.hosts.endpoint.patience import Patience
from geofovea.pipeline.hosts.endpoint.response import ChatReply, NotAReplyError, parse_reply
from geofovea.pipeline.hosts.endpoint.retry_after import retry_hint
from geofovea.pipeline.hosts.endpoint.sanitize import printable, without_key
from geofovea.pipeline.hosts.endpoint.settings import EndpointSettings
from geofovea.pipeline.hosts.endpoint.transport import MAX_DETAIL, SPEAKS, Failure, Refusal, post
from geofovea.pipeline.system.cancellation import check_cancelled

__all__ = ["EndpointClient"]

# 520 to 530 are those of gateways and of busy providers
_TRANSIENT = frozenset({408, 409, 425, 429, 500, 502, 503, 504, *range(520, 531)})
_UNBILLED = frozenset({408, 425, 429, 503})
# nobody is answered while these last: too many requests, or no server behind the gateway
_OF_ALL = frozenset({425, 429, 502, 503, 521, 522, 523, 529, 530})
# nobody is answered until something is changed: the key, what is paid for, the address
_CLOSED = frozenset({401, 402, 403, 404, 405, 407, 410})
# of what was asked, even where the status says that nobody is let in
_MODERATED = re.compile(
    r"moderat|flagged|policy|safety|content filter|inappropriate", re.IGNORECASE
)
_KEY_IS_WRONG = re.compile(r"api[-_ ]?key|unauthori[sz]ed|authenticat|billing", re.IGNORECASE)
# servers say with any status that they are loading
_LOADS = re.compile(
    r"(?:is|are|still|currently|being|model|weights)\s+(?:being\s+)?load(?:ing|ed (?:in|now))"
    r"|\bloading (?:the )?(?:model|weights)|not (?:yet )?(?:ready|(?:fully )?loaded|started)"
    r"|warm(?:ing)?[- ]up|start(?:ing)?[- ]up|initiali[sz]ing|cold[- ]start",
    re.IGNORECASE,
)
_CANNOT_LOAD = re.compile(
    r"(?:fail|error|unable|cannot|can't|could not)\w*\s+(?:\w+\s+)?load|pull it|download"
)
# runs of a key that are hidden in messages, and in answers, where words such as "none" must stay
_KEY_RUN, _KEY_RUN_IN_ANSWERS = 6, 12
_LONG_WAIT_SECONDS = 5.0
_MOST_PAGE = 2000
_ENDS_IN = "the address should end where /chat/completions begins, often in /v1"
_ADVICE = {
    401: "check the key in the environment variable {key_variable}",
    403: "check the key in the environment variable {key_variable}, and its rights",
    404: f"check the address and the name of the model: {_ENDS_IN}",
    413: "send less with tokens=, or allow shorter answers with answer_tokens=",
    429: "run the same again later, or allow more time with total_seconds=",
}
_NOTES = {
    "temperature": "the endpoint takes no temperature: asked again, it may answer otherwise",
}


class EndpointClient:
    """Sends chat requests to one endpoint, counts them, and repeats those that may yet succeed."""

    def __init__(self, settings: EndpointSettings, ledger: Ledger) -> None:
        """Keep the settings; nothing is sent yet."""
        self.settings = settings
        self.ledger = ledger
        # what this endpoint was found not to take; see `adapted`
        self._refused: set[str] = set()

    def complete(
        self, payload: Mapping[str, Any], prompt_tokens: int, answer_tokens: int, images: int
    ) -> ChatReply:
        """Send a request until it is answered.

        Args:
            payload: The request; ``max_tokens``, ``temperature``, ``logprobs`` and ``stream`` are
                left out or changed where the endpoint says that it does not take them.
            prompt_tokens: What the prompt may cost, for the spend limit.
            answer_tokens: What the answer may cost.
            images: Pictures in it.

        Raises:
            CancelledError: If nobody wants the answer any more; a request that was on its way then
                counts as spent.
            EndpointUnavailableError: If the endpoint answers nothing as things are.
            EndpointError: If there is no answer within the time and the attempts allowed, or the
                endpoint refuses, or answers with something else.
            SpendLimitError: If the limit might be exceeded.
        """
        patience, is_repeat = Patience(self.settings), False
        while True:
            check_cancelled()
            seconds = patience.seconds
            reserved = self.ledger.reserve(
                prompt_tokens, answer_tokens, images, is_repeat=is_repeat
            )
            refused = frozenset(self._refused)
            request = adapted(payload, refused)
            try:
                reply = self._attempt(request, seconds)
            except (Refusal, Failure) as problem:
                if not problem.is_billed:
                    self.ledger.settle(reserved, (0, 0))
                if self._learn(problem, request, refused):
                    continue
                if isinstance(problem, Refusal):
                    raise patience.refused(problem) from None
                is_repeat = True
                patience.pause(problem)
            else:
                if reply.usage is not None:
                    self.ledger.settle(reserved, reply.usage)
                return replace(reply, notes=self._notes(patience))

    def _attempt(self, request: Mapping[str, Any], seconds: float) -> ChatReply:
        key = self.settings.key()
        status, headers, content = post(self.settings, key, json.dumps(request).encode(), seconds)
        if status != 200:
            raise self._unanswered(status, headers, content, key)
        try:
            reply = parse_reply(content)
        except NotAReplyError as error:
            raise self._not_a_reply(error, headers, content, key) from error
        return replace(reply, text=without_key(reply.text, key, _KEY_RUN_IN_ANSWERS))

    def _unanswered(
        self, status: int, headers: Mapping[str, str], content: bytes, key: str | None
    ) -> Refusal | Failure:
        """What a status other than 200 means."""
        if 300 <= status < 400:
            return Refusal(
                "it redirects, which is not followed",
                "give the address it leads to",
                is_of_all=True,
            )
        detail = _detail(content, key) if status >= 400 else ""
        reason = f"it answered {status}{_in_words(detail)}"
        # pages are read and not repeated
        detail = detail or _page(content)
        loads = status >= 400 and _is_loading(detail)
        if loads or status in _TRANSIENT:
            return Failure(
                reason,
                is_billed=status not in _UNBILLED,
                wait=retry_hint(headers, content),
                advice=_ADVICE[429] if status == 429 else "",
                detail=detail,
                status=status,
                is_of_all=loads or status in _OF_ALL,
            )
        advice = _ADVICE.get(status, "see what it says")
        if status in (400, 422) and is_too_much(detail):
            advice = _ADVICE[413]
        advice = advice.format(key_variable=self.settings.key_variable)
        is_closed = status in _CLOSED or bool(_KEY_IS_WRONG.search(detail))
        # who accepts a request may work on it, whatever comes back
        return Refusal(
            reason,
            advice,
            detail,
            status=status,
            is_billed=200 <= status < 300,
            is_of_all=is_closed and not _MODERATED.search(detail),
        )

    def _not_a_reply(
        self, error: NotAReplyError, headers: Mapping[str, str], content: bytes, key: str | None
    ) -> Refusal | Failure:
        """What a status of 200 means without an answer; the model may have worked for it."""
        error_body, kind = error_of(content), headers.get("content-type", "json").lower()
        detail = _detail(content, key)
        in_words = _in_words(detail)
        if "event-stream" in kind:
            return Failure(
                f"it streams its reply, and {error}{in_words}", is_billed=True, detail=detail
            )
        # some report an error with a status that says that all is well
        loads = _is_loading(detail or _page(content))
        if error.may_pass and not loads and not any(name in kind for name in ("json", "stream")):
            return Refusal(
                "its reply is not JSON but of another type",
                f"check the address: {_ENDS_IN}",
                is_billed=True,
                is_of_all=True,
            )
        if error.may_pass or loads or error_body.code in _TRANSIENT:
            return Failure(
                f"{error}{in_words}",
                is_billed=True,
                wait=retry_hint(headers, content),
                detail=detail,
                status=error_body.code or 0,
                is_of_all=loads or error_body.code in _OF_ALL,
            )
        return Refusal(f"{error}{in_words}", SPEAKS, detail, is_billed=True)

    def _learn(
        self, problem: Refusal | Failure, request: Mapping[str, Any], refused: frozenset[str]
    ) -> bool:
        """Whether a reply names a parameter that can be done without; it is left out from now."""
        name = refused_parameter(problem.detail, problem.status, request)
        # another thread may have learned it since this request was sent
        if name is None or name in refused:
            return False
        self._refused.add(name)
        return True

    def _notes(self, patience: Patience) -> tuple[str, ...]:
        """What a careful reader should know about how an answer came about."""
        notes = [note for name, note in _NOTES.items() if name in self._refused]
        if patience.waited_seconds >= _LONG_WAIT_SECONDS:
            notes.append(
                f"the endpoint was waited for {patience.waited_seconds:.0f} s: {patience.reason}"
            )
        return tuple(notes)


def _is_loading(text: str) -> bool:
    """Whether a server says that its model will be there in a while."""
    return bool(_LOADS.search(text)) and not _CANNOT_LOAD.search(text)


def _detail(content: bytes, key: str | None) -> str:
    """What an endpoint says of an error, without any part of the key; often nothing."""
    return without_key(error_of(content).text, key, min(_KEY_RUN, len(key or "")))


def _page(content: bytes) -> str:
    """The beginning of a page that is not JSON."""
    page = content[:_MOST_PAGE].decode(errors="replace")
    return "" if page.lstrip().startswith(("{", "[")) else page


def _in_words(text: str) -> str:
    return f" ({printable(text, MAX_DETAIL)})" if text else ""
