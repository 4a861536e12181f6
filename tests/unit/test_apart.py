"""A call that is made apart comes to the same as one that is made here, and nothing of the helper process outlives the run."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time

import pytest
import trio

from pipeline.apart import apart


def ended(pid: int) -> bool:
    """Whether there is no such process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_calls_are_made_in_one_other_process_that_ends_with_the_run() -> None:
    async def main() -> set[int]:
        return {await apart(os.getpid), await apart(os.getpid)}

    first, second = trio.run(main), trio.run(main)

    assert len(first) == len(second) == 1
    assert os.getpid() not in first | second
    assert all(map(ended, first | second))


async def test_large_bytes_come_back_as_they_went() -> None:
    data = bytes(range(256)) * 20_000

    assert await apart(bytes.swapcase, data) == data.swapcase()


async def test_what_a_call_raises_is_raised_here() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        await apart(int, "x")

    assert await apart(int, "7") == 7


async def test_helper_imports_neither_trio_nor_httptools() -> None:
    assert not await apart(eval, "{'trio', 'httptools'} & set(__import__('sys').modules)")
    assert await apart(eval, "__import__('pipeline').__file__") == sys.modules["pipeline"].__file__


async def test_what_a_call_prints_goes_nowhere(capfd: pytest.CaptureFixture[str]) -> None:
    await apart(print, "not for the pipe")

    assert await apart(int, "7") == 7
    assert capfd.readouterr() == ("", "")


async def test_a_call_that_cannot_be_sent_is_made_here() -> None:
    assert await apart(lambda number: number + os.getpid(), 1) == os.getpid() + 1

    assert await apart(os.getpid) != os.getpid()


async def test_where_the_helper_is_killed_the_call_is_made_here_and_the_next_one_by_another() -> None:
    pid = await apart(os.getpid)
    os.kill(pid, signal.SIGKILL)

    assert await apart(os.getpid) == os.getpid()
    assert await apart(os.getpid) not in (pid, os.getpid())


@pytest.mark.parametrize("program", ["/bin/true", "/bin/echo", "/nowhere/python"])
async def test_where_no_helper_can_be_had_calls_are_made_here(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", program)
    assert await apart(os.getpid) == os.getpid()
    monkeypatch.undo()

    assert await apart(os.getpid) == os.getpid()  # it is not tried again


async def test_a_cancelled_call_ends_the_helper() -> None:
    pid = await apart(os.getpid)

    with trio.move_on_after(0.01) as scope:
        await apart(time.sleep, 600)

    assert scope.cancelled_caught
    assert ended(pid)
    assert await apart(os.getpid) != pid


async def test_calls_at_once_are_made_one_after_the_other() -> None:
    found: list[int] = []

    async def call(number: int) -> None:
        found.append(await apart(abs, -number))

    async with trio.open_nursery() as nursery:
        for number in range(5):
            nursery.start_soon(call, number)

    assert sorted(found) == [0, 1, 2, 3, 4]


ASKING = """
import os, time, trio
from pipeline.apart import apart

async def main():
    print(await apart(os.getpid), flush=True)
    await trio.sleep_forever()

trio.run(main)
"""


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux")
def test_the_helper_ends_when_this_process_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", ASKING], stdout=subprocess.PIPE) as asking:
        assert asking.stdout is not None
        helper = os.pidfd_open(int(asking.stdout.readline()))
        asking.kill()

    try:
        assert select.select([helper], [], [], 60)[0]
    finally:
        os.close(helper)
