"""Whoever waits notices within a moment that nobody wants the work any more."""

import threading
import time

import pytest

from geofovea.errors import CancelledError
from geofovea.pipeline.system.cancellation import (
    cancellable,
    check_cancelled,
    is_cancellable,
    sleep,
    wait_for,
)


class Switch:
    """A question that is canceled some time after it was asked."""

    def __init__(self, seconds):
        self._end = time.monotonic() + seconds

    def check(self):
        if time.monotonic() > self._end:
            raise CancelledError("nobody waits")


@pytest.mark.parametrize("wait", [sleep, lambda seconds: wait_for(threading.Event(), seconds)])
def test_a_long_wait_ends_when_nobody_waits(wait):
    begun = time.monotonic()
    with cancellable(Switch(0.2).check), pytest.raises(CancelledError):
        wait(60)
    assert 0.2 <= time.monotonic() - begun < 20


@pytest.mark.parametrize("can_end", [True, False])
def test_a_wait_lasts_as_long_as_it_should(can_end):
    begun = time.monotonic()
    if can_end:
        with cancellable(Switch(60).check):
            sleep(0.25)
    else:
        sleep(0.25)
    assert time.monotonic() - begun >= 0.25


def test_a_wait_ends_with_its_event():
    event = threading.Event()
    threading.Timer(0.15, event.set).start()
    with cancellable(Switch(60).check):
        assert wait_for(event, 60)
        assert not wait_for(threading.Event(), 0.01)


def test_a_check_belongs_to_its_thread():
    seen = []
    with cancellable(Switch(-1).check):
        assert is_cancellable()
        thread = threading.Thread(target=lambda: seen.append(is_cancellable()))
        thread.start()
        thread.join()
        with pytest.raises(CancelledError):
            check_cancelled()
    assert seen == [False]
    check_cancelled()
