"""Chat templates, which are programs of others, rendered within bounds.

The sandbox of ``transformers`` keeps a template from reaching anything, and not from taking time
and memory without end: loops nest, and one format width asks for gigabytes. So it runs in a child
process whose time and memory the system bounds, whichever file the template came from.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any

from geofovea.errors import ModelError
from geofovea.pipeline.inference.prompts import chat_template_worker
from geofovea.pipeline.inference.prompts.chat_template_worker import (
    CPU_SECONDS,
    MEMORY_BYTES,
    TOO_MUCH_MEMORY,
)

__all__ = ["LONGEST_CHAT", "rendered_chats"]

LONGEST_CHAT = 1_000_000
"""Characters that a template may write around one question before its model is refused."""

_LONGEST_TEMPLATE = 200_000
# where the system bounds the time of the processor, a busy machine is no reason to refuse a model
_WALL_SECONDS = 300.0 if find_spec("resource") else 40.0
_ADVICE = (
    "correct it (chat_template.jinja or tokenizer_config.json), or put a 'template' of your own "
    "into geofovea.json"
)


def rendered_chats(
    template: str,
    words: Mapping[str, Any],
    contents: Sequence[Any],
    switches: Sequence[Mapping[str, bool]] = ({},),
) -> tuple[str, ...]:
    """What a template writes for messages of a user, each by itself.

    Args:
        template: Jinja, as ``transformers`` takes it.
        words: The special words of the tokenizer by name, which a template may use.
        contents: Of each message: a text, or a list of parts.
        switches: What the template is told besides; all messages are written with each of them.

    Returns:
        One text for each message and switch, those of one switch after those of the other; empty
        where the template raises an error.

    Raises:
        ModelError: If the template is longer than any real one, takes too much time or memory, or
            writes too much.
    """
    if len(template) > _LONGEST_TEMPLATE:
        raise _refused(f"is {len(template):,} characters long, at most {_LONGEST_TEMPLATE:,} are")
    request = {
        "template": template,
        "words": dict(words),
        "contents": list(contents),
        "switches": [dict(switch) for switch in switches],
    }
    return _rendered(json.dumps(request | {"longest": LONGEST_CHAT}, default=str))


@functools.lru_cache(maxsize=64)
def _rendered(request: str) -> tuple[str, ...]:
    command = [sys.executable, "-P", "-m", chat_template_worker.__name__]
    # the child finds what this process finds
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    try:
        child = subprocess.run(  # noqa: S603, the program is this Python, the rest goes by a pipe
            command,
            input=request.encode(),
            capture_output=True,
            timeout=_WALL_SECONDS,
            check=False,
            env=environment,
        )
    except subprocess.TimeoutExpired:
        raise _refused(f"takes longer than {_WALL_SECONDS:g} s, which is not") from None
    if child.returncode == TOO_MUCH_MEMORY:
        raise _refused(f"takes more than {MEMORY_BYTES >> 20} MiB of memory, which is not")
    if child.returncode < 0:
        raise _refused(f"takes longer than {CPU_SECONDS} s or too much memory, which is not")
    try:
        texts: list[str] = json.loads(child.stdout)
    except ValueError:
        raise ModelError(
            f"the chat template of this model could not be rendered (exit {child.returncode} of "
            f"the process that does it); {_ADVICE}"
        ) from None
    if any(len(text) > LONGEST_CHAT for text in texts):
        raise _refused(
            f"writes more than {LONGEST_CHAT:,} characters for one question, which is not"
        )
    return tuple(texts)


def _refused(what: str) -> ModelError:
    return ModelError(f"the chat template of this model {what} allowed; {_ADVICE}")
