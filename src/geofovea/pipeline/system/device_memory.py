"""Work in batches that shrink when the memory of a device runs out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from geofovea.errors import ModelError

__all__ = ["ShrinkingBatch", "enough_memory", "give_back", "is_out_of_memory"]

_WORDS = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "_STATUS_ALLOC_FAILED",
)


class ShrinkingBatch:
    """Cuts work into batches; one that does not fit is tried again at half its size, for good.

    Attributes:
        size: Items of the largest batch that is tried.
    """

    def __init__(self, size: int) -> None:
        """Begin with this many items at once."""
        self.size = size

    def run(self, count: int, work: Callable[[slice], Tensor], advice: str) -> Tensor:
        """What ``work`` gives for slices of 0 to ``count``, one behind the other.

        Raises:
            ModelError: If a single item does not fit; ``advice`` says what to do.
        """
        results: list[Tensor] = []
        start = 0
        while start < count:
            try:
                results.append(work(slice(start, min(start + self.size, count))))
                start += self.size
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                if self.size == 1:
                    raise _too_little(error, advice) from error
                self.size = max(1, min(self.size, count - start) // 2)
            else:
                continue
            # outside of the handler, whose traceback keeps the tensors of the failed batch alive
            give_back()
        return torch.cat(results)


@contextmanager
def enough_memory(advice: str) -> Iterator[None]:
    """Turn a device's lack of memory into an error that says what to do."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise _too_little(error, advice) from error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out, on a device or beside a CPU.

    Only the caching allocators of devices have a class for it; the allocator of a CPU and the
    libraries that take memory for themselves say it in words.
    """
    if isinstance(error, (torch.cuda.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in _WORDS)


def _too_little(error: Exception, advice: str) -> ModelError:
    sentences = str(error).split(". ")
    telling = (s for s in sentences if any(word in s for word in _WORDS))
    reason = next(telling, sentences[0]).strip() or "out of memory"
    return ModelError(f"the device has too little memory ({reason.splitlines()[0]}): {advice}")


def give_back() -> None:
    """Return what the allocator holds and no tensor needs to the device."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
