"""Writes the results of a run as CSV, row by row; the output stays as it is."""

from __future__ import annotations

import csv
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from pipeline.core.output.cells import COLUMNS, cells_of
from pipeline.errors import InputError, OutputExistsError, UsageError

if TYPE_CHECKING:
    from pipeline.config import Config

MODE = 0o600  # answers may be confidential


def export_csv(config: Config, target: str, *, neutralise_formulas: bool = False) -> int:
    """Write what a config's output holds as CSV (UTF-8, a header line, RFC 4180); how many rows.

    target: a path, where nothing must be yet, or "-" for stdout, whose reader may leave early.
    Raises InputError without an output, or for a line that is not a result, and then leaves no target behind;
    OutputExistsError; UsageError if the target cannot be written.
    """
    source = Path(config.sink.path)
    rows = 0
    try:
        with source.open("rb") as lines, _created(target) as file:
            table = csv.writer(file)
            table.writerow(COLUMNS)
            for line in lines:
                cells = cells_of(line, neutralise=neutralise_formulas)
                if cells is None:
                    raise _unreadable(source, rows + 1, line)
                table.writerow(cells)
                rows += 1
    except InputError:
        if target != "-":
            Path(target).unlink()
        raise
    except FileNotFoundError as error:
        if Path(error.filename) != source:
            raise UsageError(f"{target}: {error.strerror}") from error
        raise InputError(f"{source}: there is no output to export; run the config first") from None
    except FileExistsError:
        raise OutputExistsError(Path(target), "name another file") from None
    except BrokenPipeError:
        pass
    except OSError as error:
        raise UsageError(f"{error.filename or target}: {error.strerror}") from error
    return rows


def _unreadable(source: Path, number: int, line: bytes) -> InputError:
    if not line.endswith(b"\n"):
        return InputError(f"{source}, line {number}: the line is cut off; run the config again to complete it, then export")
    return InputError(
        f"{source}, line {number}: this is not a line of results, so nothing was exported; `headrace verify` says what is wrong with it"
    )


def _created(target: str) -> TextIO:
    if target == "-":
        return open(os.dup(sys.stdout.fileno()), "w", encoding="utf-8", newline="")  # noqa: PTH123  a descriptor has no path
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, MODE)
    return open(descriptor, "w", encoding="utf-8", newline="")  # noqa: PTH123  the mode is ours
