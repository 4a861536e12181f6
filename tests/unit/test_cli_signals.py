"""Signals: the first lets what is in flight finish, the second cancels it; both exit 130 without a traceback."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import termios
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio

from pipeline.edges.process.signals import CANCELLING, SIGNALS, STOPPING, stop_on_signals
from tests.fakes.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parent.parent.parent


async def test_first_signal_stops_and_the_later_ones_cancel() -> None:
    stop = trio.Event()
    said: list[str] = []
    cancelled = trio.Event()

    async with trio.open_nursery() as nursery:
        await nursery.start(stop_on_signals, stop, cancelled.set, said.append)
        os.kill(os.getpid(), signal.SIGTERM)
        await stop.wait()
        early = cancelled.is_set()
        os.kill(os.getpid(), signal.SIGINT)
        await cancelled.wait()
        nursery.cancel_scope.cancel()

    assert not early
    assert said == [STOPPING, CANCELLING]


async def test_handlers_are_back_afterwards() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)

    async with trio.open_nursery() as nursery:
        await nursery.start(stop_on_signals, trio.Event(), lambda: None, lambda _: None)
        nursery.cancel_scope.cancel()

    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def ignoring(number: signal.Signals) -> Callable[[], object]:
    """What a process does just before it becomes another, so that it starts with a signal ignored."""
    return lambda: signal.signal(number, signal.SIG_IGN)


@pytest.fixture
def with_a_terminal() -> Iterator[Callable[[], object]]:
    """What a process does just before it becomes another, so that it has a terminal of its own, as from a shell in a window."""
    master, terminal = os.openpty()

    def take() -> None:
        os.setsid()
        fcntl.ioctl(terminal, termios.TIOCSCTTY, 0)

    yield take
    os.close(terminal)
    os.close(master)


def start(
    folder: Path, simulate: str, *, order: str = "input", lines: int = 1, before: Callable[[], object] | None = None
) -> subprocess.Popen[str]:
    """A run that has written so many lines. before: called in the new process before it is a run."""
    (folder / "in.jsonl").write_text("".join(json.dumps({"prompt": f"row {number}"}) + "\n" for number in range(2000)))
    (folder / "c.yaml").write_text(
        "source: {path: in.jsonl}\n"
        'request: {url: /v1/chat/completions, body: {model: m, messages: [{role: user, content: "{prompt}"}]}}\n'
        f"provider: {{simulate: {simulate}}}\n"
        "limits: {requests_per_second: 50, max_in_flight: 20}\n"
        f"sink: {{path: out.jsonl, order: {order}}}\n"
    )
    command = [sys.executable, "-m", "pipeline", "run", str(folder / "c.yaml"), "--json", "--progress", "none"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=before)  # noqa: PLW1509  no thread here
    output = folder / "out.jsonl"
    wait_until(lambda: output.exists() and output.read_bytes().count(b"\n") >= lines, process)
    return process


@pytest.mark.parametrize("number", SIGNALS)
def test_signal_drains_a_run(tmp_path: Path, number: signal.Signals, with_a_terminal: Callable[[], object]) -> None:
    process = start(tmp_path, "{latency: {median_seconds: 0.05}}", before=with_a_terminal)

    process.send_signal(number)
    out, err = process.communicate(timeout=30)

    summary = json.loads(out)
    lines = (tmp_path / "out.jsonl").read_text().splitlines()
    assert process.returncode == 130
    assert summary["attempts"] == summary["total"] == summary["succeeded"] == len(lines)
    assert [json.loads(line)["custom_id"] for line in lines] == [f"row-{index}" for index in range(len(lines))]
    assert STOPPING in err
    assert "go on with the rows that are left" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("ignored, handled", [(signal.SIGINT, signal.SIGTERM), (signal.SIGHUP, signal.SIGINT)])
def test_a_signal_that_the_parent_ignores_stays_ignored(tmp_path: Path, ignored: signal.Signals, handled: signal.Signals) -> None:
    process = start(tmp_path, "{latency: {median_seconds: 0.05}}", before=ignoring(ignored))

    for _ in range(2):  # two of one that is handled would cancel
        process.send_signal(ignored)
    output = tmp_path / "out.jsonl"
    lines = output.read_bytes().count(b"\n")
    wait_until(lambda: output.read_bytes().count(b"\n") > lines + 20, process)
    process.send_signal(handled)
    _, err = process.communicate(timeout=30)

    assert process.returncode == 130
    assert err.count(STOPPING) == 1
    assert CANCELLING not in err


async def test_where_all_signals_are_ignored_none_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal, "getsignal", lambda _: signal.SIG_IGN)
    stop = trio.Event()

    async with trio.open_nursery() as nursery:
        await nursery.start(stop_on_signals, stop, lambda: None, lambda _: None)
        nursery.cancel_scope.cancel()

    assert not stop.is_set()


def test_second_signal_cancels_what_is_in_flight(tmp_path: Path) -> None:
    stuck = '{script: {"5": "3600s"}}'  # row 5 is answered in an hour
    process = start(tmp_path, stuck, order="completion", lines=10)
    assert process.stderr is not None

    process.send_signal(signal.SIGINT)
    first = process.stderr.readline()
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=30)

    names = [json.loads(line)["custom_id"] for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert process.returncode == 130
    assert first.strip() == STOPPING
    assert CANCELLING in rest
    assert "Traceback" not in rest
    assert "row-5" not in names
    assert len(set(names)) == len(names) >= 10


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_simulate_serves_until_a_signal_and_tells_where(number: signal.Signals) -> None:
    command = [sys.executable, "-m", "pipeline", "simulate", "--json", "--set", "models=[here]"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    told = json.loads(process.stdout.readline())

    process.send_signal(number)
    _, err = process.communicate(timeout=30)

    assert told["base_url"] == f"http://{told['host']}:{told['port']}/v1"
    assert told["base_url"] in err
    assert process.returncode == 0


def reread(folder: Path, before: Callable[[], object], old: str, new: str, *, done: str) -> tuple[int, str]:
    """A run whose config is edited and read again; its exit code after a Ctrl-C and what it said."""
    process = start(folder, "{latency: {median_seconds: 0.05}}", before=before)
    assert process.stderr is not None
    config = folder / "c.yaml"
    config.write_text(config.read_text().replace(old, new))
    process.send_signal(signal.SIGHUP)
    said = process.stderr.readline()
    while done not in said:
        said += process.stderr.readline()
    lines = (folder / "out.jsonl").read_bytes().count(b"\n")
    wait_until(lambda: (folder / "out.jsonl").read_bytes().count(b"\n") > lines + 20, process)  # it goes on
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=30)
    return process.returncode, said + rest


@pytest.mark.parametrize("before", [os.setsid, ignoring(signal.SIGHUP)], ids=["without a terminal", "nohup"])
def test_hangup_reads_the_config_again_where_no_terminal_can_have_sent_it(tmp_path: Path, before: Callable[[], object]) -> None:
    code, said = reread(tmp_path, before, "requests_per_second: 50", "requests_per_second: 40", done="read again")

    assert code == 130
    assert "the config was read again: limits.requests_per_second: 50 -> 40" in said
    assert said.count(STOPPING) == 1


def test_hangup_with_a_bad_config_tells_every_problem_and_changes_nothing(tmp_path: Path) -> None:
    code, said = reread(tmp_path, os.setsid, "requests_per_second: 50", "requests_per_second: -1, burts: 3", done="got -1.0")

    assert code == 130
    assert "the config was not read again, and nothing has changed" in said
    assert f"{tmp_path / 'c.yaml'}:4: limits.requests_per_second: must be > 0, got -1.0" in said
    assert "did you mean burst?" in said
