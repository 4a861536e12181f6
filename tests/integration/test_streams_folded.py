"""A streamed answer is put together while it comes, over either transport: long ones need no more memory than the answer does."""

from __future__ import annotations

import json
import tracemalloc
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from pipeline.core.answers.classify import Result, Trouble, classify
from pipeline.edges.http.body import Body
from pipeline.edges.http.endpoint import Endpoint
from pipeline.edges.http.memory import AnswerMemory
from pipeline.edges.http.senders import open_senders, senders_over
from pipeline.records import Answer, Job
from tests.fakes.servers import Peer, Request, answering, serve
from tests.fakes.streaming import chat_events

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
    from pathlib import Path

    from pipeline.ports import Sender

ASKS = Job(0, "r", "POST", "/v1/chat/completions", b'{"stream":true}', 1, 1, streams=True)
WORDS = [f"word {number} \u3042 " for number in range(4000)]
ANSWER: dict[str, Any] = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "".join(WORDS)}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 4000, "total_tokens": 4003},
}
EVENTS = [b"data: %s\n\n" % json.dumps(event).encode() for event in chat_events(ANSWER, lambda _: WORDS)]
DONE = b"data: [DONE]\n\n"
STREAM = b"text/event-stream; charset=utf-8"


def head(kind: bytes = STREAM) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: %s\r\ntransfer-encoding: chunked\r\n\r\n" % kind


def chunks(pieces: Iterable[bytes]) -> list[bytes]:
    return [*(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces), b"0\r\n\r\n"]


@asynccontextmanager
async def sender(url: str, transport: str) -> AsyncIterator[Sender]:
    endpoint = Endpoint(url + "/v1")
    async with httpx.AsyncHTTPTransport() as over, open_senders(endpoint) as open_sender:
        made = senders_over(endpoint, over)() if transport == "httpx" else open_sender()
        try:
            yield made
        finally:
            made.close()


async def reply(script: Callable[[Peer, Request], Awaitable[None]], transport: str = "own") -> Answer:
    async with serve(script) as server, sender(server.url, transport) as sends:
        answer = await sends.send(ASKS, "i")
    assert isinstance(answer, Answer)
    return answer


@pytest.mark.parametrize("transport", ["own", "httpx"])
@pytest.mark.parametrize("at_once", [1, 50, 10_000])
async def test_a_long_stream_arrives_as_the_answer_that_it_makes(transport: str, at_once: int) -> None:
    pieces = [b"".join(EVENTS[at : at + at_once]) for at in range(0, len(EVENTS), at_once)]

    answer = await reply(answering(head(), *chunks([*pieces, DONE])), transport)

    assert json.loads(answer.body) == ANSWER
    assert answer.arrival is not None
    assert answer.arrival.cut is None
    assert answer.arrival.first_token_at is not None
    meaning = classify(answer, now_utc=0.0, url=ASKS.url)
    assert isinstance(meaning, Result)
    assert meaning.usage.output_tokens == 4000


@pytest.mark.parametrize("transport", ["own", "httpx"])
async def test_a_long_stream_that_ends_early_is_a_cut_answer_with_all_that_came(transport: str) -> None:
    answer = await reply(answering(head(), *chunks([*EVENTS[:3000], DONE])), transport)

    meaning = classify(answer, now_utc=0.0, url=ASKS.url)

    assert isinstance(meaning, Trouble)
    assert "ended too early: choice 0 has no finish_reason" in meaning.message
    assert meaning.bought
    assert meaning.body is not None
    assert json.loads(meaning.body)["choices"][0]["message"]["content"] == "".join(WORDS[:2999])


async def test_a_long_stream_that_tells_an_error_is_that_error() -> None:
    error = b'data: {"error": {"message": "the engine died", "code": "server_error"}}\n\n'

    answer = await reply(answering(head(), *chunks([*EVENTS[:3000], error, DONE])))

    meaning = classify(answer, now_utc=0.0, url=ASKS.url)
    assert isinstance(meaning, Trouble)
    assert "the engine died" in meaning.message


@pytest.mark.parametrize("kind", [b"application/json", b"text/plain", STREAM])
async def test_a_stream_is_known_by_its_beginning_whatever_its_type_says(kind: bytes) -> None:
    answer = await reply(answering(head(kind), *chunks([*EVENTS, DONE])))

    assert json.loads(answer.body) == ANSWER


