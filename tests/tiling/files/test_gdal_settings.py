"""GDAL's settings hold while a thread reads, and are then as before."""

import threading

import rasterio
from rasterio.env import get_gdal_config

from geofovea.tiling import Tile
from geofovea.tiling.files.gdal_settings import GDAL_CACHE_BYTES, gdal_settings


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
