"""What is said goes through a thread of its own: whoever says it never waits, and a reader that sleeps stops nothing."""

from __future__ import annotations

import io
import os
import pty
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from pipeline.cli.terminal import LINES_KEPT, Output, Screen, Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

SECONDS = 30.0  # a test that waits so long hangs


@contextmanager
def full_pipe() -> Iterator[tuple[TextIO, int]]:
    """A stream into a pipe that has no room, and the end to read it from."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    try:
        while True:
            os.write(write, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(write, True)
    with os.fdopen(write, "w") as stream, os.fdopen(read, "rb"):
        yield stream, read


class Counting(Screen[int]):
    """Draws numbers as lines."""

    def draw(self, output: Output, state: int) -> None:
        output.write(f"state {state}\n")

    def clear(self) -> None:
        pass


class Failing(Screen[int]):
    """A screen with a defect."""

    def draw(self, output: Output, state: int) -> None:
        raise ZeroDivisionError(f"drawing {state} from {threading.current_thread().name}")


def read_all(descriptor: int) -> str:
    """What waits in a pipe, until it is empty."""
    os.set_blocking(descriptor, False)
    found = b""
    try:
        while data := os.read(descriptor, 65536):
            found += data
    except BlockingIOError:
        pass
    return found.decode()


def test_lines_are_written_in_order() -> None:
    stream = io.StringIO()

    with Terminal[int](stream) as terminal:
        for number in range(50):
            terminal.say(f"line {number}")

    assert stream.getvalue().splitlines() == [f"line {number}" for number in range(50)]


def test_who_says_something_does_not_wait_for_a_reader() -> None:
    with full_pipe() as (stream, reader):
        terminal = Terminal[int](stream, last_seconds=0.01)
        terminal.use(Counting())

        for number in range(LINES_KEPT * 2):  # would stand still at the first, were it written here
            terminal.say(f"line {number}")
            terminal.show(number)
        nobody_read = terminal.settle()

        told = ""
        newest = f"state {LINES_KEPT * 2 - 1}"
        while newest not in told:
            told += read_all(reader)
        terminal._last_seconds = SECONDS
        assert not nobody_read
        assert terminal.settle()
    lines = told.lstrip("x").splitlines()
    numbers = [int(line.removeprefix("line ")) for line in lines if line.startswith("line ")]
    assert len([line for line in lines if line.startswith("state")]) <= 2  # what was under way when the pipe was full, and the newest
    assert numbers == sorted(numbers)
    assert numbers[-1] == LINES_KEPT * 2 - 1
    assert f"{LINES_KEPT * 2 - len(numbers):,} lines are left out here" in told


def test_a_command_ends_although_nobody_reads_its_last_words() -> None:
    with full_pipe() as (stream, reader):
        with Terminal[int](stream, last_seconds=0.01) as terminal:
            terminal.say("the last words")
        os.read(reader, 1 << 20)


def test_a_display_that_fails_is_switched_off_and_lines_go_on() -> None:
    stream = io.StringIO()

    with Terminal[int](stream) as terminal:
        terminal.use(Failing())
        terminal.show(1)
        terminal.settle()
        terminal.show(2)
        terminal.say("still here")

    first, second = stream.getvalue().splitlines()
    assert first == "the display failed and is switched off: ZeroDivisionError: drawing 1 from headrace-terminal"
    assert second == "still here"


@pytest.mark.parametrize("stream", [None, "gone", "hung up", "full"])
def test_a_stream_that_takes_nothing_is_no_error(stream: str | None) -> None:
    if stream is None:
        target = None
    elif stream == "gone":
        read, write = os.pipe()
        os.close(read)
        target = os.fdopen(write, "w")
    elif stream == "hung up":
        master, slave = pty.openpty()
        os.close(master)
        target = os.fdopen(slave, "w")
    else:
        target = open("/dev/full", "w")  # noqa: SIM115, PTH123  closed below

    with Terminal[int](target, last_seconds=SECONDS) as terminal:
        terminal.use(Counting())
        terminal.say("nobody hears this")
        terminal.show(1)
        written = terminal.settle()

    assert written
    if target is not None:
        target.close()


def test_a_descriptor_that_somebody_made_non_blocking_gets_all_of_a_text() -> None:
    read, write = os.pipe()
    os.set_blocking(write, False)
    text = "x" * 300_000 + "end\n"
    found: list[bytes] = []

    def reading() -> None:
        while not found or not found[-1].endswith(b"end\n"):
            found.append(os.read(read, 4096))

    reader = threading.Thread(target=reading)
    reader.start()
    with os.fdopen(write, "w") as stream, Terminal[int](stream, last_seconds=SECONDS) as terminal:
        terminal.say(text.rstrip())
        reader.join(SECONDS)

    os.close(read)
    assert b"".join(found).decode() == text


def test_what_an_encoding_has_no_character_for_is_escaped() -> None:
    read, write = os.pipe()
    with os.fdopen(write, "w", encoding="ascii") as stream, Terminal[int](stream) as terminal:
        terminal.say("pace → 5")

    assert os.read(read, 100) == b"pace \\u2192 5\n"
    os.close(read)
