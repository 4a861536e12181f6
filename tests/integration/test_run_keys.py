"""A key that expires in mid-run is read again, no row is to blame for it, and neither key is shown anywhere."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest
import trio

import pipeline
from tests.fakes.servers import WHOLE, Peer, Request, serve

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ROWS = 12
REFUSAL = b'{"error": {"message": "the token %s is expired", "code": "token_expired"}}'


def written(folder: Path) -> str:
    return b"".join(path.read_bytes() for path in folder.iterdir() if path.name != "key").decode("utf-8", "replace")


def from_a_file(key: Path) -> dict[str, object]:
    return {"api_key_file": key.name}


def from_a_program(key: Path) -> dict[str, object]:
    return {"api_key_command": [sys.executable, "-c", f"print(open({str(key)!r}).read())"]}


async def run(folder: Path, provider: dict[str, object], renewed: str) -> tuple[pipeline.Summary | pipeline.RunStopped, list[str]]:
    """A run whose key holds for five requests; then `renewed` stands in the file, and the server takes what begins with `second`."""
    key, shown = folder / "key", []
    key.write_text("first-key-0123\n")
    rows = [{"custom_id": str(row), "url": "/v1/chat/completions", "body": {"model": "m"}} for row in range(ROWS)]
    (folder / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    async def script(peer: Peer, request: Request) -> None:
        shown.append(request.headers["authorization"])
        if len(shown) == 5:
            key.write_text(renewed)
        body = REFUSAL % shown[-1].encode()
        refused = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
        await peer.send(refused if len(shown) > 5 and not shown[-1].startswith("Bearer second") else WHOLE)

    async with serve(script) as server:
        config = {
            "source": {"path": "in.jsonl"},
            "provider": {"base_url": server.url, **provider},
            "limits": {"max_in_flight": 3},
            "retry": {"base_seconds": 0.0, "cap_seconds": 0.0, "patience_seconds": 0.0},
            "sink": {"path": "out.jsonl"},
        }
        (folder / "c.yaml").write_text(json.dumps(config))
        try:
            return await pipeline.run(pipeline.load_config(folder / "c.yaml")), shown
        except pipeline.RunStopped as stopped:
            return stopped, shown


@pytest.mark.parametrize("source", [from_a_file, from_a_program])
async def test_key_that_expires_is_read_again(
    tmp_path: Path, source: Callable[[Path], dict[str, object]], caplog: pytest.LogCaptureFixture
) -> None:
    summary, shown = await run(tmp_path, source(tmp_path / "key"), "second-key-0123")

    assert isinstance(summary, pipeline.Summary)
    assert (summary.succeeded, summary.failed) == (ROWS, 0)
    assert shown[-1] == "Bearer second-key-0123"
    assert shown.count("Bearer first-key-0123") <= 5 + 3  # what was in flight when it expired
    assert "key-0123" not in caplog.text


@pytest.mark.parametrize("renewed", ["first-key-0123", "", "third-key-0123"])
async def test_key_that_is_refused_for_good_stops_the_run_and_fails_no_row(
    tmp_path: Path, renewed: str, caplog: pytest.LogCaptureFixture
) -> None:
    stopped, shown = await run(tmp_path, from_a_file(tmp_path / "key"), renewed)

    assert isinstance(stopped, pipeline.RunAborted)
    assert stopped.summary is not None
    assert stopped.summary.failed == 0
    assert len(shown) < 30
    assert "api_key_file" in str(stopped)
    assert "key-0123" not in written(tmp_path) + str(stopped) + caplog.text


def test_key_that_cannot_be_read_at_first_is_a_problem_of_the_config(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text("{}\n")
    provider = {"base_url": "http://127.0.0.1:9", "api_key_command": ["no-such-program", "print"]}
    (tmp_path / "c.yaml").write_text(json.dumps({"source": {"path": "in.jsonl"}, "provider": provider, "sink": {"path": "out.jsonl"}}))

    with pytest.raises(pipeline.ConfigError, match=r"provider\.api_key_command: no-such-program cannot be run"):
        trio.run(pipeline.run, pipeline.load_config(tmp_path / "c.yaml"))

    assert sorted(path.name for path in tmp_path.iterdir()) == ["c.yaml", "in.jsonl"]


async def test_a_program_that_prints_no_key_does_not_hold_up_a_stop(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text("{}\n")
    marker = tmp_path / "started"
    program = f"import pathlib, threading; pathlib.Path({str(marker)!r}).touch(); threading.Event().wait(10)"
    provider = {"base_url": "http://127.0.0.1:9", "api_key_command": [sys.executable, "-c", program]}
    (tmp_path / "c.yaml").write_text(json.dumps({"source": {"path": "in.jsonl"}, "provider": provider, "sink": {"path": "out.jsonl"}}))
    stop = trio.Event()

    async def stop_when_started() -> None:
        while not marker.exists():  # noqa: ASYNC110  it happens in another process
            await trio.sleep(0.01)
        stop.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(stop_when_started)
        with trio.fail_after(8), pytest.raises(pipeline.RunInterrupted):
            await pipeline.run(pipeline.load_config(tmp_path / "c.yaml"), stop=stop)

    assert not (tmp_path / "out.jsonl").exists()
