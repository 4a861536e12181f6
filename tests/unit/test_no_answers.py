"""Replies that are no answer, in every shape: what is said of them, whether the same request would bring the same, and why they ended."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline.core.answers.shapes import read_reply


def ollama(content: Any = "", **more: Any) -> dict[str, Any]:
    return {"model": "l", "message": {"role": "assistant", "content": content}, "done": True, **more}


def converse(content: Any, **more: Any) -> dict[str, Any]:
    return {"output": {"message": {"role": "assistant", "content": content}}, **more}


def gemini(*parts: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"candidates": [{"content": {"parts": list(parts)}, **more}]}


# What it says; whether it is final; whether it is empty; why it ended.
NO_ANSWERS: dict[str, tuple[Any, str, bool, bool, str | None]] = {
    "chat, null": ({"choices": None}, "choices: null", False, False, None),
    "chat, a text": ({"choices": "é" * 30}, 'choices: "' + "é" * 9 + "\ufffd", False, False, None),  # cut within a character
    "chat, none": ({"choices": []}, "no choices", False, False, None),
    "chat, numbers": ({"choices": [1]}, "no choices", False, False, None),
    "chat, an error": ({"choices": [{"error": {"code": 502}}]}, "an error in its choice", False, False, None),
    "chat, broken off": ({"choices": [{"finish_reason": "error"}]}, 'finish_reason "error"', False, False, None),
    "responses, empty": (
        {"object": "response", "status": "completed", "output": []},
        "an output with nothing in it",
        False,
        True,
        "stop",
    ),
    "responses, failed": ({"object": "response", "status": "failed", "output": []}, 'status "failed"', False, False, None),
    "anthropic, no content": ({"type": "message", "content": [], "stop_reason": None}, "no content", False, False, None),
    "ollama, not done": ({"model": "l", "message": {"content": "H"}, "done": False}, "an answer that is not done", False, False, None),
    "ollama, loaded": (ollama(done_reason="load"), 'an answer that ended with "load"', True, False, None),
    "ollama, unloaded": (ollama(done_reason="unload"), 'an answer that ended with "unload"', True, False, None),
    "ollama, generate": ({"response": "", "done": True, "done_reason": "load"}, 'an answer that ended with "load"', True, False, None),
    "ollama, half": ({"response": "H", "done": False}, "an answer that is not done", False, False, None),
    "cohere, broken off": (
        {"finish_reason": "ERROR", "message": {"role": "assistant", "content": []}},
        'an answer that ended with "ERROR"',
        False,
        False,
        None,
    ),
    "ollama, nothing": (ollama(None), "a message without content", False, False, None),
    "converse, nothing": (converse([]), "a message without content", False, False, None),
    "converse, empty": (converse([], stopReason="end_turn"), "a message with nothing in it", False, True, "stop"),
    "converse, an unknown end": (
        converse([], stopReason="tired"),
        'a message with nothing in it (it ended with "tired")',
        False,
        True,
        "tired",
    ),
    "an output": ({"output": {}}, "an output that holds no answer", False, False, None),
    "llama.cpp, half": ({"content": "H", "stop": False}, "an answer that is not done", False, False, None),
    "gemini, none": ({"candidates": []}, "no candidates", False, False, None),
    "gemini, no end": (gemini(), "candidates that hold no answer", False, False, None),
    "gemini, empty": (gemini(finishReason="STOP"), "candidates with nothing in them", False, True, "stop"),
    "gemini, null": (gemini({"text": None}, finishReason="STOP"), "parts whose text is none", False, False, None),
    "embeddings, gaps": ({"data": [{"embedding": [1, None]}]}, "no embedding that is numbers throughout", False, False, None),
    "embeddings, empty": ({"embedding": {"values": []}}, "an empty embedding", False, False, None),
    "data, no values": ({"data": [{"object": "embedding"}]}, "data without any value", False, False, None),
    "a list, empty": ([], "an empty list", False, False, None),
    "a list of pieces": ([{"candidates": []}], "pieces of an answer", False, False, None),
    "a list of nothing": ([None], "a list of nothing", False, False, None),
    "a list with gaps": ([[0.5, None]], "no embedding that is numbers throughout", False, False, None),
    "a list, generated": ([{"generated_text": None}], "a generated text that is none", False, False, None),
}


@pytest.mark.parametrize("name", NO_ANSWERS)
def test_a_reply_that_is_no_answer_says_what_it_lacks(name: str) -> None:
    reply, problem, final, empty, reason = NO_ANSWERS[name]

    reading = read_reply(json.dumps(reply, ensure_ascii=False).encode())

    assert reading.problem is not None
    assert (reading.problem, reading.final, reading.empty, reading.finish_reason) == (problem, final, empty, reason)
    assert (reading.complete is False) == empty
