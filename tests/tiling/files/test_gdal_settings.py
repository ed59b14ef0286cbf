"""GDAL's settings hold while a thread reads, and are then as before."""

import os
import threading
import time

import pytest
import rasterio
from rasterio.env import get_gdal_config

from geofovea.tiling import Tile
from geofovea.tiling.files import gdal_settings as settings_module
from geofovea.tiling.files.gdal_settings import GDAL_CACHE_BYTES, gdal_settings

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
pytestmark = pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")


def test_reads_hold_a_cache_of_bytes_not_megabytes_on_every_thread():
    seen = []

    def look():
        with gdal_settings(), gdal_settings():
            seen.append(get_gdal_config("GDAL_CACHEMAX"))
            seen.append(get_gdal_config("GDAL_PAM_ENABLED", normalize=False))

    for thread in [threading.Thread(target=look) for _ in range(3)]:
        thread.start()
        thread.join()
    assert seen == [GDAL_CACHE_BYTES, "NO"] * 3
    assert GDAL_CACHE_BYTES == 134_217_728


def test_settings_hold_until_the_last_thread_is_done_and_are_then_as_before():
    before = get_gdal_config("GDAL_CACHEMAX"), get_gdal_config("GDAL_PAM_ENABLED")
    entered, leave = threading.Event(), threading.Event()

    def hold():
        with gdal_settings():
            entered.set()
            leave.wait()

    thread = threading.Thread(target=hold)
    with gdal_settings():
        thread.start()
        entered.wait()
    assert get_gdal_config("GDAL_CACHEMAX") == GDAL_CACHE_BYTES
    leave.set()
    thread.join()
    assert (get_gdal_config("GDAL_CACHEMAX"), get_gdal_config("GDAL_PAM_ENABLED")) == before


def test_an_env_of_the_caller_is_restored_after_a_read(make_tiled, texture, reader_of):
    path = make_tiled(texture(64, 64))
    with rasterio.Env(GDAL_CACHEMAX=64 * 2**20, GDAL_PAM_ENABLED=True):
        reader_of(path).read(Tile(0, 0, 0))
        assert get_gdal_config("GDAL_CACHEMAX") == 64 * 2**20
        assert get_gdal_config("GDAL_PAM_ENABLED") is True


def forked():
    """Fork once; the child does nothing."""
    child = os.fork()
    if child == 0:
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0


@forks
def test_a_fork_waits_for_a_read_of_another_thread_and_reads_begin_after_it():
    entered, order = threading.Event(), []

    def read():
        with gdal_settings():
            entered.set()
            time.sleep(0.3)
            order.append("read")

    def read_later():
        entered.wait()
        time.sleep(0.1)
        with gdal_settings():
            order.append("later read")

    threads = [threading.Thread(target=work) for work in (read, read_later)]
    for thread in threads:
        thread.start()
    entered.wait()
    assert forked()
    order.append("fork")
    for thread in threads:
        thread.join()
    assert order[0] == "read"
    assert sorted(order[1:]) == ["fork", "later read"]


@forks
def test_a_fork_of_a_thread_that_reads_waits_for_nobody_and_its_child_can_read():
    with gdal_settings():
        child = os.fork()
        if child == 0:
            with gdal_settings():
                os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    with gdal_settings():
        assert get_gdal_config("GDAL_CACHEMAX") == GDAL_CACHE_BYTES


@forks
def test_a_fork_waits_for_no_read_forever(monkeypatch):
    monkeypatch.setattr(settings_module, "LONGEST_WAIT", 0.2)
    entered, leave = threading.Event(), threading.Event()

    def read():
        with gdal_settings():
            entered.set()
            leave.wait()

    thread = threading.Thread(target=read)
    thread.start()
    entered.wait()
    try:
        assert forked()
    finally:
        leave.set()
        thread.join()
