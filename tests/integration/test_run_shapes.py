"""Whole runs over every shape that the embedded provider answers in, whole and streamed: the content of a row is its own answer's."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

import pipeline
from pipeline import SimulateConfig, SimulatedStream, expected_answer

if TYPE_CHECKING:
    from pathlib import Path

ROWS = 6
GEMINI = "/v1beta/models/gemini-2.5-pro:{}"


def chat(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def shapes(text: str) -> dict[str, tuple[str, dict[str, Any]]]:
    contents = {"contents": [{"role": "user", "parts": [{"text": text}]}]}
    return {
        "chat": ("/v1/chat/completions", {"model": "m", "messages": chat(text)}),
        "chat-stream": ("/v1/chat/completions", {"model": "m", "messages": chat(text), "stream": True}),
        "completions": ("/v1/completions", {"model": "m", "prompt": text}),
        "completions-stream": ("/v1/completions", {"model": "m", "prompt": text, "stream": True}),
        "responses": ("/v1/responses", {"model": "m", "input": text}),
        "responses-stream": ("/v1/responses", {"model": "m", "input": text, "stream": True}),
        "messages": ("/v1/messages", {"model": "m", "max_tokens": 50, "messages": chat(text)}),
        "messages-stream": ("/v1/messages", {"model": "m", "max_tokens": 50, "messages": chat(text), "stream": True}),
        "gemini": (GEMINI.format("generateContent"), contents),
        "gemini-stream": (GEMINI.format("streamGenerateContent?alt=sse"), contents),
        "gemini-array": (GEMINI.format("streamGenerateContent"), contents),
        "cohere": ("/v2/chat", {"model": "m", "messages": chat(text)}),
        "ollama-chat": ("/api/chat", {"model": "m", "messages": chat(text), "stream": False}),
        "ollama-chat-stream": ("/api/chat", {"model": "m", "messages": chat(text)}),
        "ollama-generate-stream": ("/api/generate", {"model": "m", "prompt": text, "stream": True}),
    }


async def run(folder: Path, name: str, simulate: SimulateConfig) -> tuple[list[dict[str, Any]], pipeline.Summary]:
    source, sink = folder / "in.jsonl", folder / "out.jsonl"
    asked = [shapes(f"row {number}")[name] for number in range(ROWS)]
    rows = [{"custom_id": f"r{n}", "method": "POST", "url": url, "body": body} for n, (url, body) in enumerate(asked)]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = {
        "source": {"path": str(source)},
        "provider": {"simulate": {}},
        "retry": {"base_seconds": 0.01, "cap_seconds": 0.02},
        "sink": {"path": str(sink), "shape": "flat"},
    }
    (folder / "config.yaml").write_text(json.dumps(config))
    loaded = pipeline.load_config(folder / "config.yaml")
    summary = await pipeline.run(replace(loaded, provider=replace(loaded.provider, simulate=simulate)))
    return [json.loads(line) for line in sink.read_text().splitlines()], summary


def right_contents(name: str) -> list[str]:
    return [expected_answer(shapes(f"row {number}")[name][1]) for number in range(ROWS)]


@pytest.mark.parametrize("name", sorted(shapes("")))
async def test_row_of_any_shape_gets_its_own_content_and_tokens(tmp_path: Path, name: str) -> None:
    lines, summary = await run(tmp_path, name, SimulateConfig(stream=SimulatedStream(event_characters=3)))

    assert [line["content"] for line in lines] == right_contents(name)
    if name not in {"chat-stream", "completions-stream"}:  # their usage comes only where it is asked for
        assert (summary.prompt_tokens, summary.output_tokens) == (2 * ROWS, 6 * ROWS)


@pytest.mark.parametrize("fault", ["stream_cut", "stream_error", "stream_done_only"])
@pytest.mark.parametrize("name", [name for name in sorted(shapes("")) if name.endswith("-stream")])
async def test_spoilt_stream_is_asked_for_again(tmp_path: Path, name: str, fault: str) -> None:
    lines, _ = await run(tmp_path, name, SimulateConfig(script={"1": fault}, stream=SimulatedStream(event_characters=3)))

    assert [line["content"] for line in lines] == right_contents(name)
    assert [line["attempts"] for line in lines] == [1, 2, *[1] * (ROWS - 2)]


EMPTY = ["empty_object", "choices_null", "choices_empty", "status_failed", "base_resp", "object_error", "choice_error"]


@pytest.mark.parametrize("name", ["chat", "responses", "messages", "gemini", "cohere", "ollama-chat"])
@pytest.mark.parametrize("fault", EMPTY)
async def test_200_without_an_answer_is_no_result(tmp_path: Path, name: str, fault: str) -> None:
    lines, _ = await run(tmp_path, name, SimulateConfig(script={"1": fault}))  # where all rows fail, the run waits for the provider

    assert [line["content"] for line in lines] == right_contents(name)
    assert [line["attempts"] for line in lines] == [1, 2, *[1] * (ROWS - 2)]


ODD = ["sse_unasked", "comments_before", "blanks_before", "done_behind", "empty_error", "float_usage", "stream_no_done"]


@pytest.mark.parametrize("quirk", ODD)
@pytest.mark.parametrize("name", ["chat", "chat-stream", "messages", "gemini"])
async def test_odd_answer_that_is_right_is_taken_at_once(tmp_path: Path, name: str, quirk: str) -> None:
    lines, _ = await run(tmp_path, name, SimulateConfig(faults={quirk: 1.0}))

    assert [line["content"] for line in lines] == right_contents(name)
    assert {line["attempts"] for line in lines} == {1}
