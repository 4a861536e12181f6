"""Rows that ask for a stream: the output holds the answer that would have come without one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.fakes.runs import Run, run_file

if TYPE_CHECKING:
    from pathlib import Path

CHAT = {"model": "m", "messages": [{"role": "user", "content": "row 0: say something long"}]}
GEMINI = {"contents": [{"parts": [{"text": "row 0: say something long"}]}]}
# Shape: url and body without a stream, and with one
SHAPES: dict[str, tuple[str, dict[str, Any], str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", CHAT, "/v1/chat/completions", {**CHAT, "stream": True, "stream_options": {"include_usage": True}}),
    "completion": ("/v1/completions", {"model": "m", "prompt": "say"}, "/v1/completions", {"model": "m", "prompt": "say", "stream": True}),
    "responses": (
        "/v1/responses",
        {"model": "m", "input": "row 0: say"},
        "/v1/responses",
        {"model": "m", "input": "row 0: say", "stream": True},
    ),
    "anthropic": ("/v1/messages", {**CHAT, "max_tokens": 50}, "/v1/messages", {**CHAT, "max_tokens": 50, "stream": True}),
    "gemini": ("/v1beta/models/g:generateContent", GEMINI, "/v1beta/models/g:streamGenerateContent?alt=sse", GEMINI),
    "gemini, a list": ("/v1beta/models/g:generateContent", GEMINI, "/v1beta/models/g:streamGenerateContent", GEMINI),
    "ollama chat": ("/api/chat", {**CHAT, "stream": False}, "/api/chat", CHAT),
    "ollama generate": (
        "/api/generate",
        {"model": "m", "prompt": "say", "stream": False},
        "/api/generate",
        {"model": "m", "prompt": "say"},
    ),
}


async def run(folder: Path, rows: list[tuple[str, dict[str, Any]]], **simulate: Any) -> Run:
    lines = [json.dumps({"custom_id": f"r{n}", "method": "POST", "url": url, "body": body}) + "\n" for n, (url, body) in enumerate(rows)]
    (folder / "in.jsonl").write_text("".join(lines))
    provider = {"base_url": None, "simulate": {"latency": {"median_seconds": 0.001}, **simulate}}
    return await run_file(folder, "", provider=provider, sink={"shape": "flat"})


@pytest.mark.parametrize("vendor", ["openai", "azure", "openrouter", "groq", "deepseek", "vllm"])
@pytest.mark.parametrize("name", SHAPES)
async def test_a_streamed_answer_is_the_answer_without_a_stream(tmp_path: Path, name: str, vendor: str) -> None:
    url, body, stream_url, stream_body = SHAPES[name]

    result = await run(tmp_path, [(url, body), (stream_url, stream_body)], vendor=vendor)

    whole, streamed = result.lines
    assert (streamed["status"], streamed["error"]) == ("success", None)
    assert streamed["content"] == whole["content"]
    assert streamed["finish_reason"] == whole["finish_reason"]
    if streamed["usage"] is not None:
        assert streamed["usage"] == whole["usage"]


@pytest.mark.parametrize("fault", ["stream_cut", "stream_error", "stream_done_only"])
@pytest.mark.parametrize("name", ["chat", "anthropic", "gemini", "responses", "ollama chat"])
async def test_a_stream_that_breaks_is_no_answer_and_is_asked_for_again(tmp_path: Path, name: str, fault: str) -> None:
    _, _, url, body = SHAPES[name]

    result = await run(tmp_path, [(url, body)], script={"0": fault})

    assert result.lines[0]["status"] == "success"
    assert result.lines[0]["attempts"] == 2


@pytest.mark.parametrize(
    "quirk", ["stream_no_done", "sse_unasked", "comments_before", "blanks_before", "done_behind", "empty_error", "float_usage"]
)
async def test_an_odd_but_whole_answer_is_taken_the_first_time(tmp_path: Path, quirk: str) -> None:
    _, _, url, body = SHAPES["chat"]
    asked = body if quirk == "stream_no_done" else CHAT

    result = await run(tmp_path, [(url, asked)], script={"0": quirk})

    assert (result.lines[0]["status"], result.lines[0]["attempts"]) == ("success", 1)
