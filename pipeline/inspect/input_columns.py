"""Fields of the input beside the results: those that lines carry (`sink.keep`), and others that are read from the input itself.

A result is found for a row by its index, and only if the input still says what it said when the row was answered. What is taken from the
input lies in a temporary file meanwhile, so results may come in any order.
"""

from __future__ import annotations

from array import array
from contextlib import ExitStack, closing
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING

import msgspec
from attrs import define, field

from pipeline.core.output.cells import COLUMNS
from pipeline.core.output.kept import KeptFields
from pipeline.durability.present_rows import PresentRows
from pipeline.errors import InputChangedError, InputError
from pipeline.inspect.export_tables import joined, kind_of
from pipeline.inspect.results import row_hashes
from pipeline.runs.inputs import job_maker, source_opener

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pipeline.config import Config
    from pipeline.core.output.written import Written
    from pipeline.core.rows.lines import RawRow
    from pipeline.inspect.export_tables import Value
    from pipeline.ports import Source

ALL = "*"

_decode_parts = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_encode = msgspec.json.Encoder().encode
_NULL = msgspec.Raw(b"null")


@define(eq=False)
class Columns:
    """The fields of the input in an export. Close it.

    names: of their columns. kept: those that a line has itself; taken: the others.
    """

    kept: tuple[str, ...] = ()
    taken: tuple[str, ...] = ()
    rows: PresentRows | None = None
    texts: IO[bytes] | None = None
    starts: array[int] = field(factory=lambda: array("Q", [0]))
    types: dict[str, str] = field(factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns. One that is a column of the results already has `input.` before it."""
        return tuple(column_of(name) for name in (*self.kept, *self.taken))

    def values(self, told: Written, line: bytes) -> list[Value]:
        """The fields of a result's row. Raises InputChangedError."""
        found: list[Value] = []
        if self.kept:
            parts = _decode_parts(line)
            found += [parts.get(name, _NULL) for name in self.kept]
        if self.taken:
            parts = self._taken_of(told)
            found += [parts.get(name, _NULL) for name in self.taken]
        return found

    def find_types(self, results: Iterator[tuple[Written, bytes]]) -> None:
        """Look which type each column needs."""
        kinds: list[str | None] = [None] * len(self.names)
        for told, line in results:
            kinds = [
                joined(kind, kind_of(value) if isinstance(value, msgspec.Raw) else None)
                for kind, value in zip(kinds, self.values(told, line), strict=True)
            ]
        self.types = {name: kind or "text" for name, kind in zip(self.names, kinds, strict=True)}

    def close(self) -> None:
        """Remove the temporary file."""
        if self.texts is not None:
            self.texts.close()

    def _taken_of(self, told: Written) -> dict[str, msgspec.Raw]:
        assert self.rows is not None
        assert self.texts is not None
        if not self.rows.holds(told):
            place = self.rows.place(told.index)
            raise InputChangedError(
                f"the input has changed: row {told.index}{f' ({place})' if place else ''} is not the one that {told.custom_id!r} answers"
            )
        start, end = self.starts[told.index], self.starts[told.index + 1]
        self.texts.seek(start)
        return _decode_parts(self.texts.read(end - start))


def column_of(name: str) -> str:
    """The name of an input field's column."""
    return f"input.{name}" if name in COLUMNS else name


def columns_of(config: Config, wanted: Sequence[str], results: Callable[[], Iterator[tuple[Written, bytes]]]) -> Columns:
    """The fields of the input that an export has: those of `sink.keep`, and those that are wanted. Raises InputError, JournalError."""
    kept = tuple(config.sink.keep)
    names = tuple(dict.fromkeys(name for name in wanted if name not in kept))
    with ExitStack() as opened:
        columns = opened.enter_context(closing(Columns(kept)))
        if names:
            _read_input(config, names, columns)
        if columns.names:
            columns.find_types(results())
        opened.pop_all()
    return columns


def _read_input(config: Config, names: tuple[str, ...], columns: Columns) -> None:
    if "-" in config.source.paths:
        raise InputError("the input was stdin, which cannot be read again; put it into a file to export its columns")
    with ExitStack() as opened:
        entries = row_hashes(config)
        jobs = opened.enter_context(closing(job_maker(config)))
        source = opened.enter_context(closing(source_opener(config, names)()))
        columns.texts = TemporaryFile()  # noqa: SIM115  it is closed with the columns
        noting = _Noting(source, None if ALL in names else KeptFields(names), columns.texts, columns.starts)
        columns.rows = PresentRows.read(noting, jobs, entries)
    columns.taken = tuple(name for name in noting.found if name not in columns.kept) if ALL in names else names
    if ALL not in names and noting.fields and (unknown := [name for name in names if name not in noting.found]):
        raise InputError(f"no row of the input has a field {unknown[0]!r}; it has {', '.join(list(noting.fields)[:20])}")


class _Noting:
    """A source whose rows' fields are noted as they are taken. found: the names of fields that some row has."""

    can_be_reopened = False

    def __init__(self, source: Source, chosen: KeptFields | None, texts: IO[bytes], starts: array[int]) -> None:
        self._source = source
        self._chosen = chosen
        self._texts = texts
        self._starts = starts
        self.found: dict[str, None] = {}
        self.fields: dict[str, None] = {}
        self.name, self.size, self.bytes_read, self.length = source.name, source.size, 0, source.length

    def take(self, most: int) -> list[RawRow]:
        rows = self._source.take(most)
        for row in rows:
            text = self._text_of(row)
            self._texts.write(text)
            self._starts.append(self._starts[-1] + len(text))
        return rows

    def text_before(self, line: int, offset: int) -> None:
        del line, offset

    def close(self) -> None:
        self._source.close()

    def _text_of(self, row: RawRow) -> bytes:
        """The fields of a row as a JSON object."""
        if self._chosen is not None:
            text = b"{" + self._chosen.of(row)[1:] + b"}"
            if len(self.found) < len(self._chosen.names):
                self.fields |= dict.fromkeys(_names_of(row))
                self.found |= {name: None for name, value in _decode_parts(text).items() if bytes(value) != b"null" or name in self.fields}
            return text
        names = _names_of(row)
        self.found |= dict.fromkeys(names)
        return b"{" + KeptFields([name for name in names if name]).of(row)[1:] + b"}"


def _names_of(row: RawRow) -> list[str]:
    if row.data is None:
        return []
    if not isinstance(row.data, bytes):
        return list(row.data)
    try:
        row.data.decode()
        return list(_decode_parts(row.data))
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return []
