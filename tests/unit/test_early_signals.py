"""A signal that comes before a run can end in good order ends the process: no traceback, and never unheard."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.cli import main

ROOT = Path(__file__).parent.parent.parent

DURING_IMPORT = """
import runpy, signal, sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            signal.raise_signal({number})

sys.meta_path.insert(0, Finder())
sys.argv = ["headrace", "run", "no-such-config.yaml"]
runpy.run_module("pipeline", run_name="__main__")
"""

WHERE_AN_EXCEPTION_IS_SWALLOWED = """
import signal, weakref
from pipeline.edges.process.early_signals import end_at_once

class Lock:
    pass

end_at_once()
lock = Lock()
reference = weakref.ref(lock, lambda _: signal.raise_signal(signal.SIGINT))
del lock
print("went on")
"""

WHILE_PYTHON_ENDS = """
import builtins, os, runpy, sys

class Late:
    def __del__(self, kill=os.kill, me=os.getpid()):
        kill(me, {number})

builtins.late = Late()
sys.argv = ["headrace", "--version"]
runpy.run_module("pipeline", run_name="__main__")
"""

ASKED_FOR_WHILE_AN_INTERRUPT_IS_A_TRACEBACK = """
import _signal, sys

asked = []

class Finder:
    def find_spec(self, name, path=None, target=None):
        if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
            asked.append(name)

sys.meta_path.insert(0, Finder())
import pipeline.__main__
print(*asked)
"""


def _python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("module", ["click", "pipeline.config", "pipeline.errors"])
def test_a_signal_during_the_imports_ends_the_command(module: str, number: signal.Signals) -> None:
    ended = _python(DURING_IMPORT.format(module=module, number=int(number)))

    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "interrupted\n")


def test_nothing_else_is_imported_before_a_signal_ends_the_command_without_a_traceback() -> None:
    assert _python(ASKED_FOR_WHILE_AN_INTERRUPT_IS_A_TRACEBACK).stdout == "pipeline pipeline.__main__\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_after_the_end_of_a_command_does_not_change_its_exit_code(number: signal.Signals) -> None:
    ended = _python(WHILE_PYTHON_ENDS.format(number=int(number)))

    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_signal_is_handled_where_an_exception_would_be_swallowed() -> None:
    ended = _python(WHERE_AN_EXCEPTION_IS_SWALLOWED)

    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "interrupted\n")


def test_the_handlers_of_whoever_calls_the_command_line_are_back_afterwards() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)

    main(["--version"])

    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    ignoring = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n" + WHERE_AN_EXCEPTION_IS_SWALLOWED

    assert _python(ignoring).stdout == "went on\n"
    assert _python(ignoring.replace("import signal, weakref", "import signal, weakref, pipeline.__main__")).stdout == "went on\n"
