"""Under 200 stands what its endpoint promises, or the row has no answer: a text where a text should be, numbers in a vector."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline.core.answers.classify import Result, classify
from pipeline.records import Answer

USAGE = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
CHAT, VALUES, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/embeddings", "/v1/responses", "/v1/messages"
GEMINI = "/v1beta/models/g:generateContent"


def chat(message: dict[str, Any], reason: str = "stop") -> dict[str, Any]:
    return {"choices": [{"index": 0, "message": message, "finish_reason": reason}], "usage": USAGE}


# Name: url, body, whether it is an answer.
BODIES: dict[str, tuple[str, Any, bool]] = {
    "content 5": (CHAT, chat({"role": "assistant", "content": 5}), False),
    "content true": (CHAT, chat({"role": "assistant", "content": True}), False),
    "content obj": (CHAT, chat({"role": "assistant", "content": {"a": 1}}), False),
    "content list nums": (CHAT, chat({"role": "assistant", "content": [1, 2]}), False),
    "content list obj unknown": (CHAT, chat({"role": "assistant", "content": [{"foo": 1}]}), False),
    "content list text parts": (CHAT, chat({"role": "assistant", "content": [{"type": "text", "text": "a"}]}), True),
    "content false+tool": (
        CHAT,
        chat(
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
            },
            "tool_calls",
        ),
        True,
    ),
    "message str": (CHAT, {"choices": [{"message": "hi"}]}, False),
    "message list": (CHAT, {"choices": [{"message": ["hi"]}]}, False),
    "choices dict": (CHAT, {"choices": {"message": {"content": "x"}}}, False),
    "choices str": (CHAT, {"choices": "x"}, False),
    "choice null": (CHAT, {"choices": [None]}, False),
    "text 5": (CHAT, {"choices": [{"text": 5}]}, False),
    "resp output_text only": (RESPONSES, {"object": "response", "status": "completed", "output": []}, False),
    "resp content 5": (RESPONSES, {"object": "response", "status": "completed", "output": [{"type": "message", "content": 5}]}, False),
    "resp text 5": (
        RESPONSES,
        {"object": "response", "status": "completed", "output": [{"type": "message", "content": [{"type": "output_text", "text": 5}]}]},
        False,
    ),
    "anth content 5": (MESSAGES, {"type": "message", "role": "assistant", "content": 5, "stop_reason": "end_turn"}, False),
    "anth text 5": (
        MESSAGES,
        {"type": "message", "role": "assistant", "content": [{"type": "text", "text": 5}], "stop_reason": "end_turn"},
        False,
    ),
    "gemini text 5": (GEMINI, {"candidates": [{"content": {"parts": [{"text": 5}]}, "finishReason": "STOP"}]}, False),
    "gemini parts str": (GEMINI, {"candidates": [{"content": {"parts": "x"}, "finishReason": "STOP"}]}, False),
    "ollama content 5": ("/api/chat", {"message": {"role": "assistant", "content": 5}, "done": True}, False),
    "ollama response 5": ("/api/generate", {"response": 5, "done": True}, False),
    "emb num": (VALUES, {"data": [{"embedding": 5}]}, False),
    "emb strs": (VALUES, {"data": [{"embedding": ["a", "b"]}]}, False),
    "emb obj": (VALUES, {"data": [{"embedding": {"a": 1}}]}, False),
    "emb bools": (VALUES, {"data": [{"embedding": [True]}]}, False),
    "emb empty": (VALUES, {"data": [{"embedding": []}]}, False),
    "moder null": ("/v1/moderations", {"results": [None]}, False),
    "dashscope content 5": (
        "/api/v1/services/aigc/text-generation/generation",
        {"output": {"choices": [{"message": {"content": 5}, "finish_reason": "stop"}]}},
        False,
    ),
    "dashscope text": (CHAT, {"output": {"text": "hi", "finish_reason": "stop"}, "usage": {"input_tokens": 1, "output_tokens": 1}}, True),
    "refusal num": (CHAT, chat({"role": "assistant", "content": None, "refusal": 5}), False),
    "tool_calls str": (CHAT, chat({"role": "assistant", "content": None, "tool_calls": "x"}, "tool_calls"), False),
    "tool_calls [5]": (CHAT, chat({"role": "assistant", "content": None, "tool_calls": [5]}, "tool_calls"), False),
    "tool_calls {}": (CHAT, chat({"role": "assistant", "content": None, "tool_calls": [{}]}, "tool_calls"), False),
    "cohere msg content 5": ("/v2/chat", {"message": {"role": "assistant", "content": 5}, "finish_reason": "COMPLETE"}, False),
    "hf list 5": ("/generate", [{"generated_text": 5}], False),
    "hf obj 5": ("/generate", {"generated_text": 5}, False),
    "images no url": ("/v1/images/generations", {"data": [{"revised_prompt": "x"}]}, False),
    "images url 5": ("/v1/images/generations", {"data": [{"url": 5}]}, False),
    "transcription 5": ("/v1/audio/transcriptions", {"text": 5}, False),
    "n=2 one odd": (CHAT, {"choices": [{"message": {"content": "a"}, "finish_reason": "stop"}, {"message": {"content": 5}}]}, True),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_success_is_an_answer_only_if_its_content_is_what_its_endpoint_promises(name: str) -> None:
    url, body, is_answer = BODIES[name]

    meaning = classify(Answer(200, [], json.dumps(body).encode()), now_utc=0.0, url=url, asked=b'{"input":"x"}')

    assert isinstance(meaning, Result) == is_answer
