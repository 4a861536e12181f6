"""Splits a run's output as OpenAI's Batch API does: successes in one file, failures in another, each in the order of the output."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.core.output.read_lines import read_line
from pipeline.edges.store.files import MODE, free_name
from pipeline.errors import OutputExistsError, SinkError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import BinaryIO

PART = ".part"  # behind the name of a file in the making


def split_output(complete: str, successes: str, failures: str) -> tuple[int, int]:
    """Write the lines of an output to two files, which are replaced whole; how many lines each has.

    complete: an output with a line for each row, which stays as it is. A line that is cut off goes to neither file.
    Raises: SinkError, where a file cannot be written; then both keep what they had.
    """
    counts = [0, 0]
    targets = [Path(successes), Path(failures)]
    try:
        with ExitStack() as opened:
            files = [opened.enter_context(_created(target)) for target in targets]
            for line in opened.enter_context(Path(complete).open("rb")):
                told = read_line(line) if line.endswith(b"\n") else None
                if told is not None:
                    which = 0 if told.succeeded else 1
                    files[which].write(line)
                    counts[which] += 1
        for target in targets:
            _part_of(target).replace(target)
    except OSError as error:
        raise SinkError(str(error.filename or successes), error) from error
    finally:
        for target in targets:
            _part_of(target).unlink(missing_ok=True)
    return counts[0], counts[1]


def make_room(complete: str, targets: Sequence[str], *, fresh: bool) -> None:
    """See that no file is replaced that an earlier run has not made: without a complete output there was no such run.

    fresh: move what is there aside, to `PATH.1` and so on. Raises: OutputExistsError.
    """
    there = [Path(target) for target in targets if os.path.lexists(target)]
    if fresh:
        for path in there:
            path.rename(free_name(path))
    elif there and not os.path.lexists(complete):
        raise OutputExistsError(there[0], "name another file, or use --fresh to move it aside")


def _part_of(target: Path) -> Path:
    return target.with_name(target.name + PART)


def _created(target: Path) -> BinaryIO:
    target.parent.mkdir(parents=True, exist_ok=True)
    return open(os.open(_part_of(target), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, MODE), "wb")  # noqa: PTH123  the mode is ours
