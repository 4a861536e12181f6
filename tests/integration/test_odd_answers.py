"""Whole runs over odd streams and bodies: over sockets, in both shapes of the output, and in what is exported of it."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any

import pytest

import pipeline
from pipeline.inspect.export import export
from tests.fakes.odd_bodies import TEXTS
from tests.fakes.odd_chat_bodies import CHATS as CHAT_BODIES
from tests.fakes.odd_chats import CHATS as CHAT_STREAMS
from tests.fakes.odd_lines import OTHERS
from tests.fakes.odd_messages import CHAT_MESSAGES
from tests.fakes.odd_natives import NATIVES
from tests.fakes.odd_streams import Case, Says
from tests.fakes.odd_values import VALUES
from tests.fakes.runs import run_file
from tests.fakes.servers import Peer, Request, serve

if TYPE_CHECKING:
    from pathlib import Path

STREAMS = {**CHAT_STREAMS, **CHAT_MESSAGES, **NATIVES, **OTHERS}
CASES: list[tuple[str, Case]] = [
    *((f"stream: {name}", case) for name, case in STREAMS.items()),
    *((f"body: {name}", case) for name, case in {**CHAT_BODIES, **TEXTS, **VALUES}.items()),
]
GOOD = [(name, case) for name, case in CASES if isinstance(case.means, Says)]
PIECE = 400  # bytes of a streamed body that are sent at once


async def answer(peer: Peer, request: Request) -> None:
    """The answer to the row whose number is in the request."""
    name, case = GOOD[int(json.loads(request.body)["number"])]
    if name.startswith("body"):
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(case.body)
        await peer.send(head + case.body)
        return
    await peer.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
    pieces = [case.body[at : at + PIECE] for at in range(0, len(case.body), PIECE)]
    await peer.send(*(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces), b"0\r\n\r\n")


def request_of(number: int, case: Case) -> dict[str, Any]:
    body = {"model": "m", "number": number, "messages": [], "stream": not GOOD[number][0].startswith("body")}
    return {"custom_id": GOOD[number][0], "method": "POST", "url": case.url, "body": body}


@pytest.mark.parametrize("shape", ["flat", "batch"])
async def test_odd_answers_come_out_right_of_a_whole_run(tmp_path: Path, shape: str) -> None:
    rows = [request_of(number, case) for number, (_, case) in enumerate(GOOD)]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    async with serve(answer) as server:
        run = await run_file(tmp_path, server.url, sink={"shape": shape}, limits={"max_in_flight": 3})

    assert {line["custom_id"]: line["error"] for line in run.lines if line["error"] is not None} == {}
    config = pipeline.load_config(tmp_path / "config.yaml")
    assert export(config, str(tmp_path / "out.csv")) == len(GOOD)
    with (tmp_path / "out.csv").open(newline="") as file:
        exported = list(csv.DictReader(file))
    for (name, case), line, cells in zip(GOOD, run.lines, exported, strict=True):
        assert isinstance(case.means, Says)
        if shape == "flat":
            assert (line["content"], line["finish_reason"]) == (case.means.content, case.means.finish), name
        else:
            assert isinstance(line["response"]["body"], dict), name
        assert cells["content"] == as_cell(case.means.content), name
        assert [int(cells[key] or 0) for key in ("prompt_tokens", "output_tokens")] == list(case.means.tokens), name


def as_cell(content: Any) -> str:
    """A content as a cell of text: a text is as it is, anything else is JSON."""
    if content is None:
        return ""
    return content if isinstance(content, str) else json.dumps(content, separators=(",", ":"), ensure_ascii=False)
