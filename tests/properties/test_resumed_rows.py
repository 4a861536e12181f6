"""A run that is stopped anywhere and gone on with judges its rows as one that was never stopped: same results, same ids."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
import trio
from hypothesis import example, given, settings
from hypothesis import strategies as st

import pipeline
from tests.fakes.runs import write_config

if TYPE_CHECKING:
    from collections.abc import Sequence

REQUEST = {"url": "/v1/chat/completions", "body": {"model": "m", "prompt": "{p}"}}
NAMES = ("x", "row-2", "row-5", "c-1", "c-01", "7")


def batch(name: str | None, **changes: object) -> bytes:
    line = {"custom_id": name, "method": "POST", "url": "/v1/chat/completions", "body": {"model": "m"}}
    return json.dumps({key: value for key, value in (line | changes).items() if value is not None}).encode()


def kinds_of(name: str) -> list[bytes]:
    """Lines about one id: good ones, and every way of being bad with and without it."""
    good = batch(name)
    return [
        good,
        batch(None),
        batch(name, method="GET"),
        batch(None, method="GET"),
        b'{"custom_id": "%s", "method": BROKEN' % name.encode(),
        good[:-2],
        good + b" trailing",
        good.replace(b'"model": "m"', b'"model": "\xff"'),
        good.replace(b'"model": "m"', b'"model": "\\ud800"'),
        good.replace(b'"method"', b'"custom_id": "other", "method"'),
        good.replace(name[-1:].encode(), b"\\u%04x" % ord(name[-1]), 1),
        b"{nonsense",
        b"",
        json.dumps({"custom_id": name, "p": "rendered"}).encode(),
        json.dumps({"p": "rendered"}).encode(),
        json.dumps({"custom_id": name, "q": "no such field"}).encode(),
    ]


LINES = st.sampled_from(NAMES).flatmap(lambda name: st.sampled_from(kinds_of(name)))


def answer(request: httpx.Request) -> httpx.Response:
    return httpx.Response(200, json={"choices": [{"message": {"content": "yes"}}], "asked": request.content.decode()})


def run_parts(folder: Path, cuts: Sequence[int], order: str) -> list[bytes]:
    """Run to each cut and then to the end; the output's lines, in the order of the input."""
    config = pipeline.load_config(
        write_config(folder, "http://127.0.0.1:9/v1", request=REQUEST, sink={"order": order}, limits={"max_in_flight": 2})
    )

    async def all_parts() -> None:
        for limit in (*cuts, None):
            async with httpx.MockTransport(answer) as transport:
                await pipeline.run(config, limit=limit, transport=transport)

    trio.run(all_parts)
    assert pipeline.verify(config).ok
    return sorted((folder / "out.jsonl").read_bytes().splitlines(), key=lambda line: json.loads(line)["id"])


@pytest.mark.parametrize("order", ["input", "completion"])
@settings(max_examples=40)
@example(lines=[batch("c-0"), b'{"custom_id": "x", "method": BROKEN', *[batch(f"c-{at}") for at in range(2, 6)], batch("x")], cuts=[3, 5])
@example(lines=[batch("row-6"), *[batch(None)] * 6], cuts=[2, 4])
@example(lines=[batch(None), b"{nonsense", *[batch(None)] * 4, batch("row-1")], cuts=[3, 5])
@given(lines=st.lists(LINES, min_size=2, max_size=10), cuts=st.lists(st.integers(1, 9), max_size=3).map(sorted))
def test_resumed_runs_write_what_one_run_writes(order: str, lines: list[bytes], cuts: list[int]) -> None:
    outputs = []

    for parts in ([], cuts):
        with tempfile.TemporaryDirectory() as name:
            (Path(name) / "in.jsonl").write_bytes(b"\n".join(lines) + b"\n")
            outputs.append(run_parts(Path(name), parts, order))

    assert outputs[1] == outputs[0]
