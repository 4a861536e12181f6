"""Looks at the whole file of a batch before anything of it is sent. Blocks: it belongs in a thread. Its memory is bounded."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from attrs import frozen

from pipeline.core.batches.lines import Findings, LineCheck
from pipeline.core.batches.records import LineError
from pipeline.core.rows.ids import SeenIds
from pipeline.edges.sources.file import FileSource
from pipeline.edges.store.seen import SeenOnDisk
from pipeline.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from pipeline.core.rows.lines import RawRow

GROUP_ROWS = 500  # looked at between two questions whether to go on


@frozen
class Validated:
    """What was found. rows: in the file. model: that the first row asks for. errors: empty if the batch may begin."""

    rows: int
    model: str | None
    errors: tuple[LineError, ...]


def validate(path: Path, endpoint: str, go_on: Callable[[], bool]) -> Validated | None:
    """Look at every line of a batch's file; None if `go_on` said no meanwhile. Raises InputError if the disk fails."""
    check, findings, store = LineCheck(endpoint), Findings(), SeenOnDisk()
    seen = SeenIds(store)
    rows = 0
    with closing(store), closing(FileSource.open(path)) as source:
        while go_on():
            try:
                taken = source.take(GROUP_ROWS)
            except InputError as error:
                if rows:
                    raise
                findings.add([LineError("invalid_json_line", f"The file {str(error).removeprefix(str(path)).lstrip(': ')}.", None, 1)])
                return Validated(0, None, tuple(findings.errors(0)))
            if not taken:
                return Validated(rows, check.model, tuple(findings.errors(rows)))
            rows += len(taken)
            findings.add(_errors_in(taken, check, seen))
    return None


def _errors_in(rows: Sequence[RawRow], check: LineCheck, seen: SeenIds) -> list[LineError]:
    """What is wrong with some rows, in their order."""
    found: list[tuple[int, LineError]] = []
    named: list[tuple[int, str]] = []
    for at, row in enumerate(rows):
        name, errors = check.check(row)
        found += [(at, error) for error in errors]
        if name is not None:
            named.append((at, name))
    for claim, first in seen.claim([name for _, name in named], [rows[at].line for at, _ in named]).items():
        at, name = named[claim]
        found.append((at, check.duplicate(rows[at], name, first)))
    return [error for _, error in sorted(found, key=lambda item: item[0])]
