"""What the replies of every known endpoint say: content, why the answer ended, the tokens, and whether content says all."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pipeline.core.answers.classify import Result, classify
from pipeline.core.answers.error_bodies import CODE_KEYS, INNER_KEYS, MESSAGE_KEYS, WAIT_KEYS
from pipeline.core.answers.parts import MANY_BYTES, MOST_KEYS, is_text, object_of
from pipeline.core.answers.plain_chat import read_plain_chat
from pipeline.core.answers.shapes import SHAPES, read_object, read_reply
from pipeline.core.answers.wide_objects import KNOWN_KEYS
from pipeline.records import NO_USAGE, Answer, Usage

CHAT_USAGE = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
CALLS = [{"id": "t", "type": "function", "function": {"name": "rate", "arguments": '{"stars": 4}'}}]


def chat(message: dict[str, Any], reason: str | None = "stop", **choice: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "message": {"role": "assistant", **message}, "finish_reason": reason, **choice}], "usage": CHAT_USAGE}


def blocks(*content: dict[str, Any], reason: str = "end_turn", **usage: int) -> dict[str, Any]:
    return {"type": "message", "role": "assistant", "content": list(content), "stop_reason": reason, "usage": usage}


def parts(*parts: dict[str, Any], reason: str = "STOP", **usage: int) -> dict[str, Any]:
    return {"candidates": [{"content": {"parts": list(parts), "role": "model"}, "finishReason": reason}], "usageMetadata": usage}


def response(*output: dict[str, Any], **fields: Any) -> dict[str, Any]:
    usage = {"input_tokens": 5, "output_tokens": 3, "total_tokens": 8, "output_tokens_details": {"reasoning_tokens": 1}}
    return {"object": "response", "status": "completed", "error": None, "output": list(output), "usage": usage, **fields}


def said(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"type": "message", "role": "assistant", "status": "completed", "content": list(parts)}


def output_text(text: str, **more: Any) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], **more}


TEN_FIVE = Usage(10, 5, 15)
# Reply, its content, why it ended, its tokens, whether content says all of it
REPLIES: dict[str, tuple[Any, Any, str | None, Usage, bool]] = {
    "chat": (chat({"content": "hi", "refusal": None, "annotations": []}), "hi", "stop", TEN_FIVE, True),
    "chat, empty": (chat({"content": ""}), "", "stop", TEN_FIVE, True),
    "chat, cut": (chat({"content": "h"}, "length"), "h", "length", TEN_FIVE, True),
    "chat, unknown reason": (chat({"content": "h"}, "odd"), "h", "odd", TEN_FIVE, True),
    "chat, empty reason (xAI)": (chat({"content": "h"}, ""), "h", None, TEN_FIVE, True),
    "chat, tool calls": (chat({"content": None, "tool_calls": CALLS}, "tool_calls"), CALLS, "tool_calls", TEN_FIVE, False),
    "chat, text and tool calls": (chat({"content": "so", "tool_calls": CALLS}, "tool_calls"), "so", "tool_calls", TEN_FIVE, False),
    "chat, old function call": (
        chat({"content": None, "function_call": {"name": "f"}}, "function_call"),
        [{"name": "f"}],
        "function_call",
        TEN_FIVE,
        False,
    ),
    "chat, refusal": (chat({"content": None, "refusal": "I cannot."}), "I cannot.", "stop", TEN_FIVE, False),
    "chat, audio": (chat({"content": None, "audio": {"transcript": "spoken", "data": "AA"}}), "spoken", "stop", TEN_FIVE, False),
    "chat, reasoning only": (chat({"content": None, "reasoning_content": "Let me"}, "length"), "Let me", "length", TEN_FIVE, False),
    "chat, reasoning too": (chat({"content": "4", "reasoning": "2 + 2"}), "4", "stop", TEN_FIVE, False),
    "chat, logprobs": (chat({"content": "4"}, logprobs={"content": [{"token": "4"}]}), "4", "stop", TEN_FIVE, False),
    "chat, filtered (Azure)": (
        chat({"content": ""}, "content_filter", content_filter_results={"x": {}}),
        "",
        "content_filter",
        TEN_FIVE,
        True,
    ),
    "chat, nothing but a reason": (chat({}, "length"), None, "length", TEN_FIVE, True),
    "chat, parts (Mistral)": (
        chat({"content": [{"type": "thinking", "thinking": []}, {"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}),
        "ab",
        "stop",
        TEN_FIVE,
        False,
    ),
    "chat, odd parts": (chat({"content": ["a", 1]}), ["a", 1], "stop", TEN_FIVE, False),
    "chat, citations beside": ({**chat({"content": "hi"}), "citations": ["https://x"]}, "hi", "stop", TEN_FIVE, False),
    "chat, several choices": (
        {"choices": [{"message": {"content": "a"}, "finish_reason": "stop"}, {"message": {"content": "b"}, "finish_reason": "length"}]},
        ["a", "b"],
        "stop",
        NO_USAGE,
        True,
    ),
    "completion": (
        {"choices": [{"text": "plain", "index": 0, "finish_reason": "stop"}], "usage": CHAT_USAGE},
        "plain",
        "stop",
        TEN_FIVE,
        True,
    ),
    "responses": (
        response({"type": "reasoning", "summary": []}, said(output_text("one "), output_text("two"))),
        "one two",
        "stop",
        Usage(5, 3, 8, 0, 0, 1),
        False,
    ),
    "responses, text only": (response(said(output_text("one"))), "one", "stop", Usage(5, 3, 8, 0, 0, 1), True),
    "responses, annotated": (response(said(output_text("one", annotations=[{"url": "x"}]))), "one", "stop", Usage(5, 3, 8, 0, 0, 1), False),
    "responses, refusal": (response(said({"type": "refusal", "refusal": "no"})), "no", "stop", Usage(5, 3, 8, 0, 0, 1), False),
    "responses, call": (
        response({"type": "function_call", "call_id": "c", "name": "rate", "arguments": "{}"}),
        [{"type": "function_call", "call_id": "c", "name": "rate", "arguments": "{}"}],
        "tool_calls",
        Usage(5, 3, 8, 0, 0, 1),
        False,
    ),
    "responses, cut": (
        response(said(output_text("on")), status="incomplete", incomplete_details={"reason": "max_output_tokens"}),
        "on",
        "length",
        Usage(5, 3, 8, 0, 0, 1),
        False,
    ),
    "anthropic": (
        blocks({"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}, input_tokens=10, output_tokens=2),
        "Hello",
        "stop",
        Usage(10, 2, 12),
        True,
    ),
    "anthropic, cached": (
        blocks(
            {"type": "text", "text": "x"}, input_tokens=10, output_tokens=5, cache_read_input_tokens=150, cache_creation_input_tokens=40
        ),
        "x",
        "stop",
        Usage(200, 5, 205, 150, 40),
        True,
    ),
    "anthropic, cached for an hour": (
        {
            **blocks({"type": "text", "text": "x"}),
            "usage": {
                "input_tokens": 10,
                "output_tokens": 5,
                "cache_creation_input_tokens": 40,
                "cache_creation": {"ephemeral_5m_input_tokens": 15, "ephemeral_1h_input_tokens": 25},
            },
        },
        "x",
        "stop",
        Usage(50, 5, 55, 0, 40, 0, 25),
        True,
    ),
    "anthropic, tool": (
        blocks({"type": "tool_use", "id": "t", "name": "f", "input": {}}, reason="tool_use"),
        [{"type": "tool_use", "id": "t", "name": "f", "input": {}}],
        "tool_calls",
        NO_USAGE,
        False,
    ),
    "anthropic, thinking": (blocks({"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "x"}), "x", "stop", NO_USAGE, False),
    "anthropic, stop sequence": (blocks({"type": "text", "text": "x"}, reason="stop_sequence"), "x", "stop_sequence", NO_USAGE, False),
    "anthropic, nothing": (blocks(reason="refusal"), None, "content_filter", NO_USAGE, False),
    "gemini": (
        parts({"text": "He"}, {"text": "llo"}, promptTokenCount=3, candidatesTokenCount=2, thoughtsTokenCount=4, totalTokenCount=9),
        "Hello",
        "stop",
        Usage(3, 6, 9, 0, 0, 4),
        True,
    ),
    "gemini, thoughts": (parts({"text": "hm", "thought": True}, {"text": "x"}), "x", "stop", NO_USAGE, False),
    "gemini, call": (parts({"functionCall": {"name": "f", "args": {}}}), [{"name": "f", "args": {}}], "tool_calls", NO_USAGE, False),
    "gemini, cut before a word": ({"candidates": [{"finishReason": "MAX_TOKENS", "index": 0}]}, None, "length", NO_USAGE, True),
    "gemini, blocked": ({"promptFeedback": {"blockReason": "SAFETY"}}, None, "content_filter", NO_USAGE, False),
    "gemini, two": (
        {"candidates": [{"content": {"parts": [{"text": text}]}, "finishReason": "STOP"} for text in "ab"]},
        ["a", "b"],
        "stop",
        NO_USAGE,
        True,
    ),
    "cohere chat": (
        {
            "id": "c",
            "finish_reason": "COMPLETE",
            "message": {"role": "assistant", "content": [{"type": "text", "text": "Hello"}]},
            "usage": {"billed_units": {"input_tokens": 1}, "tokens": {"input_tokens": 7, "output_tokens": 2}},
        },
        "Hello",
        "stop",
        Usage(7, 2, 9),
        True,
    ),
    "cohere chat, first version": (
        {"text": "Hello", "generation_id": "g", "finish_reason": "COMPLETE", "meta": {"tokens": {"input_tokens": 7, "output_tokens": 2}}},
        "Hello",
        "stop",
        Usage(7, 2, 9),
        False,
    ),
    "ollama chat": (
        {
            "model": "l",
            "message": {"role": "assistant", "content": "Hello"},
            "done": True,
            "done_reason": "stop",
            "prompt_eval_count": 3,
            "eval_count": 2,
        },
        "Hello",
        "stop",
        Usage(3, 2, 5),
        True,
    ),
    "ollama chat, call": (
        {"message": {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f"}}]}, "done": True},
        [{"function": {"name": "f"}}],
        "tool_calls",
        NO_USAGE,
        False,
    ),
    "ollama generate": ({"model": "l", "response": "Hello", "done": True}, "Hello", None, NO_USAGE, True),
    "ollama embed": ({"model": "l", "embeddings": [[1, 2], [3, 4]], "prompt_eval_count": 3}, [[1, 2], [3, 4]], None, Usage(3, 0, 3), True),
    "llama.cpp": ({"content": "Hello", "stop": True, "stop_type": "limit", "tokens_predicted": 2}, "Hello", "length", Usage(0, 2, 2), True),
    "tgi": (
        {"generated_text": "Hello", "details": {"finish_reason": "eos_token", "generated_tokens": 2}},
        "Hello",
        "stop",
        Usage(0, 2, 2),
        True,
    ),
    "tgi, tokens": ({"generated_text": "Hello", "details": {"tokens": [{"id": 1}]}}, "Hello", None, NO_USAGE, False),
    "hugging face": ([{"generated_text": "Hello"}], "Hello", None, NO_USAGE, True),
    "bedrock converse": (
        {
            "output": {"message": {"role": "assistant", "content": [{"text": "Hello"}]}},
            "stopReason": "end_turn",
            "usage": {"inputTokens": 3, "outputTokens": 2},
        },
        "Hello",
        "stop",
        Usage(3, 2, 5),
        True,
    ),
    "dashscope": (
        {
            "output": {"choices": [{"message": {"content": "Hello"}, "finish_reason": "stop"}]},
            "usage": {"input_tokens": 3, "output_tokens": 2},
        },
        "Hello",
        "stop",
        Usage(3, 2, 5),
        True,
    ),
    "embedding": (
        {"data": [{"index": 0, "embedding": [0.1, 2]}], "usage": {"prompt_tokens": 3, "total_tokens": 3}},
        [0.1, 2],
        None,
        Usage(3, 0, 3),
        True,
    ),
    "embeddings out of order": (
        {"data": [{"index": 1, "embedding": [2]}, {"index": 0, "embedding": [1]}]},
        [[1], [2]],
        None,
        NO_USAGE,
        True,
    ),
    "embedding as base64": ({"data": [{"embedding": "AAAA"}]}, "AAAA", None, NO_USAGE, True),
    "embeddings, one odd": ({"data": [{"index": 0, "embedding": [1]}, None]}, [1], None, NO_USAGE, False),
    "gemini embedding": ({"embedding": {"values": [1, 2]}}, [1, 2], None, NO_USAGE, True),
    "gemini embeddings": ({"embeddings": [{"values": [1]}, {"values": [2]}]}, [[1], [2]], None, NO_USAGE, True),
    "cohere embeddings": ({"embeddings": {"float": [[1], [2]]}, "texts": ["a", "b"]}, [[1], [2]], None, NO_USAGE, False),
    "tei embeddings": ([[1, 2], [3, 4]], [[1, 2], [3, 4]], None, NO_USAGE, True),
    "tei ranking": (
        [{"index": 1, "score": 0.9}, {"index": 0, "score": 0.1}],
        [{"index": 1, "score": 0.9}, {"index": 0, "score": 0.1}],
        None,
        NO_USAGE,
        True,
    ),
    "rerank": (
        {"id": "r", "results": [{"index": 1, "relevance_score": 0.9}], "meta": {"billed_units": {"search_units": 1}}},
        [{"index": 1, "relevance_score": 0.9}],
        None,
        NO_USAGE,
        True,
    ),
    "score": ({"object": "list", "data": [{"index": 0, "object": "score", "score": 0.7}]}, 0.7, None, NO_USAGE, True),
    "classify": (
        {"data": [{"index": 0, "label": "a", "probs": [0.1, 0.9]}]},
        [{"index": 0, "label": "a", "probs": [0.1, 0.9]}],
        None,
        NO_USAGE,
        True,
    ),
    "pooling": ({"data": [{"index": 0, "object": "pooling", "data": [[1], [2]]}]}, [[1], [2]], None, NO_USAGE, True),
    "moderation": ({"id": "m", "model": "o", "results": [{"flagged": True}]}, [{"flagged": True}], None, NO_USAGE, True),
    "image": (
        {"created": 1, "data": [{"b64_json": "aGk="}], "usage": {"input_tokens": 5, "output_tokens": 9, "total_tokens": 14}},
        [{"b64_json": "aGk="}],
        None,
        Usage(5, 9, 14),
        True,
    ),
    "transcription": (
        {"text": "hello", "usage": {"type": "tokens", "input_tokens": 5, "output_tokens": 9}},
        "hello",
        None,
        Usage(5, 9, 14),
        True,
    ),
    "transcription with times": ({"text": "hello", "duration": 2.0, "segments": [{"id": 0}]}, "hello", None, NO_USAGE, False),
    "unknown": ({"tokens": [1, 2], "count": 2}, None, None, NO_USAGE, False),
}


@pytest.mark.parametrize("name", REPLIES)
def test_a_reply_of_every_shape_says_its_content(name: str) -> None:
    reply, content, reason, usage, complete = REPLIES[name]

    reading = read_reply(msgspec.json.encode(reply))

    said = msgspec.json.decode(reading.content)
    if isinstance(said, str) and not isinstance(content, str):  # calls of tools are a text of JSON
        said = msgspec.json.decode(said)
    assert said == content
    assert (reading.finish_reason, reading.tokens, reading.complete) == (reason, usage, complete)
    assert reading.problem is None


@pytest.mark.parametrize("name", REPLIES)
def test_a_reply_of_every_shape_is_a_result_with_its_tokens(name: str) -> None:
    reply, _, reason, usage, _ = REPLIES[name]
    body = msgspec.json.encode(reply)

    meaning = classify(Answer(200, [], body), now_utc=0.0)

    assert isinstance(meaning, Result)
    assert (meaning.body, meaning.usage, meaning.finish_reason) == (body, usage, reason)


@pytest.mark.parametrize("name", REPLIES)
def test_the_short_way_of_reading_a_chat_says_what_the_general_way_says(name: str) -> None:
    body = msgspec.json.encode(REPLIES[name][0])

    short, general = read_plain_chat(body), read_object(object_of(body))

    assert short is None or short == general


def test_a_plain_chat_takes_the_short_way() -> None:
    assert read_plain_chat(msgspec.json.encode(REPLIES["chat"][0])) is not None


@pytest.mark.parametrize("calls", ["chat, tool calls", "anthropic, tool", "gemini, call", "responses, call", "ollama chat, call"])
def test_calls_of_tools_are_a_text_so_that_a_column_of_contents_has_one_type(calls: str) -> None:
    assert is_text(read_reply(msgspec.json.encode(REPLIES[calls][0])).content)


@pytest.mark.parametrize("at", ["before", "behind"])
def test_an_answer_is_found_among_more_keys_than_are_built(at: str) -> None:
    others = [f'"k{number}": 1' for number in range(MOST_KEYS)]
    choices = '"choices": [{"message": {"content": "Hello"}, "finish_reason": "stop"}]'
    padding = '"pad": "' + "x" * MANY_BYTES + '"'
    body = ("{" + ", ".join([choices, padding, *others] if at == "before" else [*others, padding, choices]) + "}").encode()

    reading = read_reply(body)

    assert len(object_of(body)) == 2
    assert (bytes(reading.content), reading.finish_reason, reading.complete) == (b'"Hello"', "stop", False)


def test_every_key_of_a_shape_is_known_among_many() -> None:
    assert {key for key, _, _ in SHAPES} <= set(KNOWN_KEYS)
    assert {*CODE_KEYS, *MESSAGE_KEYS, *INNER_KEYS, *WAIT_KEYS} <= set(KNOWN_KEYS)
