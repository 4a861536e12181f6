"""Streams of other APIs than chat completions, with the object that each would have been without a stream."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline.core.answers.assemble import Assembler, assemble, says_a_token
from pipeline.core.answers.streamed import Cut, Refused, Whole
from tests.fakes.odd_streams import lines


def sse(*events: dict[str, Any], names: bool = False) -> bytes:
    return b"".join((f"event: {event['type']}\n" if names else "").encode() + f"data: {json.dumps(event)}\n\n".encode() for event in events)


# ---- Anthropic -----------------------------------------------------------------------------------------------------------

START = {
    "type": "message_start",
    "message": {
        "id": "m",
        "type": "message",
        "role": "assistant",
        "content": [],
        "stop_reason": None,
        "usage": {"input_tokens": 9, "output_tokens": 1},
    },
}
END: list[dict[str, Any]] = [
    {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": {"output_tokens": 7}},
    {"type": "message_stop"},
]


def block(index: int, begun: dict[str, Any], *deltas: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"type": "content_block_start", "index": index, "content_block": begun},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


THINKING = block(
    0,
    {"type": "thinking", "thinking": "", "signature": ""},
    {"type": "thinking_delta", "thinking": "h"},
    {"type": "thinking_delta", "thinking": "m"},
    {"type": "signature_delta", "signature": "sig"},
)
TEXT = block(
    1,
    {"type": "text", "text": ""},
    {"type": "text_delta", "text": "Hel"},
    {"type": "text_delta", "text": "lo"},
    {"type": "citations_delta", "citation": {"url": "x"}},
)
TOOL = block(
    2,
    {"type": "tool_use", "id": "t", "name": "f", "input": {}},
    {"type": "input_json_delta", "partial_json": '{"a"'},
    {"type": "input_json_delta", "partial_json": ": 1}"},
)
EMPTY_TOOL = block(3, {"type": "tool_use", "id": "u", "name": "g", "input": {}}, {"type": "input_json_delta", "partial_json": ""})
MESSAGE = {
    "id": "m",
    "type": "message",
    "role": "assistant",
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 9, "output_tokens": 7},
    "content": [
        {"type": "thinking", "thinking": "hm", "signature": "sig"},
        {"type": "text", "text": "Hello", "citations": [{"url": "x"}]},
        {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}},
        {"type": "tool_use", "id": "u", "name": "g", "input": {}},
    ],
}
PING = {"type": "ping"}
MESSAGE_EVENTS: list[dict[str, Any]] = [START, PING, *THINKING, PING, *TEXT, *TOOL, *EMPTY_TOOL, *END]

# ---- Google --------------------------------------------------------------------------------------------------------------


def gemini(*parts: dict[str, Any], **candidate: Any) -> dict[str, Any]:
    return {
        "candidates": [{"content": {"parts": list(parts), "role": "model"}, "index": 0, **candidate}],
        "modelVersion": "g",
        "usageMetadata": {"promptTokenCount": 3},
    }


GEMINI_EVENTS: list[dict[str, Any]] = [
    gemini({"text": "let me", "thought": True}),
    gemini({"text": " see", "thought": True}),
    gemini({"text": "He"}),
    gemini({"text": "llo"}, {"functionCall": {"name": "f", "args": {}}}),
    {**gemini(finishReason="STOP"), "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 2}},
]
GEMINI = {
    "candidates": [
        {
            "index": 0,
            "content": {
                "role": "model",
                "parts": [{"text": "let me see", "thought": True}, {"text": "Hello"}, {"functionCall": {"name": "f", "args": {}}}],
            },
            "finishReason": "STOP",
        }
    ],
    "modelVersion": "g",
    "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 2},
}

# ---- Responses -----------------------------------------------------------------------------------------------------------

ITEMS: list[dict[str, Any]] = [
    {"type": "reasoning", "summary": []},
    {"type": "message", "content": [{"type": "output_text", "text": "Hello"}]},
]
RESPONSE = {"id": "r", "object": "response", "status": "completed", "output": ITEMS, "usage": {"input_tokens": 3, "output_tokens": 2}}
RESPONSE_EVENTS: list[dict[str, Any]] = [
    {"type": "response.created", "response": {"id": "r", "status": "in_progress", "output": []}},
    {"type": "response.output_item.done", "output_index": 1, "item": ITEMS[1]},
    {"type": "response.output_text.delta", "delta": "Hello"},
    {"type": "response.output_item.done", "output_index": 0, "item": ITEMS[0]},
    {"type": "response.completed", "response": RESPONSE},
]
INCOMPLETE = {**RESPONSE, "status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
FAILED = {**RESPONSE, "status": "failed", "error": {"code": "server_error", "message": "oops"}}

# ---- others --------------------------------------------------------------------------------------------------------------

OLLAMA_END = {"model": "l", "message": {"role": "assistant", "content": ""}, "done": True, "done_reason": "stop", "eval_count": 2}
OLLAMA_CHAT = lines(
    {"model": "l", "message": {"role": "assistant", "content": "Hel", "thinking": "h"}, "done": False},
    {"model": "l", "message": {"role": "assistant", "content": "lo"}, "done": False},
    OLLAMA_END,
)
COHERE = sse(
    {"type": "message-start", "id": "c", "delta": {"message": {"role": "assistant", "content": [], "tool_calls": []}}},
    {"type": "content-start", "index": 0, "delta": {"message": {"content": {"type": "text", "text": ""}}}},
    {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "Hel"}}}},
    {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "lo"}}}},
    {"type": "content-end", "index": 0},
    {"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": {"tokens": {"output_tokens": 2}}}},
)

STREAMS: dict[str, tuple[bytes, Any]] = {
    "anthropic": (sse(*MESSAGE_EVENTS, names=True), MESSAGE),
    "anthropic, without names": (sse(*MESSAGE_EVENTS), MESSAGE),
    "gemini": (sse(*GEMINI_EVENTS), GEMINI),
    "gemini, CRLF": (sse(*GEMINI_EVENTS).replace(b"\n", b"\r\n"), GEMINI),
    "gemini as a list": (json.dumps(GEMINI_EVENTS, indent=1).encode(), GEMINI),
    "gemini, blocked": (sse({"promptFeedback": {"blockReason": "SAFETY"}}), {"promptFeedback": {"blockReason": "SAFETY"}}),
    "responses": (sse(*RESPONSE_EVENTS, names=True), RESPONSE),
    "responses, incomplete": (sse(*RESPONSE_EVENTS[:-1], {"type": "response.incomplete", "response": INCOMPLETE}), INCOMPLETE),
    "responses, failed": (sse(*RESPONSE_EVENTS[:-1], {"type": "response.failed", "response": FAILED}), FAILED),
    "responses, output left out": (
        sse(*RESPONSE_EVENTS[:-1], {"type": "response.completed", "response": {**RESPONSE, "output": []}}),
        RESPONSE,
    ),
    "responses, only pieces of the text": (
        sse(
            RESPONSE_EVENTS[0],
            {"type": "response.output_text.delta", "output_index": 0, "delta": "Hel"},
            {"type": "response.output_text.delta", "output_index": 0, "delta": "lo"},
            {"type": "response.completed", "response": {**RESPONSE, "output": []}},
        ),
        {**RESPONSE, "output": [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hello"}]}]},
    ),
    "ollama chat": (OLLAMA_CHAT, {**OLLAMA_END, "message": {"role": "assistant", "content": "Hello", "thinking": "h"}}),
    "ollama generate": (
        lines(
            {"model": "l", "response": "Hel", "done": False},
            {"model": "l", "response": "lo", "done": False},
            {"model": "l", "response": "", "done": True, "eval_count": 2},
        ),
        {"model": "l", "response": "Hello", "done": True, "eval_count": 2},
    ),
    "llama.cpp": (
        sse({"content": "Hel", "stop": False}, {"content": "lo", "stop": False}, {"content": "", "stop": True, "tokens_predicted": 2}),
        {"content": "Hello", "stop": True, "tokens_predicted": 2},
    ),
    "tgi": (
        sse(
            {"token": {"text": "Hel"}, "generated_text": None, "details": None},
            {"token": {"text": "lo"}, "generated_text": "Hello", "details": {"finish_reason": "length"}},
        ),
        {"generated_text": "Hello", "details": {"finish_reason": "length", "tokens": [{"text": "Hel"}, {"text": "lo"}]}},
    ),
    "cohere": (
        COHERE,
        {
            "id": "c",
            "finish_reason": "COMPLETE",
            "usage": {"tokens": {"output_tokens": 2}},
            "message": {"role": "assistant", "content": [{"type": "text", "text": "Hello"}]},
        },
    ),
    "transcription": (
        sse(
            {"type": "transcript.text.delta", "delta": "Hel"},
            {"type": "transcript.text.done", "text": "Hello", "usage": {"output_tokens": 2}},
        ),
        {"text": "Hello", "usage": {"output_tokens": 2}},
    ),
}


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("step", [1, 13, 1_000_000])
@pytest.mark.parametrize("fold", [1, 200, 65_536])
def test_a_whole_stream_is_the_answer_that_would_have_come_without(name: str, step: int, fold: int) -> None:
    body, answer = STREAMS[name]
    assembler = Assembler(fold)

    for at in range(0, len(body), step):
        assembler.feed(body[at : at + step])
    whole = assembler.end()

    assert isinstance(whole, Whole), whole
    assert json.loads(whole.body) == answer


def dashscope(*outputs: dict[str, Any]) -> bytes:
    events = [{"output": output, "usage": {"output_tokens": number}, "request_id": "r"} for number, output in enumerate(outputs, 1)]
    return b"".join(
        b"id:%d\nevent:result\n:HTTP_STATUS/200\ndata:%b\n\n" % (at, json.dumps(each).encode()) for at, each in enumerate(events)
    )


def said(content: str, reason: str = "null") -> dict[str, Any]:
    return {"choices": [{"message": {"role": "assistant", "content": content}, "finish_reason": reason}]}


@pytest.mark.parametrize("texts", [("Hel", "Hello", "Hello"), ("Hel", "lo", ""), ("Hello",), ("", "Hel", "lo"), ("Hel", "Hello")])
@pytest.mark.parametrize("fold", [1, 65_536])
def test_dashscopes_streams_are_put_together_whether_they_repeat_or_go_on(texts: tuple[str, ...], fold: int) -> None:
    assembler = Assembler(fold)
    assembler.feed(dashscope(*map(said, texts[:-1]), said(texts[-1], "stop")))

    whole = assembler.end()

    assert isinstance(whole, Whole), whole
    assert json.loads(whole.body) == {"output": said("Hello", "stop"), "usage": {"output_tokens": len(texts)}, "request_id": "r"}


@pytest.mark.parametrize("repeats", [True, False])
def test_a_long_stream_of_dashscope_keeps_all_of_its_text(*, repeats: bool) -> None:
    words = [f"word{number} " for number in range(100)]
    texts = ["".join(words[: at + 1]) for at in range(100)] if repeats else words

    last = {"text": texts[-1] if repeats else "", "finish_reason": "stop"}
    whole = assemble(dashscope(*({"text": text, "finish_reason": "null"} for text in texts), last))

    assert isinstance(whole, Whole)
    assert json.loads(whole.body)["output"] == {"text": "".join(words), "finish_reason": "stop"}


def test_a_stream_of_dashscope_without_its_end_is_cut() -> None:
    assert isinstance(assemble(dashscope(said("Hel"), said("Hello"))), Cut)


LAST_WORDS = {
    "anthropic": b"event: message_delta",
    "gemini": b'"finishReason"',
    "responses": b"event: response.completed",
    "ollama chat": b'"done": true',
}


@pytest.mark.parametrize("name", LAST_WORDS)
def test_a_stream_that_is_cut_before_its_last_words_is_no_answer(name: str) -> None:
    body = STREAMS[name][0]
    end = body.index(LAST_WORDS[name])

    for cut in range(end + 1):
        assert not isinstance(assemble(body[:cut]), Whole), body[:cut]


OVERLOADED = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}


@pytest.mark.parametrize(
    "body, said",
    [
        (sse(OVERLOADED, names=True), "Overloaded"),
        (sse(START, *TEXT, OVERLOADED, names=True), "Overloaded"),
        (sse(GEMINI_EVENTS[0], {"error": {"code": 503, "message": "busy", "status": "UNAVAILABLE"}}), "busy"),
        (json.dumps([GEMINI_EVENTS[0], {"error": {"code": 503, "message": "busy"}}]).encode(), "busy"),
        (
            sse(RESPONSE_EVENTS[0], {"type": "error", "code": "server_error", "message": "oops", "param": None, "sequence_number": 3}),
            "oops",
        ),
        (lines({"model": "l", "message": {"content": "H"}, "done": False}, {"error": "out of memory"}), "out of memory"),
        (lines({"error": "model not found"}) * 2, "model not found"),
        (sse({"content": "H", "stop": False}, {"error": {"code": 400, "message": "too long"}}), "too long"),
    ],
)
@pytest.mark.parametrize("fold", [1, 65_536])
def test_an_error_in_a_stream_is_an_error(body: bytes, said: str, fold: int) -> None:
    assembler = Assembler(fold)
    assembler.feed(body)

    refused = assembler.end()

    assert isinstance(refused, Refused)
    error = json.loads(refused.body)["error"]
    assert said in json.dumps(error)


@pytest.mark.parametrize("body", [b'{"a": 1}', b'{\n  "a": 1\n}\n', b"[1, 2]", b'\xef\xbb\xbf{"a": 1}'])
def test_an_answer_that_is_no_stream_stays_as_it_is(body: bytes) -> None:
    whole = assemble(body)

    assert isinstance(whole, Whole)
    assert json.loads(whole.body) == json.loads(body.removeprefix(b"\xef\xbb\xbf"))


@pytest.mark.parametrize("body", [b"", b"<html>", b"plain words", b": only a comment\n\n", b'data: {"type": "ping"}\n\n'])
def test_a_body_that_is_nothing_is_cut(body: bytes) -> None:
    assert isinstance(assemble(body), Cut)


def test_numbers_that_add_up_are_not_added() -> None:
    body = sse(
        START,
        *TEXT,
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn"},
            "usage": {"input_tokens": 20, "output_tokens": 7, "cache_read_input_tokens": None},
        },
    )

    whole = assemble(body)

    assert isinstance(whole, Whole)
    assert json.loads(whole.body)["usage"] == {"input_tokens": 20, "output_tokens": 7, "cache_read_input_tokens": None}


@pytest.mark.parametrize(
    "piece, token",
    [
        (b": ping\n\n", False),
        (b'data: {"choices":[{"delta":{"role":"assistant","content":""}}]}\n\n', False),
        (b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n', True),
        (b'data: {"choices":[{"delta":{"reasoning_content": "a"}}]}\n\n', True),
        (b'data: {"type":"ping"}\n\n', False),
        (b'data: {"type":"content_block_delta","delta":{"type":"text_delta","text":"a"}}\n\n', True),
        (b'data: {"type":"response.output_text.delta","delta":"a"}\n\n', True),
        (b'{"message":{"content":"a"},"done":false}\n', True),
    ],
)
def test_the_first_token_is_told_from_roles_and_pings(piece: bytes, *, token: bool) -> None:
    assert says_a_token(piece) is token
