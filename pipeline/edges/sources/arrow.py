"""Reads the rows of Parquet and Arrow files, and of a folder as Hugging Face's `save_to_disk` writes it. Needs pyarrow.

Rows come batch by batch, so that memory does not grow with the file. Columns of bytes that nobody asks for are not read.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline.core.rows.columns import missing_columns
from pipeline.core.rows.lines import RawRow
from pipeline.edges.sources.one_by_one import RowsOneByOne
from pipeline.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from pathlib import Path

FOLDER_STATE = "state.json"  # of Hugging Face's datasets; names the files of the folder in order
FILE_MARK, OLD_MARK = b"ARROW1", b"FEA1"  # first bytes of Arrow files and of Feather before them
BATCH_ROWS = 512  # rows of Python objects in memory at once


class ArrowSource(RowsOneByOne):
    """A `Source` of columns. A row is a mapping by the columns' names; its offset is its number."""

    size: int | None = None
    bytes_read = 0

    def __init__(self, name: str, opened: Opened, part: tuple[int, int] | None) -> None:
        self.length = opened.length if part is None else part[1] - part[0]
        self._close = opened.close
        super().__init__(name, self._each_row(opened.batches, opened.passed, part))

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        used: Collection[str] | None = None,
        needed: Mapping[str, str] | None = None,
        part: tuple[int, int] | None = None,
    ) -> ArrowSource:
        """Open a file or a dataset's folder. Raises InputError.

        used: the columns that somebody asks for, None for all. needed: those that must be there, and who asks for each.
        part: the numbers of the first row to read and of the first one behind those; None reads all.
        """
        try:
            import pyarrow as pa  # noqa: PLC0415  200 ms that only these files cost
        except ImportError:
            raise InputError(f"{path}: reading it needs a package that is not installed: pip install 'headrace[arrow]'") from None
        try:
            if path.is_dir():
                opened = _open_folder(path, used)
            elif path.suffix.lower() == ".parquet":
                opened = _open_parquet(path, used, part)
            else:
                opened = _open_ipc(path, used)
        except FileNotFoundError:
            raise InputError(f"{path}: no such file (in a config, a relative path is relative to the config file)") from None
        except (pa.ArrowException, OSError, ValueError) as error:
            raise InputError(f"{path}: cannot be read: {error}") from error
        problem = missing_columns(needed or {}, opened.columns)
        if problem is not None:
            opened.close()
            raise InputError(f"{path}: {problem}")
        return cls(str(path), opened, part)

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


class Opened(NamedTuple):
    """Columns, ready to be read. length: rows, None where nobody knows. passed: rows before the first batch."""

    length: int | None
    batches: Iterator[Any]
    close: Callable[[], None]
    columns: Sequence[str]
    passed: int = 0


def _open_parquet(path: Path, used: Collection[str] | None, part: tuple[int, int] | None) -> Opened:
    from pyarrow import parquet  # noqa: PLC0415

    file = parquet.ParquetFile(path, pre_buffer=False)
    columns = _columns(file.schema_arrow, used)
    groups, passed = list(range(file.num_row_groups)), 0
    while part is not None and len(groups) > 1 and passed + (rows := file.metadata.row_group(groups[0]).num_rows) <= part[0]:
        passed += rows
        del groups[0]
    batches = file.iter_batches(batch_size=BATCH_ROWS, row_groups=groups, columns=columns)
    return Opened(file.metadata.num_rows, batches, file.close, columns, passed)


def _open_ipc(path: Path, used: Collection[str] | None) -> Opened:
    import pyarrow as pa  # noqa: PLC0415

    source = pa.memory_map(str(path))
    try:
        reader = pa.ipc.open_file(source)
        length = sum(reader.get_batch(at).num_rows for at in range(reader.num_record_batches))
        batches = (reader.get_batch(at) for at in range(reader.num_record_batches))
    except pa.ArrowInvalid:  # the streaming format, which `datasets` writes under the same name
        source.seek(0)
        head = source.read(len(FILE_MARK))
        if head == FILE_MARK:
            raise  # the file format, cut off or damaged
        if head.startswith(OLD_MARK):
            raise InputError(f"{path} is Feather of version 1, which is not read; write it in version 2") from None
        source.seek(0)
        reader = pa.ipc.open_stream(source)
        length, batches = None, iter(reader)
    columns = _columns(reader.schema, used)
    return Opened(length, (batch.select(columns) for batch in batches), source.close, columns)


def _open_folder(path: Path, used: Collection[str] | None) -> Opened:
    state = path / FOLDER_STATE
    if not state.exists():
        parts = sorted(str(found.parent) for found in path.glob(f"*/{FOLDER_STATE}"))
        raise InputError(f"{path} is a directory; name {'a file in it' if not parts else 'one of its datasets: ' + ', '.join(parts)}")
    names = [each["filename"] for each in json.loads(state.read_text())["_data_files"]]
    opened = [_open_ipc(path / name, used) for name in names]

    def close() -> None:
        for each in opened:
            each.close()

    return Opened(None, (batch for each in opened for batch in each.batches), close, opened[0].columns if opened else ())


def _columns(schema: Any, used: Collection[str] | None) -> list[str]:
    """The columns to read. Others than those that are used count as well: by them it is seen whether a row has changed."""
    return [column.name for column in schema if used is None or column.name in used or "binary" not in str(column.type)]
