"""A Parquet file tells its columns first, gives its rows in batches, and damage is an error."""

import pytest

from geofovea.datasets.tables.parquet import ParquetTable
from geofovea.errors import DataError

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
ROWS = [{"scene": f"{i}.tif", "number": i, "image": b"x"} for i in range(40)]


def written(folder, metadata=None):
    path = folder / "t.parquet"
    table = pa.Table.from_pylist(ROWS)
    pq.write_table(table.replace_schema_metadata(metadata) if metadata else table, path)
    return path


@pytest.mark.parametrize("batch_rows", [1, 16, 1000])
def test_rows_come_back_as_they_were_written_in_batches_of_any_size(tmp_path, batch_rows):
    table = ParquetTable(written(tmp_path))
    assert (table.columns, table.row_count) == (["scene", "number", "image"], 40)
    assert list(table.rows(batch_rows=batch_rows)) == ROWS


def test_only_the_columns_that_are_asked_for_are_read(tmp_path):
    rows = ParquetTable(written(tmp_path)).rows(["number"])
    assert list(rows) == [{"number": i} for i in range(40)]


@pytest.mark.parametrize("is_geo", [False, True])
def test_geoparquet_is_known_by_its_metadata(tmp_path, is_geo):
    path = written(tmp_path, {"geo": "{}"} if is_geo else None)
    assert ParquetTable(path).is_geo is is_geo


def test_a_file_that_is_no_parquet_is_refused(tmp_path):
    path = tmp_path / "t.parquet"
    path.write_bytes(b"PAR1 and no more PAR1")
    with pytest.raises(DataError, match="is not a Parquet file, or a damaged one"):
        ParquetTable(path)


def test_damage_that_is_met_only_in_the_rows_is_refused(tmp_path):
    path = written(tmp_path)
    content = bytearray(path.read_bytes())
    content[4:60] = bytes(56)
    path.write_bytes(content)
    with pytest.raises((DataError, OSError)):
        list(ParquetTable(path).rows())
