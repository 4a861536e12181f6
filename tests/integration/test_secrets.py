"""A key, and the value of a configured header, appear in nothing that a run prints, writes or raises, however it goes."""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
import trio

import pipeline
from pipeline.edges.http.request import RequestHeads
from pipeline.inspect.status import status
from pipeline.runs.providers import _endpoint, credentials
from tests.fakes.runs import write_config
from tests.fakes.servers import WHOLE, Peer, Request, answering, answering_and_closing, serve

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Awaitable, Callable, Mapping

    Script = Callable[[Peer, Request], Awaitable[None]]

ROOT = Path(__file__).parents[2]
KEY = "Zx9-never-shown-key"
HEADER_VALUE = "Qw7-never-shown-value"
SECRETS = (KEY, HEADER_VALUE)
ROWS = 3
PROVIDER: Mapping[str, object] = {"api_key_env": "PROVIDERS_KEY", "headers": {"X-Project": HEADER_VALUE}}


def answer(status: str, body: bytes, headers: bytes = b"") -> bytes:
    return b"HTTP/1.1 %s\r\ncontent-type: application/json\r\n%scontent-length: %d\r\n\r\n%s" % (status.encode(), headers, len(body), body)


WAYS: dict[str, Script] = {
    "200": answering(WHOLE),
    "401": answering(answer("401 Unauthorized", b'{"error": {"message": "Incorrect API key provided", "code": "invalid_api_key"}}')),
    "500": answering(answer("500 Internal Server Error", b'{"error": {"message": "oh"}}')),
    "302": answering(answer("302 Found", b"", b"location: http://127.0.0.1:1/v1\r\n")),
    "no JSON": answering(answer("200 OK", b"<html>")),
    "no HTTP": answering_and_closing(b"\x00\x01 hello\r\n\r\n"),
}
CRASH = """
from pipeline.edges.http.direct import DirectSender
async def crash(self, job, client_request_id):
    raise RuntimeError(f"a worker broke: {self!r} {job!r}")
DirectSender.attempt = crash
import sys
from pipeline.__main__ import main
sys.exit(main())
"""
HELD = """
import os
from pipeline.durability.store import DurableStore
def die(self, made, commit=DurableStore._commit):
    commit(self, made)
    if self._under_way:
        os._exit(9)
DurableStore._commit = die
import sys
from pipeline.__main__ import main
sys.exit(main())
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in.jsonl").write_text('{"url": "/v1/chat/completions", "body": {"model": "m"}}\n' * ROWS)
    return tmp_path


def configure(folder: Path, base_url: str, **provider: object) -> Path:
    retry = {"attempts": 2, "base_seconds": 0.0, "cap_seconds": 0.0, "patience_seconds": 0.0}
    return write_config(folder, base_url, provider={**PROVIDER, **provider}, retry=retry)


async def headrace(*arguments: str, program: str | None = None) -> subprocess.CompletedProcess[bytes]:
    start = ["-m", "pipeline"] if program is None else ["-c", program]
    return await trio.run_process(
        [sys.executable, *start, *arguments],
        cwd=ROOT,
        env={**os.environ, "PROVIDERS_KEY": KEY},
        capture_stdout=True,
        capture_stderr=True,
        check=False,
    )


def files_of(folder: Path) -> dict[str, bytes]:
    """Everything on the disk but what the user wrote."""
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name not in {"in.jsonl", "config.yaml"}}


def assert_hidden(*texts: bytes | str) -> None:
    for text in texts:
        data = text.encode() if isinstance(text, str) else text
        for secret in SECRETS:
            assert secret.encode() not in data


@pytest.mark.parametrize("way, transport", [*((way, "own") for way in WAYS), ("401", "httpx"), ("no HTTP", "httpx")])
async def test_no_way_to_answer_brings_a_secret_out(folder: Path, way: str, transport: str) -> None:
    async with serve(WAYS[way]) as server:
        config = str(configure(folder, f"{server.url}/v1", transport=transport))
        run = await headrace("run", config, "-vv", "--json", "--progress", "plain")

    assert server.requests
    assert {(request.headers["authorization"], request.headers["x-project"]) for request in server.requests} == {
        (f"Bearer {KEY}", HEADER_VALUE)
    }
    assert b"Traceback" not in run.stderr
    assert b"attempt" in run.stderr or b"answered" in run.stderr  # it did log
    written = files_of(folder)
    assert written.keys() >= {"out.jsonl", "out.jsonl.journal", "out.jsonl.journal.sent"}
    assert_hidden(run.stdout, run.stderr, *written.values())


def quoting(status: bytes, saying: bytes) -> Script:
    """A provider that quotes the key in its refusal: in the message, in the id of the request, and as JSON may write it."""

    async def script(peer: Peer, request: Request) -> None:
        shown = request.headers["authorization"].encode()
        escaped = shown.replace(b"Z", b"\\u005a")
        body = b'{"error": {"message": "%s: %s", "code": "%s"}}' % (saying, shown, escaped)
        await peer.send(answer(status.decode(), body, b"x-request-id: %s\r\n" % shown))

    return script


@pytest.mark.parametrize(
    "status, saying",
    [
        (b"400 Bad Request", b"Incorrect API key"),
        (b"400 Bad Request", b"This prompt was refused for"),
        (b"401 Unauthorized", b"Incorrect API key"),
        (b"500 Internal Server Error", b"Something broke for"),
        (b"200 OK", b"Incorrect API key"),
    ],
)
async def test_a_key_that_a_provider_quotes_is_taken_out(folder: Path, status: bytes, saying: bytes) -> None:
    async with serve(quoting(status, saying)) as server:
        config = str(configure(folder, f"{server.url}/v1"))
        run = await headrace("run", config, "-vv", "--json", "--progress", "plain")

    assert server.requests
    assert saying + b": Bearer ***" in run.stderr or saying + b": ***" in run.stderr
    assert_hidden(run.stdout, run.stderr, *files_of(folder).values())
    if saying.startswith(b"This prompt"):  # the row's own fault, so its result is written; the others stop the run
        assert saying in (folder / "out.jsonl").read_bytes()


async def test_other_commands_show_no_secret(folder: Path) -> None:
    async with serve(WAYS["200"]) as server:
        config = str(configure(folder, f"{server.url}/v1"))
        await headrace("run", config)
        said = [await headrace(command, config, "-vv", "--json") for command in ("check", "status", "verify")]
        changed = await headrace(
            "run", config, "--set", "provider.base_url=http://127.0.0.1:1", "--set", "provider.headers.X-Project=other"
        )

    assert [each.returncode for each in said] == [0, 0, 0]
    assert b"provider.base_url: was" in changed.stderr
    assert_hidden(*(each.stdout + each.stderr for each in [*said, changed]))


async def test_what_a_dead_process_leaves_holds_no_secret(folder: Path) -> None:
    async with serve(WAYS["200"]) as server:
        config = str(configure(folder, f"{server.url}/v1"))
        died = await headrace("run", config, "-vv", program=HELD)

    left = files_of(folder)
    assert died.returncode == 9
    assert left["out.jsonl.journal-wal"]
    assert_hidden(died.stdout, died.stderr, *left.values())


async def test_crash_of_a_worker_shows_no_secret(folder: Path) -> None:
    config = str(configure(folder, "http://127.0.0.1:1/v1"))

    crashed = await headrace("run", config, "-vv", "--json", program=CRASH)

    assert crashed.returncode == 3
    assert b"Traceback" in crashed.stderr
    assert b"a worker broke" in crashed.stderr
    assert_hidden(crashed.stdout, crashed.stderr, *files_of(folder).values())


async def test_crash_of_a_transport_shows_no_secret(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROVIDERS_KEY", KEY)
    seen: list[str] = []

    def crash(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers["authorization"])
        raise RuntimeError(f"a transport broke: {request!r} {request.headers!r}")

    config = pipeline.load_config(configure(folder, "http://127.0.0.1:1/v1"))
    with pytest.raises(ExceptionGroup) as caught:
        await pipeline.run(config, transport=httpx.MockTransport(crash))

    text = "".join(traceback.format_exception(caught.value))
    assert seen[0] == f"Bearer {KEY}"
    assert "a transport broke" in text
    assert KEY not in text  # httpx hides the Authorization header; other headers are its caller's to show
    assert_hidden(*files_of(folder).values())


def test_no_record_of_a_config_or_an_endpoint_shows_a_secret(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROVIDERS_KEY", KEY)
    config = pipeline.load_config(configure(folder, "http://127.0.0.1:1/v1"))
    shown = credentials(config)[0]
    assert shown.key_header == ("Authorization", f"Bearer {KEY}")

    endpoint = _endpoint(config, config.provider, "provider", shown, {})

    assert endpoint.headers["X-Project"] == HEADER_VALUE
    assert_hidden(repr(config), repr(shown), repr(endpoint), repr(RequestHeads(endpoint, "headrace")))


async def test_the_status_and_the_journal_of_a_run_know_no_header(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROVIDERS_KEY", KEY)
    async with serve(WAYS["200"]) as server:
        config = pipeline.load_config(configure(folder, f"{server.url}/v1"))
        summary = await pipeline.run(config)

    assert_hidden(repr(status(config)), repr(summary), *files_of(folder).values())


@pytest.mark.parametrize("bad", [f"{KEY}\nx-evil: 1", f"{KEY}\N{LINE SEPARATOR}x", f"{KEY}\N{CYRILLIC SMALL LETTER A}", f"{KEY}\x7f"])
async def test_a_key_that_cannot_be_sent_is_refused_and_not_shown(folder: Path, monkeypatch: pytest.MonkeyPatch, bad: str) -> None:
    monkeypatch.setenv("PROVIDERS_KEY", bad)
    config = pipeline.load_config(configure(folder, "http://127.0.0.1:1/v1"))

    with pytest.raises(pipeline.ConfigError, match="PROVIDERS_KEY holds characters that no key has") as caught:
        await pipeline.run(config)

    assert_hidden("".join(traceback.format_exception(caught.value)))


@pytest.mark.parametrize(
    "provider",
    [
        {"api_key_env": KEY},
        {"headers": {"Authorization": f"Bearer {KEY}"}},
        {"headers": {"X-Note": f"{KEY}\r\nx-evil: 1"}},
        {"base_url": f"https://user:{KEY}@api.example.com/v1"},
    ],
)
async def test_a_key_in_the_config_is_refused_and_not_shown(folder: Path, provider: dict[str, object]) -> None:
    (folder / "config.yaml").write_text(
        json.dumps(
            {"source": {"path": "in.jsonl"}, "provider": {"base_url": "http://127.0.0.1:1", **provider}, "sink": {"path": "out.jsonl"}}
        )
    )

    refused = await headrace("run", str(folder / "config.yaml"), "-vv", "--json")

    assert refused.returncode == 2
    assert files_of(folder) == {}
    assert_hidden(refused.stdout, refused.stderr)
