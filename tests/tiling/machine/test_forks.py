"""Children of a fork wait for no lock of a thread of their parent, and for none of its work."""

import ast
import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import geofovea
from geofovea.pipeline.hosts.endpoint.ledger import Ledger, SpendLimit
from geofovea.pipeline.inference.attention import backend as attention_kernels
from geofovea.pipeline.system import model_lock
from geofovea.tiling.cache.blocks import BlockCache
from geofovea.tiling.machine.forks import ForkSafeLock, renew_after_fork
from geofovea.tiling.machine.lru import LruCache
from geofovea.tiling.remote import signing

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system"),
    pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning"),
]
SOURCE = Path(geofovea.__file__).parent


def child_ends_well(work, seconds=10):
    """Whether a child of a fork does its work and finds what it returns true, in time."""
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if work() else 3)
        except BaseException:
            os._exit(4)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status == 0
        time.sleep(0.01)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return False


class Held:
    """Another thread holds a lock, or does a piece of work that does not end, meanwhile."""

    def __init__(self, hold):
        self._is_held, self._over = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=hold, args=(self._is_held, self._over))

    def __enter__(self):
        self._thread.start()
        assert self._is_held.wait(10)

    def __exit__(self, *_):
        self._over.set()
        self._thread.join(10)


def holding(lock):
    def hold(is_held, over):
        with lock:
            is_held.set()
            over.wait(30)

    return Held(hold)


LOCKS = {
    "any": ForkSafeLock(),
    "signing": signing._lock,
    "attention": attention_kernels._lock,
    "loading": model_lock.LOADING,
    "models": model_lock._making,
    "ledger": Ledger(SpendLimit())._lock,
    "tokens": LruCache(100, len)._lock,
}


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_that_another_thread_held_is_open_in_a_child(name):
    def take():
        with LOCKS[name]:
            return True

    with holding(LOCKS[name]):
        assert child_ends_well(take)
    assert take()


def test_the_thread_that_forks_keeps_the_lock_that_it_holds():
    lock = ForkSafeLock()

    def is_held():
        taken = []
        other = threading.Thread(target=lambda: taken.append(lock._lock.acquire(blocking=False)))
        other.start()
        other.join()
        return taken == [False]

    with lock:
        assert child_ends_well(is_held)
        assert is_held()


def test_what_a_held_lock_guards_is_forgotten_and_what_an_open_one_guards_is_kept():
    forgotten = []
    lock = ForkSafeLock(lambda: forgotten.append(1))
    assert child_ends_well(lambda: not forgotten)
    with holding(lock):
        assert child_ends_well(lambda: bool(forgotten))
    assert not forgotten


def test_a_block_that_another_thread_was_decoding_is_decoded_in_the_child():
    cache, block = BlockCache(), np.ones((1, 4, 4))

    def decode(is_held, over):
        def slowly():
            is_held.set()
            over.wait(30)
            return block

        cache.get("block", slowly)

    with Held(decode):
        assert child_ends_well(lambda: cache.get("block", lambda: block + 1).sum() == 32)
    assert cache.get("block", lambda: block + 1).sum() == 16


def test_nobody_is_kept_alive_to_be_renewed():
    class Owner:
        pass

    from geofovea.tiling.machine import forks

    before, owner = len(forks._registered), Owner()
    renew_after_fork(owner, lambda _: None)
    assert len(forks._registered) == before + 1
    del owner
    assert len(forks._registered) == before


# an event that a function makes to end a thread of its own ends with the call
OF_ONE_CALL = ("cancellation.py", "progress.py", "transport.py", "widget.py")


def test_every_lock_of_the_package_is_made_anew_after_a_fork():
    makers = {"Lock", "RLock", "Condition", "Semaphore", "Event"}
    for path in SOURCE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        calls = [n.func for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Call)]
        made = {
            call.attr
            for call in calls
            if isinstance(call, ast.Attribute)
            and isinstance(call.value, ast.Name)
            and call.value.id == "threading"
        }
        if path.name in OF_ONE_CALL:
            made -= {"Event"}
        if made & makers and path.name != "forks.py":
            assert "renew_after_fork(" in text or "in_every_child(" in text, path
