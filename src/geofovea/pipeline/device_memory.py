"""Work in batches that shrink when the memory of a device runs out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from geofovea.errors import ModelError

__all__ = ["ShrinkingBatch", "enough_memory", "give_back"]


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
        done: list[Tensor] = []
        start = 0
        while start < count:
            try:
                done.append(work(slice(start, min(start + self.size, count))))
                start += self.size
            except torch.cuda.OutOfMemoryError as error:
                if self.size == 1:
                    raise _too_little(error, advice) from error
                self.size = max(1, min(self.size, count - start) // 2)
            else:
                continue
            # outside of the handler, whose traceback keeps the tensors of the failed batch alive
            give_back()
        return torch.cat(done)


@contextmanager
def enough_memory(advice: str) -> Iterator[None]:
    """Turn a device's lack of memory into an error that says what to do."""
    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        raise _too_little(error, advice) from error


def _too_little(error: Exception, advice: str) -> ModelError:
    reason = str(error).split(".")[0].strip() or "out of memory"
    return ModelError(f"the device has too little memory ({reason}): {advice}")


def give_back() -> None:
    """Return what the allocator holds and no tensor needs to the device."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
