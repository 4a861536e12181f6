"""Reads the rows of Parquet and Arrow files, and of a folder as Hugging Face's `save_to_disk` writes it. Needs pyarrow.

Rows come batch by batch, so that memory does not grow with the file. Columns of bytes that nobody asks for are not read.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from pipeline.core.rows.lines import RawRow
from pipeline.edges.sources.one_by_one import RowsOneByOne
from pipeline.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path

FOLDER_STATE = "state.json"  # of Hugging Face's datasets; names the files of the folder in order
BATCH_ROWS = 512  # rows of Python objects in memory at once


class ArrowSource(RowsOneByOne):
    """A `Source` of columns. A row is a mapping by the columns' names; its offset is its number."""

    size: int | None = None
    bytes_read = 0

    def __init__(self, name: str, opened: Opened, part: tuple[int, int] | None) -> None:
        self.length, batches, close, passed = opened
        if part is not None:
            self.length = part[1] - part[0]
        self._close = close
        super().__init__(name, self._each_row(batches, passed, part))

    @classmethod
    def open(cls, path: Path, *, used: Collection[str] | None = None, part: tuple[int, int] | None = None) -> ArrowSource:
        """Open a file or a dataset's folder. used: the columns that somebody asks for, None for all. Raises InputError.

        part: the numbers of the first row to read and of the first one behind those; None reads all.
        """
        try:
            import pyarrow as pa  # noqa: PLC0415  200 ms that only these files cost
        except ImportError:
            raise InputError(f"{path}: reading it needs a package that is not installed: pip install 'headrace[arrow]'") from None
        try:
            if path.is_dir():
                return cls(str(path), _open_folder(path, used), part)
            if path.suffix.lower() == ".parquet":
                return cls(str(path), _open_parquet(path, used, part), part)
            return cls(str(path), _open_ipc(path, used), part)
        except FileNotFoundError:
            raise InputError(f"{path}: no such file (in a config, a relative path is relative to the config file)") from None
        except (pa.ArrowException, OSError, ValueError) as error:
            raise InputError(f"{path}: cannot be read: {error}") from error

    def close(self) -> None:
        """Give the files back."""
        self._close()

    def _each_row(self, batches: Iterator[Any], number: int, part: tuple[int, int] | None) -> Iterator[RawRow]:
        """The rows. number: of the first one in `batches`."""
        import pyarrow as pa  # noqa: PLC0415

        first, end = (0, sys.maxsize) if part is None else part
        try:
            for batch in batches:
                start, stop = max(0, first - number), min(batch.num_rows, end - number)
                for at in range(start, stop, BATCH_ROWS):
                    for row, fields in enumerate(batch.slice(at, min(BATCH_ROWS, stop - at)).to_pylist(), number + at):
                        yield RawRow(0, row, fields)
                number += batch.num_rows
                if number >= end:
                    return
        except (pa.ArrowException, OSError, ValueError) as error:
            self._error = InputError(f"{self.name}: cannot be read beyond row {number:,}: {error}")
            raise self._error from error


# How many rows there are, their batches, what closes the file, and how many rows come before the first batch.
Opened = tuple[int | None, "Iterator[Any]", "Callable[[], None]", int]


def _open_parquet(path: Path, used: Collection[str] | None, part: tuple[int, int] | None) -> Opened:
    from pyarrow import parquet  # noqa: PLC0415

    file = parquet.ParquetFile(path, pre_buffer=False)
    columns = _columns(file.schema_arrow, used)
    groups, passed = list(range(file.num_row_groups)), 0
    while part is not None and len(groups) > 1 and passed + (rows := file.metadata.row_group(groups[0]).num_rows) <= part[0]:
        passed += rows
        del groups[0]
    return file.metadata.num_rows, file.iter_batches(batch_size=BATCH_ROWS, row_groups=groups, columns=columns), file.close, passed


def _open_ipc(path: Path, used: Collection[str] | None) -> Opened:
    import pyarrow as pa  # noqa: PLC0415

    source = pa.memory_map(str(path))
    try:
        reader = pa.ipc.open_file(source)
        length = sum(reader.get_batch(at).num_rows for at in range(reader.num_record_batches))
        batches = (reader.get_batch(at) for at in range(reader.num_record_batches))
    except pa.ArrowInvalid:  # the streaming format, which `datasets` writes under the same name
        source.seek(0)
        reader = pa.ipc.open_stream(source)
        length, batches = None, iter(reader)
    columns = _columns(reader.schema, used)
    return length, (batch.select(columns) for batch in batches), source.close, 0


def _open_folder(path: Path, used: Collection[str] | None) -> Opened:
    state = path / FOLDER_STATE
    if not state.exists():
        raise InputError(f"{path} is a directory; name a file in it")
    names = [each["filename"] for each in json.loads(state.read_text())["_data_files"]]
    opened = [_open_ipc(path / name, used) for name in names]

    def close() -> None:
        for _, _, close_one, _ in opened:
            close_one()

    return None, (batch for _, batches, _, _ in opened for batch in batches), close, 0


def _columns(schema: Any, used: Collection[str] | None) -> list[str]:
    """The columns to read. Others than those that are used count as well: by them it is seen whether a row has changed."""
    return [column.name for column in schema if used is None or column.name in used or "binary" not in str(column.type)]
