"""Writes the results of a run as a table for other programs, row by row; the output stays as it is.

The columns are the same for successes and failures: those of `COLUMNS`, and fields of the input on request. A table is complete or is not
there: what goes wrong on the way leaves no file behind.
"""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from pipeline.core.output.cells import values_of
from pipeline.core.output.read_lines import read_line
from pipeline.errors import InputError, OutputExistsError, UsageError
from pipeline.inspect.export_tables import FORMATS, PACKINGS, Look, format_of, packed
from pipeline.inspect.input_columns import columns_of
from pipeline.inspect.results import result_files

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline.config import Config
    from pipeline.core.output.written import Written

MODE = 0o600  # answers may be confidential


def export(
    config: Config,
    target: str,
    *,
    form: str | None = None,
    columns: Sequence[str] = (),
    excel: bool = False,
    neutralise_formulas: bool = False,
) -> int:
    """Write what a config's output holds as a table; how many rows.

    target: a path, where nothing must be yet, or "-" for stdout, whose reader may leave early. form: of `FORMATS`; None is told by the
    target's name, and CSV for stdout. columns: fields of the input beside those of `sink.keep`, "*" for all. excel: begin CSV with the mark
    by which Excel knows UTF-8. neutralise_formulas: see `neutralised`.

    Raises InputError without an output, for a line that is not a result, or for an input that has changed; OutputExistsError;
    UsageError if the target cannot be written or its name says no format.
    """
    form, packing = _format(target, form)
    if excel and form != "csv":
        raise UsageError(f"the mark for Excel belongs to a .csv, and {target} is to be {form}")
    files = result_files(config)
    rows = 0
    try:
        with ExitStack() as opened:
            if not files:
                raise InputError(f"{config.sink.path}: there is no output to export; run the config first")
            found = opened.enter_context(closing(columns_of(config, columns, lambda: _results(files))))
            look = Look(found.names, found.types if FORMATS[form].needs_types else {}, excel=excel, neutralise=neutralise_formulas)
            file = opened.enter_context(_created(target))
            opened.push(_Removal(target))
            stream = packed(file, packing, opened)
            table = opened.enter_context(closing(FORMATS[form](stream, look)))
            for told, line in _results(files):
                table.add([*values_of(told), *found.values(told, line)])
                rows += 1
            table.finish()
    except BrokenPipeError:
        pass
    except FileExistsError:
        raise OutputExistsError(Path(target), "name another file") from None
    except OSError as error:
        raise UsageError(f"{error.filename or target}: {error.strerror}") from error
    return rows


def _results(files: Sequence[Path]) -> Iterator[tuple[Written, bytes]]:
    """The lines of an output, understood. Raises InputError."""
    for source in files:
        with source.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                told = read_line(line)
                if told is None:
                    raise _unreadable(source, number, line)
                yield told, line


def _format(target: str, form: str | None) -> tuple[str, str]:
    """The format and the packing of a target. Raises UsageError."""
    if target == "-":
        form = form or "csv"
        if not FORMATS[form].is_text:
            raise UsageError(f"{form} cannot be written to stdout; name a file with --out")
        return form, ""
    named, packing = format_of(target)
    if form is None and named is None:
        known = ", ".join(ending for each in FORMATS.values() for ending in each.endings)
        raise UsageError(f"{target}: its name must end in one of {known} (text also with {' or '.join(PACKINGS)} behind), or give --format")
    form = form or named
    assert form is not None
    if packing and not FORMATS[form].is_text:
        raise UsageError(f"{target}: {form} is compressed inside; name it without {packing}")
    return form, packing


def _unreadable(source: Path, number: int, line: bytes) -> InputError:
    if not line.endswith(b"\n"):
        return InputError(f"{source}, line {number}: the line is cut off; run the config again to complete it, then export")
    return InputError(
        f"{source}, line {number}: this is not a line of results, so nothing was exported; `headrace verify` says what is wrong with it"
    )


def _created(target: str) -> BinaryIO:
    if target == "-":
        return open(os.dup(sys.stdout.fileno()), "wb")  # noqa: PTH123  a descriptor has no path
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, MODE)
    return open(descriptor, "wb")  # noqa: PTH123  the mode is ours


class _Removal:
    """Removes a file that was begun, if the block around it fails."""

    def __init__(self, target: str) -> None:
        self._target = target

    def __enter__(self) -> None:
        """Nothing is to be done yet."""

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and self._target != "-":
            Path(self._target).unlink()
