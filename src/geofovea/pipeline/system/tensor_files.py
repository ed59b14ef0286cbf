"""Writes tensors as safetensors: complete, or not at all."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from geofovea.errors import OutputError
from geofovea.pipeline.system.files import write_file
from geofovea.tiling.machine.system_errors import why_unwritten

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["full_disk_told", "write_tensors"]

_SYSTEM_ERROR = re.compile(r"(?P<reason>[^:\s][^:]*?) \(os error (?P<number>\d+)\)")


def write_tensors(
    path: str | os.PathLike[str],
    tensors: Mapping[str, Tensor],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a safetensors file aside, then move it into place; see ``write_file``.

    Args:
        path: The file.
        tensors: By name; each with contiguous memory of its own.
        metadata: What the file says beside them.

    Raises:
        OutputError: If the file cannot be written; an older file of that name then stays.
    """
    from safetensors.torch import save_file

    about = None if metadata is None else dict(metadata)
    with full_disk_told(path):
        write_file(path, lambda aside: save_file(dict(tensors), aside, metadata=about))


@contextmanager
def full_disk_told(path: str | os.PathLike[str]) -> Iterator[None]:
    """Say in words that ``safetensors`` or ``tokenizers`` could not write.

    Raises:
        OutputError: In place of their errors, which are no OSErrors.
    """
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        told = _SYSTEM_ERROR.search(str(error))
        if told is None:
            raise
        reason = why_unwritten(OSError(int(told["number"]), told["reason"]))
        raise OutputError(f"{path} could not be written: {reason}") from error