@pytest.mark.parametrize("kind", [b"application/json", b"application/x-ndjson", STREAM])
@pytest.mark.parametrize("indent", [None, 1])
async def test_an_answer_that_is_no_stream_stays_as_it_came_whatever_its_type_says(kind: bytes, indent: int | None) -> None:
    body = json.dumps(ANSWER, indent=indent).encode()

    answer = await reply(answering(head(kind), *chunks(body[at : at + 5000] for at in range(0, len(body), 5000))))

    assert json.loads(answer.body) == ANSWER
    assert answer.arrival is None or answer.arrival.cut is None


async def test_a_long_text_under_the_type_of_a_stream_is_shown_from_its_beginning() -> None:
    answer = await reply(answering(head(), *chunks([b"<html>gone", b"x" * 100_000])))

    meaning = classify(answer, now_utc=0.0, url=ASKS.url)

    assert isinstance(meaning, Trouble)
    assert meaning.body is not None
    assert b"<html>gone" in meaning.body


@pytest.mark.parametrize("transport", ["own", "httpx"])
async def test_the_first_token_is_neither_the_role_nor_a_comment_nor_the_end(transport: str) -> None:
    seen: list[float] = []

    async def script(peer: Peer, _: Request) -> None:
        parts = chunks([b": waiting\n\n", EVENTS[0], EVENTS[1], *EVENTS[2:], DONE])
        await peer.send(head(), *parts[:2])
        await wait_all_tasks_blocked()
        seen.append(trio.current_time())
        await peer.send(parts[2])
        await wait_all_tasks_blocked(0.05)
        seen.append(trio.current_time())
        await peer.send(*parts[3:])

    answer = await reply(script, transport)

    assert answer.arrival is not None
    assert answer.arrival.first_token_at is not None
    assert seen[0] <= answer.arrival.first_token_at <= seen[1]


async def test_an_answer_without_a_stream_has_no_first_token() -> None:
    body = json.dumps(ANSWER).encode()

    whole = await reply(answering(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n", b'{"a": 12}'))
    long = await reply(answering(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body), body))

    assert (whole.arrival, long.arrival) == (None, None)


async def test_a_stream_of_9_mb_takes_little_more_than_its_answer() -> None:
    memory = AnswerMemory()
    body = Body((), 1 << 26, memory, wait=memory.wait, streams=True)
    event = EVENTS[5][:-3] + b', "padding": "%s"}\n\n' % (b"x" * 100)

    await body.take([EVENTS[0]])
    tracemalloc.start()
    for _ in range(30_000):
        await body.take([event + b""])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert len(event) * 30_000 > 7_000_000
    assert peak < 3_000_000
    assert memory.used < 1_000_000
    await body.finish()
    body.close()
    assert memory.used == 0


async def run_of(folder: Path, bodies: list[dict[str, Any]], **simulate: Any) -> list[dict[str, Any]]:
    from tests.fakes.runs import run_file

    rows = [{"custom_id": f"r{n}", "method": "POST", "url": "/v1/chat/completions", "body": body} for n, body in enumerate(bodies)]
    (folder / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    provider = {"base_url": None, "simulate": {"latency": {"median_seconds": 0.001}, "answer_characters": 50_000, **simulate}}
    return (await run_file(folder, "", provider=provider, sink={"shape": "flat"})).lines


CHAT = {"model": "m", "messages": [{"role": "user", "content": "row 0: say"}]}


async def test_a_run_says_when_the_first_token_of_a_streamed_row_came(tmp_path: Path) -> None:
    whole, streamed = await run_of(tmp_path, [CHAT, {**CHAT, "stream": True}])

    assert (whole["status"], streamed["status"]) == ("success", "success")
    assert streamed["content"] == whole["content"]
    assert whole["first_token_seconds"] is None
    assert 0 < streamed["first_token_seconds"] <= streamed["latency_seconds"]


@pytest.mark.parametrize("fault", ["stream_cut", "stream_error", "stream_done_only"])
async def test_a_long_stream_that_breaks_is_asked_for_again(tmp_path: Path, fault: str) -> None:
    [line] = await run_of(tmp_path, [{**CHAT, "stream": True}], script={"0": fault})

    assert (line["status"], line["attempts"]) == ("success", 2)
