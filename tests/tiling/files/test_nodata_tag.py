"""The nodata value of a TIFF is text; what GDAL makes of another text is said."""

import struct

import numpy as np
import pytest

from geofovea.tiling import open_scene


@pytest.fixture
def with_nodata(make_raster, tmp_path):
    """``with_nodata(dtype, text)`` writes a TIFF whose tag for nodata holds a text as it is."""

    def make(dtype, text):
        values = np.arange(20 * 30).reshape(1, 20, 30).astype(dtype)
        data = make_raster(values, "plain.tif").read_bytes()
        (place,) = struct.unpack_from("<I", data, 4)
        (count,) = struct.unpack_from("<H", data, place)
        entries = [data[place + 2 + 12 * i :][:12] for i in range(count)]
        letters = text.encode() + b"\0"
        # four letters stand in the directory itself, more of them elsewhere
        value = letters.ljust(4, b"\0") if len(letters) <= 4 else struct.pack("<I", len(data))
        entries.append(struct.pack("<HHI", 42113, 2, len(letters)) + value)
        entries.sort(key=lambda entry: struct.unpack_from("<H", entry))
        directory = struct.pack("<H", len(entries)) + b"".join(entries) + bytes(4)
        start = len(data) + len(letters)
        path = tmp_path / "odd.tif"
        path.write_bytes(data[:4] + struct.pack("<I", start) + data[8:] + letters + directory)
        return path

    return make


def of_nodata(path, **given):
    return [warning for warning in open_scene(path, **given).warnings if "nodata" in warning]


@pytest.mark.parametrize(
    ("dtype", "text", "read"),
    [
        ("uint8", "none", "0"),
        ("float32", "-nan", "0"),
        ("int64", "nan", "0"),
        ("int64", "1e+18", "1"),
        ("int64", "-9.2233720368547758e+18", "-9"),
    ],
)
def test_a_text_that_gdal_takes_for_another_number_has_a_warning(with_nodata, dtype, text, read):
    path = with_nodata(dtype, text)
    (warning,) = of_nodata(path)
    assert repr(text) in warning
    assert f"reads as {read};" in warning
    assert "nodata=" in warning
    # what the caller says goes before what the file says
    assert not of_nodata(path, nodata=7)


@pytest.mark.parametrize("text", ["-9999", "300", "1e20", "0.5"])
def test_a_number_that_no_pixel_can_hold_marks_nothing_and_says_so(with_nodata, text):
    (warning,) = of_nodata(with_nodata("uint8", text))
    assert "marks nothing" in warning


@pytest.mark.parametrize(
    ("dtype", "text"),
    [
        *(("uint8", text) for text in ("0", "255", " 7 ", "nan", "12.0")),
        *(("float32", text) for text in ("nan", "1.#QNAN", "-1.#INF", "1,5", "-3.4028235e+38")),
        *(("int64", text) for text in ("-9999", "9007199254740993")),
    ],
)
def test_numbers_in_the_spellings_of_writers_have_none(with_nodata, dtype, text):
    assert not of_nodata(with_nodata(dtype, text))
