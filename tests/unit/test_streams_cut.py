"""A stream that was cut after its first event is no answer; an answer that came as the only event of one is."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline.core.answers.classify import Result, Trouble, classify
from pipeline.records import Answer

FIRST_EVENTS: dict[str, dict[str, Any]] = {
    "chat": {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"role": "assistant", "content": "a"}}]},
    "chat without a type": {"choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": None}]},
    "chat that streams whole messages": {"choices": [{"index": 0, "message": {"content": "a"}, "finish_reason": None}]},
    "completion": {"object": "text_completion", "choices": [{"index": 0, "text": "a", "finish_reason": None}]},
    "Gemini": {"candidates": [{"index": 0, "content": {"parts": [{"text": "a"}]}}], "usageMetadata": {"promptTokenCount": 1}},
    "Gemini, usage alone": {"usageMetadata": {"promptTokenCount": 1}},
    "Anthropic": {"type": "message_start", "message": {"role": "assistant", "content": [{"type": "text", "text": "a"}]}},
    "Anthropic, a block": {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "a"}},
    "Responses": {"type": "response.created", "response": {"status": "in_progress", "output": []}},
    "Responses, an item": {"type": "response.output_text.delta", "delta": "a"},
    "Cohere": {"type": "message-start", "delta": {"message": {"role": "assistant", "content": [{"text": "a"}]}}},
    "Cohere, a piece": {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "a"}}}},
    "Ollama": {"message": {"role": "assistant", "content": "a"}, "done": False},
    "Ollama generate": {"response": "a", "done": False},
    "llama.cpp": {"content": "a", "stop": False},
    "TGI": {"token": {"text": "a"}, "generated_text": None, "details": None},
    "transcription": {"type": "transcript.text.delta", "delta": "a"},
}


IN_EVENTS = ["data: %s\n\n", "data:%s", ": hello\n\nevent: x\ndata: %s\n\n"]
# As a line alone these are ordinary answers that give no reason to end.
ORDINARY_ALONE = {"completion", "Gemini", "Gemini, usage alone", "chat that streams whole messages"}
WRITTEN = [(name, way) for name in FIRST_EVENTS for way in IN_EVENTS] + [(name, "%s\n") for name in FIRST_EVENTS.keys() - ORDINARY_ALONE]


@pytest.mark.parametrize("url", ["/v1/chat/completions", "/somewhere/else"])
@pytest.mark.parametrize("name, way", sorted(WRITTEN))
def test_a_stream_of_which_only_the_first_event_came_is_no_answer(name: str, way: str, url: str) -> None:
    event = FIRST_EVENTS[name]

    meaning = classify(Answer(200, [], (way % json.dumps(event)).encode()), now_utc=0.0, url=url)

    assert isinstance(meaning, Trouble), meaning


@pytest.mark.parametrize(
    "answer",
    [
        {"object": "chat.completion", "choices": [{"message": {"content": "a"}, "finish_reason": "stop"}]},
        {"object": "text_completion", "choices": [{"text": "a", "finish_reason": "length"}]},
        {"type": "message", "content": [{"type": "text", "text": "a"}], "stop_reason": "end_turn"},
        {"candidates": [{"content": {"parts": [{"text": "a"}]}, "finishReason": "STOP"}]},
        {"object": "response", "status": "completed", "output": [{"type": "message", "content": [{"type": "output_text", "text": "a"}]}]},
        {"message": {"role": "assistant", "content": "a"}, "done": True},
        {"content": "a", "stop": True},
        {"generated_text": "a"},
        {"object": "list", "data": [{"index": 0, "embedding": [0.5]}]},
        {"results": [{"index": 0, "relevance_score": 0.5}]},
        [[0.5, 1.5]],
    ],
    ids=lambda answer: str(answer)[:30],
)
def test_an_answer_of_any_shape_in_the_only_event_of_a_stream_is_read(answer: Any) -> None:
    meaning = classify(Answer(200, [], f"data: {json.dumps(answer)}\n\ndata: [DONE]\n\n".encode()), now_utc=0.0)

    assert isinstance(meaning, Result), meaning
