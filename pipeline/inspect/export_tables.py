"""The formats of an export: CSV, TSV and JSON Lines, each also compressed, Parquet and Arrow.

A column has one type from the first row to the last. Those of the results are fixed; a field of the input is a number or a truth value only
if it is one in every row, and text otherwise, in which anything else stands as JSON.
"""

from __future__ import annotations

import csv
import gzip
import io
from contextlib import suppress
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, Protocol

import msgspec
from attrs import frozen

from pipeline.core.output.cells import COLUMNS, NUMBERS, neutralised
from pipeline.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import ExitStack

PACKINGS = (".gz", ".zst")
GROUP_ROWS, GROUP_BYTES = 4096, 32 << 20  # of a table that is written in groups: what is in memory at once

Value = str | int | float | bool | msgspec.Raw | None  # Raw: a field of the input, as JSON

_decode_any = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


@frozen
class Look:
    """How a table is to look. names: of the columns behind those of the results. types: of these, where the format has types."""

    names: Sequence[str]
    types: Mapping[str, str]
    excel: bool = False
    neutralise: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of all columns."""
        return (*COLUMNS, *self.names)


class Table(Protocol):
    """Takes rows and writes them. After `finish` the table is whole. Close it, also after an error."""

    def add(self, values: Sequence[Value]) -> None:
        """Write a row."""

    def finish(self) -> None:
        """Write what is left."""

    def close(self) -> None:
        """Give up what is open, but not the stream."""


def packed(file: BinaryIO, packing: str, opened: ExitStack) -> BinaryIO:
    """A stream that compresses into a file, closed with `opened`."""
    if packing == ".gz":
        return opened.enter_context(gzip.GzipFile("", "wb", fileobj=file, mtime=0))  # type: ignore[return-value]  # it writes as one
    if packing == ".zst":
        import zstandard  # noqa: PLC0415  few exports are compressed

        return opened.enter_context(zstandard.ZstdCompressor().stream_writer(file, closefd=False))
    return file


def format_of(target: str) -> tuple[str | None, str]:
    """The format that a name tells, None if it tells none, and how it is compressed."""
    name = target.lower()
    packing = next((each for each in PACKINGS if name.endswith(each)), "")
    name = name.removesuffix(packing)
    return next((form for form, table in FORMATS.items() if name.endswith(table.endings)), None), packing


class CsvTable:
    """CSV as RFC 4180 has it: UTF-8, a header, lines that end in CR LF."""

    endings: ClassVar[tuple[str, ...]] = (".csv",)
    is_text: ClassVar[bool] = True
    needs_types: ClassVar[bool] = False
    delimiter: ClassVar[str] = ","

    def __init__(self, stream: BinaryIO, look: Look) -> None:
        self._text = io.TextIOWrapper(stream, encoding="utf-8", errors="replace", newline="", write_through=True)
        self._neutralise = look.neutralise
        if look.excel:
            self._text.write("\ufeff")
        self._table = csv.writer(self._text, delimiter=self.delimiter)
        self._table.writerow(look.columns)

    def add(self, values: Sequence[Value]) -> None:
        """Write a row."""
        cells = [as_cell(value) for value in values]
        self._table.writerow([neutralised(cell) if isinstance(cell, str) else cell for cell in cells] if self._neutralise else cells)

    def finish(self) -> None:
        """Write what is left."""
        self._text.flush()

    def close(self) -> None:
        """Leave the stream open."""
        with suppress(ValueError, OSError):  # it was left already, or takes no more
            self._text.detach()


class TsvTable(CsvTable):
    """The same with tabs."""

    endings = (".tsv",)
    delimiter = "\t"


class JsonTable:
    """An object on each line, with the same keys on every one."""

    endings: ClassVar[tuple[str, ...]] = (".jsonl", ".ndjson")
    is_text: ClassVar[bool] = True
    needs_types: ClassVar[bool] = False

    def __init__(self, stream: BinaryIO, look: Look) -> None:
        self._stream = stream
        self._columns = look.columns

    def add(self, values: Sequence[Value]) -> None:
        """Write a row."""
        self._stream.write(_encode(dict(zip(self._columns, values, strict=True))) + b"\n")

    def finish(self) -> None:
        """Write what is left."""
        self._stream.flush()

    def close(self) -> None:
        """Nothing is open."""


class ArrowTable:
    """Arrow's file format (Feather), which `pyarrow`, pandas and polars read without a copy."""

    endings: ClassVar[tuple[str, ...]] = (".arrow", ".feather")
    is_text: ClassVar[bool] = False
    needs_types: ClassVar[bool] = True

    def __init__(self, stream: BinaryIO, look: Look) -> None:
        try:
            import pyarrow as pa  # noqa: PLC0415  200 ms that only these formats cost
        except ImportError:
            raise UsageError("writing this format needs a package that is not installed: pip install 'headrace[arrow]'") from None
        self._pa = pa
        kinds = {"int": pa.int64(), "float": pa.float64(), "bool": pa.bool_(), "text": pa.string()}
        types = {**dict.fromkeys(COLUMNS, "text"), **dict.fromkeys(NUMBERS, "int"), **look.types}
        self._types = [types[name] for name in look.columns]
        self._schema = pa.schema([(name, kinds[types[name]]) for name in look.columns])
        self._rows: list[Sequence[Value]] = []
        self._bytes = 0
        self._writer = self._opened(stream)

    def _opened(self, stream: BinaryIO) -> Any:
        return self._pa.ipc.new_file(stream, self._schema)

    def add(self, values: Sequence[Value]) -> None:
        """Write a row."""
        self._rows.append([as_typed(value, kind) for value, kind in zip(values, self._types, strict=True)])
        self._bytes += sum(len(value) for value in self._rows[-1] if isinstance(value, str))
        if len(self._rows) >= GROUP_ROWS or self._bytes >= GROUP_BYTES:
            self._write_group()

    def finish(self) -> None:
        """Write what is left."""
        self._write_group()
        self._writer.close()

    def close(self) -> None:
        """Let go of what is open."""
        with suppress(Exception):  # the stream may take no more, and the file is removed
            self._writer.close()

    def _write_group(self) -> None:
        if self._rows:
            arrays = [self._pa.array(column, field.type) for column, field in zip(zip(*self._rows, strict=True), self._schema, strict=True)]
            self._writer.write_batch(self._pa.record_batch(arrays, schema=self._schema))
            self._rows, self._bytes = [], 0


