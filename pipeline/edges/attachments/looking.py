"""A source whose rows name files: each file is looked at when its row is read, and is a part of what the row is recognised by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from pipeline.core.bookkeeping.fingerprint import row_digest
from pipeline.core.rows.attached import with_files
from pipeline.core.rows.formats import is_whole_request
from pipeline.core.rows.templates import reach
from pipeline.edges.attachments.folder import FileProblemError, Folder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.core.rows.lines import RawRow
    from pipeline.ports import Source
    from pipeline.records import FileFound

_decode_any = msgspec.json.Decoder().decode


class RowsWithFiles:
    """A `Source` over another one. fields: those that name files. Owns the source and the folder; close it.

    A row is its text and the size and time of its files, so rows are never passed by their text alone.
    """

    def __init__(self, source: Source, folder: Folder, fields: Sequence[str]) -> None:
        self._source = source
        self._folder = folder
        self._fields = tuple(dict.fromkeys(fields))

    @property
    def name(self) -> str:
        """See `Source`."""
        return self._source.name

    @property
    def can_be_reopened(self) -> bool:
        """See `Source`."""
        return self._source.can_be_reopened

    @property
    def size(self) -> int | None:
        """See `Source`."""
        return self._source.size

    @property
    def bytes_read(self) -> int:
        """See `Source`."""
        return self._source.bytes_read

    @property
    def length(self) -> int | None:
        """See `Source`."""
        return self._source.length

    def take(self, most: int) -> list[RawRow]:
        """See `Source`."""
        rows = self._source.take(most)
        for row in rows:
            files = self._files_of(row)
            if files:
                row.files = files
                row.digest = with_files(row_digest(row), files)
        return rows

    def text_before(self, line: int, offset: int) -> None:
        """See `Source`. Files that have changed would be passed over unseen."""
        del line, offset

    def close(self) -> None:
        """Close both."""
        self._source.close()
        self._folder.close()

    def _files_of(self, row: RawRow) -> dict[str, FileFound | str]:
        fields = row.data
        if isinstance(fields, bytes):
            try:
                fields = _decode_any(fields)
            except (msgspec.DecodeError, UnicodeError, RecursionError):
                return {}  # a bad row, as will be told
        if not isinstance(fields, Mapping) or is_whole_request(fields):
            return {}
        found: dict[str, FileFound | str] = {}
        for name in self._fields:
            try:
                path = reach(fields, name)
            except KeyError:
                continue
            if isinstance(path, str) and path:
                try:
                    found[name] = self._folder.look(path)
                except FileProblemError as problem:
                    found[name] = str(problem)
        return found
