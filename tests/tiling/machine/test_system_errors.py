"""Errors of a system, said without their numbers."""

import socket

import pytest

from geofovea.tiling.machine.system_errors import reason_of, why_unwritten


class LibraryError(Exception):
    """Repeats an error of the system as text alone, as clients of HTTP do."""


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (FileNotFoundError(2, "No such file or directory", "a.tif"), "No such file or directory"),
        (socket.gaierror(-2, "Name or service not known"), "Name or service not known"),
        (LibraryError("[Errno -2] Name or service not known"), "Name or service not known"),
        (LibraryError("[Errno 28] No space left on device"), "No space left on device"),
        (LibraryError("no [Errno 2] here"), "no [Errno 2] here"),
        (ValueError("bad"), "bad"),
    ],
)
def test_a_reason_has_no_number_of_the_system(error, told):
    assert reason_of(error) == why_unwritten(error) == told
