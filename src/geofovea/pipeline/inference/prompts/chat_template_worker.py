"""The child process of ``chat_template``: renders with the sandbox of ``transformers``, no torch.

Run with ``python -m``; takes one JSON object on standard input and prints a list of texts.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

__all__ = ["CPU_SECONDS", "MEMORY_BYTES", "TOO_MUCH_MEMORY"]

CPU_SECONDS = 3
"""Time of the processor that rendering may take; real templates take milliseconds."""

MEMORY_BYTES = 512 * 2**20
"""Memory that it may take."""

TOO_MUCH_MEMORY = 3
"""Exit code: it wanted more memory."""


def _bound() -> None:
    """Let the system hold this process to its time and memory, beyond what it has taken so far."""
    try:
        import resource
    except ImportError:
        # not on this system: whoever waits for the child ends it
        return
    usage = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(usage.ru_utime + usage.ru_stime) + CPU_SECONDS
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        with open("/proc/self/statm", encoding="ascii") as sizes:  # noqa: PTH123
            used = int(sizes.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES, used + MEMORY_BYTES))


def _rendered(request: dict[str, Any], content: Any) -> str:
    from transformers.utils.chat_template_utils import render_jinja_template

    message = {"role": "user", "content": content}
    try:
        texts, _ = render_jinja_template(
            conversations=[[message]],
            chat_template=request["template"],
            add_generation_prompt=True,
            **request["words"],
        )
    except MemoryError:
        raise
    except Exception:  # a template may raise whatever it likes
        return ""
    # one more than allowed tells that it is too long
    return str(texts[0])[: request["longest"] + 1]


def _main() -> int:
    import transformers.utils.chat_template_utils  # noqa: F401, loaded before the bounds hold

    request = json.loads(sys.stdin.buffer.read())
    _bound()
    try:
        texts = [
            _rendered(request | {"words": request["words"] | switch}, content)
            for switch in request["switches"]
            for content in request["contents"]
        ]
        sys.stdout.write(json.dumps(texts))
    except MemoryError:
        return TOO_MUCH_MEMORY
    return 0


if __name__ == "__main__":
    sys.exit(_main())
