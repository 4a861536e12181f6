"""What a client of the simulated provider does in tests."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import trio

from pipeline.simulate import Fault, SimulateConfig

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fakes.simulated import Simulated

PATIENCE_SECONDS = 20.0  # what a test waits before it fails; none is meant to come near


def chat(text: str) -> dict[str, Any]:
    return {"model": "gpt-4o", "messages": [{"role": "user", "content": text}]}


def client(at: Simulated, timeout_seconds: float = PATIENCE_SECONDS) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=at.base_url, timeout=timeout_seconds, trust_env=False)


async def ask(http: httpx.AsyncClient, text: str) -> httpx.Response:
    return await http.post("/chat/completions", json=chat(text))


def content(response: httpx.Response) -> str:
    text: str = response.json()["choices"][0]["message"]["content"]
    return text


def request_for(text: str) -> bytes:
    body = json.dumps(chat(text)).encode()
    return b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


async def until(condition: Callable[[], bool]) -> None:
    with trio.fail_after(PATIENCE_SECONDS):
        while not condition():  # noqa: ASYNC110  the server under test has no event for a test to wait on
            await trio.sleep(0.001)


def faulty(fault: Fault, **more: Any) -> SimulateConfig:
    return SimulateConfig(faults={fault.value: 1.0}, drip_seconds=0.005, **more)
