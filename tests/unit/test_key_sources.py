"""A key is read from a file or a program's output, and nothing of either is ever shown."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING

import pytest

from pipeline.edges.process import key_sources
from pipeline.edges.process.key_sources import LONGEST, key_in_file, key_of_command

if TYPE_CHECKING:
    from pathlib import Path

WRONG = [b"", b" \n", b"two\nlines", b"caf\xc3\xa9", b"\xff\xfe", b"x" * (LONGEST + 1)]


def printing(data: bytes) -> list[str]:
    return [sys.executable, "-c", f"import sys; sys.stdout.buffer.write({data!r})"]


def test_key_is_read_without_what_is_around_it(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b" sk-abc \r\n")

    assert key_in_file(str(tmp_path / "key")) == key_of_command(printing(b" sk-abc \r\n")) == "sk-abc"


@pytest.mark.parametrize("data", WRONG)
def test_what_is_no_key_is_refused_without_being_shown(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "key").write_bytes(data)

    for read in (partial(key_in_file, str(tmp_path / "key")), partial(key_of_command, printing(data))):
        with pytest.raises(ValueError, match="must be the key") as caught:
            read()
        assert "lines" not in str(caught.value)
        assert "xxx" not in str(caught.value)


def test_a_child_that_keeps_the_output_open_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_sources, "COMMAND_SECONDS", 5.0)
    child = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(20)']); print('sk-abc')"

    assert key_of_command([sys.executable, "-c", child]) == "sk-abc"


def test_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="none cannot be read: No such file"):
        key_in_file(str(tmp_path / "none"))


def test_program_that_fails_is_named_and_its_words_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="no-such-program cannot be run: No such file"):
        key_of_command(["no-such-program"])
    with pytest.raises(ValueError, match="ended with code 3; run it by hand") as caught:
        key_of_command([sys.executable, "-c", "import sys; print('sk-abc'); print('sk-def', file=sys.stderr); sys.exit(3)"])
    assert "sk-" not in str(caught.value)
    monkeypatch.setattr(key_sources, "COMMAND_SECONDS", 0.01)
    with pytest.raises(ValueError, match="did not end within"):
        key_of_command([sys.executable, "-c", "import time; time.sleep(9)"])