class ParquetTable(ArrowTable):
    """Parquet, compressed with Zstandard."""

    endings = (".parquet",)

    def _opened(self, stream: BinaryIO) -> Any:
        from pyarrow import parquet  # noqa: PLC0415

        return parquet.ParquetWriter(stream, self._schema, compression="zstd")


FORMATS: dict[str, type[CsvTable | JsonTable | ArrowTable]] = {
    "csv": CsvTable,
    "tsv": TsvTable,
    "jsonl": JsonTable,
    "parquet": ParquetTable,
    "arrow": ArrowTable,
}


def as_cell(value: Value) -> str | int | float:
    """A value as the cell of a table of text: nothing for null, and JSON for what is no text."""
    if value is None:
        return ""
    if not isinstance(value, msgspec.Raw):
        return value
    decoded = _decode_any(value)
    return "" if decoded is None else decoded if isinstance(decoded, str) else bytes(value).decode()


def as_typed(value: Value, kind: str) -> str | int | float | bool | None:
    """A value in a column of this type."""
    decoded = _decode_any(value) if isinstance(value, msgspec.Raw) else value
    if decoded is None:
        return None
    if kind == "float":
        return float(decoded)
    if kind == "text" and not isinstance(decoded, str):
        return bytes(value).decode() if isinstance(value, msgspec.Raw) else str(decoded)
    return decoded


def kind_of(value: msgspec.Raw) -> str | None:
    """The type that a column needs for a value; None for null, which every column takes."""
    first = bytes(memoryview(value)[:1])
    if first == b"n":
        return None
    if first in (b"t", b"f"):
        return "bool"
    if first not in b"-0123456789":
        return "text"
    number = _decode_any(value)
    return "float" if isinstance(number, float) else "int" if -(2**63) <= number < 2**63 else "text"


def joined(one: str | None, other: str | None) -> str | None:
    """The type of a column that holds values of two types."""
    if one is None or other is None or one == other:
        return one or other
    return "float" if {one, other} == {"int", "float"} else "text"
