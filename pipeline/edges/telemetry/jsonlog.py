"""A log of attempts and events, one JSON object a line, for whoever wants each of them: jq, DuckDB, a log collector.

Lines are gathered and written in pieces of 64 kB, and at least once a second while something happens: a write for each group of
attempts would cost more than all other observers together. A log that cannot be written any more ends quietly: a run is worth more.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Self

import msgspec

from pipeline.events import RunBegan

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from pipeline.events import AttemptRecord, RunEvent

AT_ONCE = 65_536  # bytes
AT_LEAST_SECONDS = 1.0  # between two writes, while attempts end
MODE = 0o600  # ids and messages may be confidential

_encode = msgspec.json.Encoder().encode_into
_event = msgspec.json.Encoder(order="deterministic").encode


class JsonLog:
    """An observer that owns its file. Clocks are seconds since the run began; its first line says when that was."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lines = bytearray()
        self._written_at = 0.0

    @classmethod
    def open(cls, path: str) -> JsonLog:
        """Append to a file, which is made if it is not there. Raises OSError."""
        return cls(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, MODE))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._write()
        os.close(self._descriptor)

    def attempts(self, records: Sequence[AttemptRecord]) -> None:
        """Log attempts that ended."""
        lines = self._lines
        for record in records:
            lines += b'{"event":"attempt",'
            end = len(lines)
            _encode(record, lines, end)
            del lines[end : end + 1]  # its opening brace
            lines += b"\n"
        if records and (len(lines) >= AT_ONCE or records[-1].ended >= self._written_at + AT_LEAST_SECONDS):
            self._written_at = records[-1].ended
            self._write()

    def events(self, events: Sequence[RunEvent]) -> None:
        """Log what happened, at once: there are few of them."""
        for event in events:
            name = "".join(f"_{each.lower()}" if each.isupper() else each for each in type(event).__name__).lstrip("_")
            self._lines += _event({"event": name, **msgspec.structs.asdict(event)}) + b"\n"
            if isinstance(event, RunBegan):
                self._written_at = event.at
        self._write()

    def _write(self) -> None:
        with suppress(OSError):
            os.write(self._descriptor, self._lines)
        self._lines.clear()
