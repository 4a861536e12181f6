"""A command ends at once, and does before what an ordinary end of Python would have done."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent

# What an ordinary end of Python frees, and says so.
FREED = """
import os

class Late:
    def __del__(self, write=os.write):
        write(1, b"freed ")

{name} = Late()
"""
COMMAND = """
import atexit, sys, threading
from pipeline.edges.process.ending import end

def command(code=0):
    end(code)

"""
CAUGHT = """
def call():
    try:
        command(3)
    except SystemExit as error:
        print("went on", error.code)
call()
"""


def _python(code: str, stdout: int = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return subprocess.run(
        [sys.executable, "-c", FREED.format(name="late") + COMMAND + code],
        cwd=ROOT,
        env=buffered,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )


def test_a_command_ends_with_its_code_and_frees_nothing_first() -> None:
    ended = _python("command(3)")

    assert (ended.returncode, ended.stdout, ended.stderr) == (3, "", "")


def test_functions_that_are_registered_for_the_end_are_called_and_what_they_print_is_written() -> None:
    ended = _python("atexit.register(print, 'closed')\nprint('done')\ncommand()")

    assert ended.stdout == "done\nclosed\n"


@pytest.mark.parametrize(
    "call",
    [
        pytest.param("(lambda: command(3))()", id="code-of-others-goes-on"),
        pytest.param("sys.setprofile(lambda *_: None)\ncommand(3)", id="a-profiler-watches"),
        pytest.param("sys.settrace(lambda *_: None)\ncommand(3)", id="a-debugger-watches"),
    ],
)
def test_an_end_that_is_watched_or_caught_is_pythons_own(call: str) -> None:
    ended = _python(call)

    assert (ended.returncode, ended.stdout.strip()) == (3, "freed")


def test_whoever_calls_the_command_can_go_on() -> None:
    ended = _python(CAUGHT)

    assert ended.stdout.startswith("went on 3\n")


def test_a_thread_is_waited_for() -> None:
    ended = _python("threading.Thread(target=lambda: (threading.main_thread().join(), print('worked'))).start()\ncommand(3)")

    assert ended.returncode == 3
    assert "worked" in ended.stdout


def test_what_cannot_be_written_is_told_as_python_tells_it() -> None:
    with Path("/dev/full").open("w") as full:
        ended = _python("print('done')\ncommand()", stdout=full.fileno())

    assert ended.returncode == 120
    assert "No space left on device" in ended.stderr


@pytest.mark.parametrize("start", [["-m", "pipeline"], [str(Path(sys.executable).parent / "headrace")]])
def test_both_ways_to_start_a_command_end_at_once(start: list[str], tmp_path: Path) -> None:
    """Seen by an object that Python would free, which a module puts there that Python imports before the command."""
    (tmp_path / "sitecustomize.py").write_text("import builtins\n" + FREED.format(name="builtins.late"))

    ended = subprocess.run(
        [sys.executable, *start, "--version"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (tmp_path, ROOT)))},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 0
    assert ended.stdout.startswith("headrace")
    assert "freed" not in ended.stdout
