"""The command line in trouble: what goes wrong is one message and one exit code, never a traceback."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from pipeline.cli.frame import guarded
from pipeline.errors import ConfigError, HeadraceError, InputError, Problem, RunAborted, RunInterrupted
from pipeline.summaries import Summary

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Capture = pytest.CaptureFixture[str]


def raising(error: BaseException) -> Callable[[object], int]:
    def work(terminal: object) -> int:
        raise error

    return work


@pytest.mark.parametrize(
    "error, code, said",
    [
        (ConfigError([Problem("a.b", "is wrong", "c.yaml", 3)]), 2, "c.yaml:3: a.b: is wrong\n"),
        (InputError("in.jsonl: no such file"), 2, "error: in.jsonl: no such file\n"),
        (RunAborted("credentials refused", Summary()), 3, "aborted: credentials refused\n"),
        (RunInterrupted("interrupted", Summary()), 130, "interrupted\n"),
        (HeadraceError("no way"), 3, "error: no way\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
    ],
)
@pytest.mark.parametrize("depth", [0, 1, 3])
def test_trouble_becomes_a_message_and_a_code_however_deep_its_group(
    error: BaseException, code: int, said: str, depth: int, capsys: Capture
) -> None:
    for _ in range(depth):
        error = BaseExceptionGroup("in a nursery", [error])

    found = guarded(raising(error), 0)

    assert found == code
    assert capsys.readouterr().err == said


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE])
def test_a_process_that_may_open_no_more_files_is_told_which_limit_to_raise(number: int, capsys: Capture) -> None:
    code = guarded(raising(ExceptionGroup("in a nursery", [OSError(number, os.strerror(number), "/tmp/in.jsonl")])), 0)
    said = capsys.readouterr().err

    assert code == 3
    assert said.startswith(f"error: /tmp/in.jsonl: {os.strerror(number)}")
    assert "ulimit -n" in said
    assert "defect" not in said


def test_another_failed_system_call_is_still_a_defect(capsys: Capture) -> None:
    code = guarded(raising(ExceptionGroup("", [OSError(errno.EMFILE, "no more"), OSError(errno.EBADF, "bad file")])), 0)
    said = capsys.readouterr().err

    assert code == 3
    assert "internal error: OSError: [Errno 9] bad file" in said
    assert "please report" in said


def test_defect_is_a_short_message_and_v_shows_where(capsys: Capture) -> None:
    short = guarded(raising(ExceptionGroup("in a nursery", [ValueError("oops")])), 0), capsys.readouterr().err
    long = guarded(raising(ValueError("oops")), 1), capsys.readouterr().err

    assert (short[0], long[0]) == (3, 3)
    assert short[1].startswith("internal error: ValueError: oops\n")
    assert "Traceback" not in short[1]
    assert "Traceback" in long[1]


def test_error_that_comes_twice_is_said_once(capsys: Capture) -> None:
    guarded(raising(ExceptionGroup("in a nursery", [InputError("gone"), InputError("gone")])), 0)

    assert capsys.readouterr().err == "error: gone\n"


@pytest.mark.parametrize("command", ["run", "check", "verify", "status"])
def test_a_clock_that_python_cannot_represent_is_told_in_words(tmp_path: Path, command: str) -> None:
    program = """
import sys, time
def beyond():
    raise OverflowError("timestamp too large to convert to C _PyTime_t")
time.time = beyond
from pipeline.cli import main
sys.exit(main(sys.argv[1:]))
"""

    ended = subprocess.run([sys.executable, "-c", program, command, str(tmp_path / "c.yaml")], capture_output=True, text=True, check=False)

    assert ended.returncode == 2
    assert ended.stderr == "error: the clock of this machine is at a year beyond 2262, which Python cannot represent; set the clock\n"
