"""What all commands share: exit codes, who says what where, and how trouble becomes a message and a code.

All talk goes to stderr and bears a reader that has gone; stdout carries only what was asked for. Expected trouble is a message,
never a traceback. Exception groups, which is what comes out of a nursery, are taken apart here and nowhere else.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

OK, SOME_FAILED, USAGE, ABORTED, INTERRUPTED = 0, 1, 2, 3, 130

E = TypeVar("E", bound=BaseException)


def hold_standard_streams() -> None:
    """Open nothing in the place of a standard stream that is closed: else the output file would become stdout, and be written to."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one


def say(text: str) -> None:
    """Tell people something. That nobody listens any more is no reason to stop."""
    try:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):  # a broken pipe, a closed stream, no stream at all
        pass


def answer(value: object) -> None:
    """Print what was asked for: one JSON object on one line of stdout.

    Raises: RunAborted, where stdout takes no more; a reader that has gone has what it wanted.
    """
    import json

    if sys.stdout is None:
        return
    try:
        sys.stdout.write(json.dumps(value) + "\n")
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python flushes it again at the exit, and complains
        if not isinstance(error, BrokenPipeError):
            from pipeline.errors import RunAborted

            raise RunAborted(f"cannot write to stdout: {error.strerror}") from error


def guarded(work: Callable[[], int], verbose: int) -> int:
    """Do a command's work; its exit code, or the one of what went wrong. verbose: -v shows where a defect is."""
    from pipeline.errors import ConfigError, HeadraceError, RunAborted, RunInterrupted, UsageError

    _log(verbose)
    codes: list[int] = []
    try:
        codes.append(work())
    except* UsageError as group:
        _say_all(group, "" if group.subgroup(ConfigError) else "error")
        codes.append(USAGE)
    except* RunAborted as group:
        _say_all(group, "aborted")
        codes.append(ABORTED)
    except* (RunInterrupted, KeyboardInterrupt) as group:
        _say_all(group, "interrupted")
        codes.append(INTERRUPTED)
    except* HeadraceError as group:
        _say_all(group, "error")
        codes.append(ABORTED)
    except* Exception as group:  # noqa: BLE001  the last place that can turn a defect into a message
        _say_defect(group, verbose)
        codes.append(ABORTED)
    return codes[0]


def leaves(group: BaseExceptionGroup[E]) -> Iterator[E]:
    """The exceptions in a group and in the groups inside it."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from leaves(error)
        else:
            yield error


def _say_all(group: BaseExceptionGroup[BaseException], what: str) -> None:
    """Say each message once, behind what it is unless it says so itself."""
    for text in dict.fromkeys(map(str, leaves(group))):
        known = not what or text.startswith(what)
        say(text if text and known else ": ".join(filter(None, (what, text))))


def _say_defect(group: BaseExceptionGroup[Exception], verbose: int) -> None:
    if verbose:
        import traceback

        say("".join(traceback.format_exception(group)).rstrip())
    for error in leaves(group):
        say(f"internal error: {type(error).__name__}: {error}")
    say("this is a defect of headrace; please report it with what -v says")


def _log(verbose: int) -> None:
    """Let the loggers speak: of the run at -v, of every attempt at -vv."""
    if not verbose:
        return
    import logging

    logging.basicConfig(stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s", level=logging.WARNING)
    logging.getLogger("pipeline").setLevel(logging.INFO if verbose == 1 else logging.DEBUG)
