"""What all commands share: exit codes, where output goes, and how an error becomes a message and a code.

All messages go to stderr, through the terminal that a command is given; stdout carries only what was asked for. An expected error is
a message, never a traceback. Exception groups, which nurseries raise, are unpacked here and nowhere else.
"""

from __future__ import annotations

import errno
import os
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TypeVar

from pipeline.cli.flags import is_quiet
from pipeline.cli.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pipeline.summaries import Progress

    Talk = Terminal[Progress]

OUT_OF_FILES = {
    errno.EMFILE: "raise the limit (ulimit -n)",
    errno.ENFILE: "the whole system has no more to give, so ulimit -n will not help",
}

OK, SOME_FAILED, USAGE, ABORTED, INTERRUPTED = 0, 1, 2, 3, 130

E = TypeVar("E", bound=BaseException)


def hold_standard_streams() -> None:
    """Open nothing in the place of a standard stream that is closed: else the output file would become stdout, and be written to."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one


def answer(value: object) -> None:
    """Print what was asked for: one JSON object on one line of stdout. Raises as `print_text`."""
    print_text(json_line(value) + "\n")


def json_line(value: object) -> str:
    """A value as JSON on one line, in ASCII: whoever reads it need not know our encoding."""
    import msgspec

    with suppress(ValueError, TypeError, OverflowError, msgspec.MsgspecError):
        line = msgspec.json.format(msgspec.json.encode(value), indent=0)
        if line.isascii():
            return line.decode()
    import json  # 1 ms, which few objects need: msgspec writes no escapes for letters beyond ASCII

    return json.dumps(value)


def print_text(text: str) -> None:
    """Print what was asked for on stdout.

    Raises: RunAborted, if stdout cannot be written; a reader that has gone has what it wanted.
    """
    if sys.stdout is None:
        return
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python flushes it again at the exit, and complains
        if not isinstance(error, BrokenPipeError):
            from pipeline.errors import RunAborted

            raise RunAborted(f"cannot write to stdout: {error.strerror}") from error


def guarded(work: Callable[[Talk], int], verbose: int) -> int:
    """Do a command's work; its exit code, or the one of what went wrong.

    work: given the terminal, which is the only way to stderr. verbose: -v shows where a defect is.
    """
    with Terminal["Progress"](sys.stderr) as terminal, _logging(verbose, terminal):
        return _code_of(work, terminal, verbose)


def _code_of(work: Callable[[Talk], int], terminal: Talk, verbose: int) -> int:
    from pipeline.errors import ConfigError, HeadraceError, RunAborted, RunInterrupted, UsageError

    codes: list[int] = []
    try:
        codes.append(work(terminal))
    except* UsageError as group:
        _say_all(terminal, group, "" if group.subgroup(ConfigError) else "error")
        codes.append(USAGE)
    except* RunAborted as group:
        _say_all(terminal, group, "aborted")
        codes.append(ABORTED)
    except* (RunInterrupted, KeyboardInterrupt) as group:
        _say_all(terminal, group, "interrupted")
        codes.append(INTERRUPTED)
    except* HeadraceError as group:
        _say_all(terminal, group, "error")
        codes.append(ABORTED)
    except* Exception as group:  # noqa: BLE001  the last place that can turn a defect into a message
        _say_defect(terminal, group, verbose)
        codes.append(ABORTED)
    return codes[0]


def tell(terminal: Talk, text: str, *, ok: bool) -> None:
    """Say how something ended. With -q, say it only if it did not end well."""
    if not (ok and is_quiet()):
        terminal.say(text)


def leaves(group: BaseExceptionGroup[E]) -> Iterator[E]:
    """The exceptions in a group and in the groups inside it."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from leaves(error)
        else:
            yield error


def _say_all(terminal: Talk, group: BaseExceptionGroup[BaseException], what: str) -> None:
    """Say each message once, behind what it is unless it says so itself."""
    for text in dict.fromkeys(map(str, leaves(group))):
        known = not what or text.startswith(what)
        terminal.say(text if text and known else ": ".join(filter(None, (what, text))))


def _say_defect(terminal: Talk, group: BaseExceptionGroup[Exception], verbose: int) -> None:
    """Say what was not foreseen. Files run out wherever one is opened, inside libraries too: that is not our defect."""
    if verbose:
        import traceback

        terminal.say("".join(traceback.format_exception(group)).rstrip())
    defects = []
    for error in leaves(group):
        if isinstance(error, OSError) and error.errno in OUT_OF_FILES:
            what = ": ".join(filter(None, (str(error.filename or ""), os.strerror(error.errno))))
            terminal.say(f"error: {what}; {OUT_OF_FILES[error.errno]}")
        else:
            defects.append(error)
    for defect in defects:
        terminal.say(f"internal error: {type(defect).__name__}: {defect}")
    if defects:
        terminal.say("this is a defect of headrace; please report it with what -v says")


@contextmanager
def _logging(verbose: int, terminal: Talk) -> Iterator[None]:
    """Let the loggers speak through the terminal: warnings always, what happens at -v, every attempt at -vv."""
    import logging

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            terminal.say(self.format(record))

    handler, logger = Handler(), logging.getLogger("pipeline")
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s" if verbose else "warning: %(message)s"))
    before = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.propagate = False  # else a warning is written by Python's handler of last resort, past the terminal
    logger.setLevel((logging.WARNING, logging.INFO, logging.DEBUG)[min(verbose, 2)])
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before[0])
        logger.propagate = before[1]
