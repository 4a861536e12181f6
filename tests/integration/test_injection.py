"""Whoever writes the input or the answers, every byte of them, changes neither where requests go nor which files there are."""

from __future__ import annotations

import csv
import gzip
import json
import re
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio

from tests.fakes.runs import read_lines, run_file, write_config
from tests.fakes.servers import WHOLE, Peer, Request, answering, serve

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

ROOT = Path(__file__).parents[2]
PATH = "/v1/chat/completions"
OUTPUTS = {"config.yaml", "out.jsonl", "out.jsonl.journal", "out.jsonl.journal.sent", "out.jsonl.journal.rows"}
HEADERS = frozenset(("host", "user-agent", "accept", "accept-encoding", "content-type", "content-length", "x-client-request-id"))
CLIENT_REQUEST_ID = re.compile(r"headrace-[0-9a-f]{12}-[0-9]+-[0-9]+").fullmatch
PATIENT = {"idle_seconds": 60, "total_seconds": 60}
MOST_KB = 400_000  # two bodies of 64 MiB in flight, each once more while it is joined, and the program
HALF_A_PAIR = "\ud800"
NASTY = [
    "\r\nx-evil: 1",
    "a\r\n\r\nGET /evil HTTP/1.1\r\nhost: evil\r\n\r\n",
    "a\nx-evil: 1",
    "a\rx-evil: 1",
    "a\x00b",
    "x-evil: 1",
    "../../../../tmp/evil",
    "/v1/../../evil",
    "/v1/%2e%2e/evil",
    "//evil.test/v1",
    "http://evil.test/v1",
    "https://user:word@evil.test/",
    "file://localhost/etc/passwd",
    "/v1/chat/completions HTTP/1.1\r\nx-evil: 1",
    "/v1/x\u2028x-evil: 1",
    "/v1/x\u0085x-evil: 1",
    "/v1/x\u560d\u560ax-evil: 1",  # CR LF once the upper bytes are cut off
    "/v1\\..\\evil",
    "/v1/x#evil",
    "/\t/evil",
    "@evil.test/v1",
    "?evil=1",
    HALF_A_PAIR,
    "'; DROP TABLE outcomes; --",
    "{prompt}",
    "{{7*7}}",
    "${PATH}",
    "$(touch evil)",
    "`touch evil`",
    "evil.jsonl\x00.txt",
    "CON",
    "-rf",
    "=cmd|' /C calc'!A0",
    '"}\n{"custom_id": "evil"}',
    "\u202egnp.live",
    "e" * 100_000,
]
BOMB = gzip.compress(bytes(16 << 20)) * 64  # a gigabyte of zeros in one megabyte
MEASURED = """
import sys
from pathlib import Path
from pipeline.__main__ import main
code = main()
print(next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")).split()[1])
sys.exit(code)
"""  # ru_maxrss would begin with what the parent had


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = tmp_path / "run"
    made.mkdir()
    monkeypatch.chdir(made)
    return made


def assert_no_other_files(folder: Path, source: str) -> None:
    found = {str(path.relative_to(folder.parent)) for path in folder.parent.rglob("*")}

    assert found == {"run", *(f"run/{name}" for name in [source, *OUTPUTS])}


def assert_only_bodies_differ(requests: list[Request], port: int) -> None:
    """Every request is one that was meant, whatever is in its body."""
    assert {(request.method, request.target) for request in requests} == {("POST", PATH)}
    assert {frozenset(request.headers) for request in requests} == {HEADERS}
    assert {request.headers["host"] for request in requests} == {f"127.0.0.1:{port}"}
    assert all(CLIENT_REQUEST_ID(request.headers["x-client-request-id"]) for request in requests)


@pytest.mark.parametrize("transport", ["own", "httpx"])
async def test_no_field_of_a_batch_line_gets_into_a_header_a_path_or_a_file(folder: Path, transport: str) -> None:
    rows: list[dict[str, object]] = []
    for number, nasty in enumerate(NASTY):
        row = {"custom_id": f"{number}", "method": "POST", "url": PATH, "body": {"model": "m"}}
        changes = {"custom_id": nasty, "url": nasty, "method": nasty, "body": {"model": "m", nasty: nasty}, nasty: nasty}
        rows += [{**row, "custom_id": f"{number}-{at}", name: change} for at, (name, change) in enumerate(changes.items())]
    (folder / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    async with serve(answering(WHOLE)) as server:
        run = await run_file(folder, f"{server.url}/v1", provider={"transport": transport})

    sent = [row for row, line in zip(rows, run.lines, strict=True) if line["error"] is None]
    assert len(sent) > len(NASTY)
    assert Counter(request.body for request in server.requests) == Counter(json.dumps(row["body"]).encode() for row in sent)
    assert [line["custom_id"] for line in run.lines if line["error"] is None] == [row["custom_id"] for row in sent]
    assert_only_bodies_differ(server.requests, server.port)
    assert_no_other_files(folder, "in.jsonl")


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
async def test_no_field_of_a_template_ends_its_text(folder: Path, kind: str) -> None:
    texts = [nasty for nasty in NASTY if kind == "jsonl" or nasty.isprintable()]
    rows = [{"custom_id": f"{number}", "prompt": text} for number, text in enumerate(texts)]
    source = folder / f"in.{kind}"
    with source.open("w", newline="") as file:
        if kind == "csv":
            writer = csv.DictWriter(file, ["custom_id", "prompt"])
            writer.writeheader()
            writer.writerows(rows)
        else:
            file.writelines(json.dumps(row) + "\n" for row in rows)
    body = {"model": "m", "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Say: {prompt}!"}]}

    async with serve(answering(WHOLE)) as server:
        run = await run_file(folder, f"{server.url}/v1", source=source.name, request={"url": PATH, "body": body})

    sent = [row["prompt"] for row, line in zip(rows, run.lines, strict=True) if line["error"] is None]
    assert set(texts) - set(sent) <= {HALF_A_PAIR}
    asked = sorted(json.loads(request.body)["messages"][1].pop("content") for request in server.requests)
    assert asked == sorted(f"Say: {text}!" for text in sent)
    for request in server.requests:
        messages = json.loads(request.body)["messages"]
        assert messages[:1] == body["messages"][:1]
        assert [sorted(message) for message in messages] == [["content", "role"]] * 2
    assert_only_bodies_differ(server.requests, server.port)
    assert_no_other_files(folder, source.name)


async def bomb(peer: Peer, request: Request) -> None:
    await peer.send(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(BOMB), BOMB)


async def endless_body(peer: Peer, request: Request) -> None:
    await peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    while True:
        await peer.send(b"100000\r\n", bytes(1 << 20), b"\r\n")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from /proc")
@pytest.mark.parametrize("script", [bomb, endless_body])
@pytest.mark.parametrize("transport", ["own", "httpx"])
async def test_no_answer_fills_the_memory(folder: Path, script: Callable[[Peer, Request], Awaitable[None]], transport: str) -> None:
    (folder / "in.jsonl").write_text('{"url": "/v1/chat/completions", "body": {"model": "m"}}\n' * 2)

    async with serve(script) as server:
        config = write_config(folder, server.url, provider={"transport": transport}, retry={"attempts": 1}, timeouts=PATIENT)
        ended = await trio.run_process([sys.executable, "-c", MEASURED, "run", str(config)], cwd=ROOT, capture_stdout=True, check=False)

    lines = read_lines(folder / "out.jsonl")
    assert ended.returncode == 1
    assert [line["error"]["code"] for line in lines] == ["malformed_response"] * 2
    assert int(ended.stdout) < MOST_KB
