"""Tables as Parquet, whose columns are known before a row is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from geofovea.errors import DataError, MissingExtraError

__all__ = ["ParquetTable"]


class ParquetTable:
    """An opened Parquet file.

    Args:
        file: The file.

    Attributes:
        columns: Their names in order.
        row_count: How many rows it has.
        is_geo: Whether it is GeoParquet, which keeps geometries of its own.

    Raises:
        DataError: If it is not a Parquet file.
        MissingExtraError: If pyarrow is not installed.
    """

    def __init__(self, file: Path) -> None:
        try:
            from pyarrow import ArrowException
            from pyarrow.parquet import ParquetFile
        except ImportError as error:
            raise MissingExtraError("pyarrow", "geo", "reading Parquet") from error
        self._file, self._wrong = file, ArrowException
        try:
            self._table = ParquetFile(file)
            schema = self._table.schema_arrow
        except ArrowException as error:
            raise self._damaged(error) from error
        self.columns: list[str] = schema.names
        self.row_count: int = self._table.metadata.num_rows
        self.is_geo = b"geo" in (schema.metadata or {})

    def rows(
        self, columns: Sequence[str] | None = None, batch_rows: int = 16
    ) -> Iterator[dict[str, Any]]:
        """Rows by column, in memory of one batch; images may stand in cells, so batches are small.

        Args:
            columns: Those that are read; None for all.
            batch_rows: Rows that are read together.

        Raises:
            DataError: If the file is damaged.
        """
        batches = self._table.iter_batches(batch_size=batch_rows, columns=columns)
        while True:
            try:
                batch = next(batches, None)
                rows = [] if batch is None else batch.to_pylist()
            except self._wrong as error:
                raise self._damaged(error) from error
            if batch is None:
                return
            yield from rows

    def _damaged(self, error: Exception) -> DataError:
        return DataError(f"{self._file} is not a Parquet file, or a damaged one: {error}")
