"""A disk without room, as far as writers can tell: no file may become larger than some bytes."""

import sys
from contextlib import contextmanager

import pytest


@contextmanager
def few_bytes(most):
    """For as long as it lasts, a write beyond ``most`` bytes of a file fails with EFBIG."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # a module that is imported meanwhile would leave a part of its compiled file
    writes_none, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        sys.dont_write_bytecode = writes_none
