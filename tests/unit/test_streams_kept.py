"""What is left of a stream that broke off, in any dialect: all that came, and why that is no answer; or the error that it told."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.core.answers.assemble import Assembler, assemble
from pipeline.core.answers.streamed import Cut, Refused, Whole
from tests.fakes.odd_streams import lines
from tests.unit.test_assemble_native import START, sse

if TYPE_CHECKING:
    from collections.abc import Callable


def chunk(**delta: Any) -> dict[str, Any]:
    return {"id": "c", "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": delta}]}


def token(text: str) -> dict[str, Any]:
    return {"token": {"id": 1, "text": text}, "generated_text": None}


def anthropic(delta: dict[str, Any]) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": 0, "delta": delta}


def cohere(kind: str, **delta: Any) -> dict[str, Any]:
    return {"type": kind, "index": 0, "delta": delta}


HELLO = ("Hel", "lo ", "there")
COHERE_START = {"type": "message-start", "id": "c", "delta": {"message": {"role": "assistant", "content": []}}}
BROKEN: dict[str, tuple[bytes, str]] = {
    "chat": (sse(*(chunk(content=text) for text in HELLO)), "choice 0 has no finish_reason"),
    "anthropic": (
        sse(START, *(anthropic({"type": "text_delta", "text": text}) for text in HELLO)),
        "the message has no stop_reason",
    ),
    "gemini": (
        sse(*({"candidates": [{"content": {"role": "model", "parts": [{"text": text}]}}]} for text in HELLO)),
        "a candidate has no finishReason",
    ),
    "responses": (
        sse(
            {"type": "response.created", "response": {"id": "r", "status": "in_progress", "output": []}},
            *({"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": text} for text in HELLO),
        ),
        "no response.completed came",
    ),
    "ollama": (
        lines(*({"model": "l", "message": {"role": "assistant", "content": text}, "done": False} for text in HELLO)),
        'no object with "done" came that is the last',
    ),
    "llama.cpp": (sse(*({"content": text, "stop": False} for text in HELLO)), 'no object with "stop" came that is the last'),
    "tgi": (sse(*map(token, HELLO)), "no generated_text came"),
    "cohere": (
        sse(COHERE_START, *(cohere("content-delta", message={"content": {"type": "text", "text": text}}) for text in HELLO)),
        "the message has no finish_reason",
    ),
    "first cohere": (sse(*({"event_type": "text-generation", "text": text} for text in HELLO)), "no stream-end came"),
    "dashscope": (
        sse(*({"output": {"text": text, "finish_reason": "null"}, "request_id": "r"} for text in HELLO)),
        "an output has no finish_reason",
    ),
    "transcription": (sse(*({"type": "transcript.text.delta", "delta": text} for text in HELLO)), "no transcript.text.done came"),
}


@pytest.mark.parametrize("dialect", BROKEN)
def test_a_stream_that_breaks_off_keeps_what_came_and_says_what_is_missing(dialect: str) -> None:
    body, reason = BROKEN[dialect]

    cut = assemble(body)

    assert isinstance(cut, Cut)
    assert cut.reason == reason
    assert b'"Hello there"' in (cut.body or b"")


REFUSED: dict[str, tuple[bytes, dict[str, Any]]] = {
    "cohere, at the end": (sse(COHERE_START, cohere("message-end", error="overloaded")), {"error": "overloaded"}),
    "cohere, at the top": (
        sse(COHERE_START, {"type": "message-end", "error": {"message": "no"}}, cohere("message-end", error="later")),
        {"error": {"message": "no"}},
    ),
    "anthropic": (
        sse(START, {"type": "error", "error": {"message": "first"}}, {"type": "error", "error": {"message": "later"}}),
        {"type": "error", "error": {"message": "first"}},
    ),
    "tgi": (
        sse(token("Hel"), {"error": "out of memory", "error_type": "generation"}),
        {"error": "out of memory", "error_type": "generation"},
    ),
    "dashscope": (
        sse({"output": {"text": "Hel", "finish_reason": "null"}}, {"code": "Throttling", "message": "slow", "request_id": "r"}),
        {"error": {"code": "Throttling", "message": "slow", "request_id": "r"}},
    ),
}


@pytest.mark.parametrize("dialect", REFUSED)
def test_the_first_error_of_a_stream_is_told_as_it_came(dialect: str) -> None:
    body, error = REFUSED[dialect]

    refused = assemble(body)

    assert isinstance(refused, Refused)
    assert json.loads(refused.body) == error


def test_all_citations_of_a_block_are_kept_in_their_order() -> None:
    cited = [anthropic({"type": "citations_delta", "citation": {"url": url}}) for url in ("a", "b", "c")]
    cut = assemble(sse(START, anthropic({"type": "text_delta", "text": "Hi"}), *cited))

    assert isinstance(cut, Cut)
    assert json.loads(cut.body or b"")["content"][0]["citations"] == [{"url": "a"}, {"url": "b"}, {"url": "c"}]


def test_a_call_that_says_its_id_in_every_piece_is_one_call() -> None:
    pieces = [
        {"id": "t", "type": "function", "function": {"name": "f", "arguments": '{"a'}},
        {"id": "t", "function": {"arguments": '": 1}'}},
        {"id": "u", "function": {"name": "g", "arguments": "{}"}},
    ]
    end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}

    whole = assemble(sse(*(chunk(tool_calls=[piece]) for piece in pieces), end))

    assert isinstance(whole, Whole)
    calls = json.loads(whole.body)["choices"][0]["message"]["tool_calls"]
    assert [(call["id"], call["function"]["name"], call["function"]["arguments"]) for call in calls] == [
        ("t", "f", '{"a": 1}'),
        ("u", "g", "{}"),
    ]


@pytest.mark.parametrize("fold", [1, 65_536])
@pytest.mark.parametrize(
    "odd, reason",
    [(b"{broken", "an event is not JSON"), (b'{"choices": [7]', "an event is not JSON")],
)
def test_a_stream_with_an_event_that_cannot_be_read_is_no_answer_whatever_the_blocks(odd: bytes, reason: str, fold: int) -> None:
    assembler = Assembler(fold)
    end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    for part in (sse(chunk(content="Hel")), b"data: " + odd + b"\n\n", sse(chunk(content="lo"), end)):
        assembler.feed(part)

    cut = assembler.end()

    assert isinstance(cut, Cut)
    assert cut.reason == reason
    assert b'"Hello"' in (cut.body or b"")


GROWING: dict[str, tuple[tuple[dict[str, Any], ...], Callable[[str], dict[str, Any]]]] = {
    "chat": ((), lambda text: chunk(content=text)),
    "chat, key by key": ((), lambda text: {**chunk(content=text), "odd": {"deep": [text[:1]]}}),
    "anthropic": ((START,), lambda text: anthropic({"type": "text_delta", "text": text})),
    "anthropic, citations": ((START,), lambda text: anthropic({"type": "citations_delta", "citation": {"text": text}})),
    "responses": (
        ({"type": "response.created", "response": {"id": "r", "output": []}},),
        lambda text: {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": text},
    ),
}


@pytest.mark.parametrize("dialect", GROWING)
def test_what_is_held_in_memory_is_counted_while_it_grows(dialect: str) -> None:
    start, event = GROWING[dialect]
    assembler = Assembler(1)
    assembler.feed(sse(*start))

    for number in range(1, 51):
        assembler.feed(sse(event("x" * 1000)))
        assert number * 1000 <= assembler.held <= number * 4000 + 2000


@pytest.mark.parametrize("fold", [1, 65_536])
def test_what_comes_late_in_a_chat_is_taken_as_well(fold: int) -> None:
    end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    events = [chunk(), chunk(role="model"), chunk(reasoning="h"), chunk(reasoning="m"), chunk(content="Hi"), end]
    beside = [{"provider": "A", "meta": {"a": 1}}, {"provider": "B", "meta": {"b": 2}}]
    assembler = Assembler(fold)
    assembler.feed(sse(*({**event, **more} for event, more in zip(events, [{}, *beside, {}, {}, {}], strict=True))))

    whole = assembler.end()

    assert isinstance(whole, Whole)
    answer = json.loads(whole.body)
    assert answer["choices"][0]["message"] == {"role": "model", "content": "Hi", "reasoning": "hm"}
    assert (answer["provider"], answer["meta"]) == ("A", {"a": 1, "b": 2})


def test_who_speaks_is_the_assistant_where_nobody_says_so() -> None:
    whole = assemble(sse(chunk(content="Hi"), {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}))

    assert isinstance(whole, Whole)
    assert json.loads(whole.body)["choices"][0]["message"] == {"role": "assistant", "content": "Hi"}


def test_a_stream_without_a_choice_says_so() -> None:
    empty = {"id": "c", "object": "chat.completion.chunk", "choices": []}

    cut = assemble(sse(empty, empty))

    assert isinstance(cut, Cut)
    assert cut.reason == "no choice came"


@pytest.mark.parametrize("fold", [1, 65_536])
def test_elements_of_a_list_go_on_where_their_index_is(fold: int) -> None:
    end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    told = [(0, "r0 "), (1, "r1 "), (0, "more"), (1, "again")]
    events = [chunk(reasoning_details=[{"type": "reasoning.text", "index": at, "text": text}]) for at, text in told]
    assembler = Assembler(fold)
    assembler.feed(sse(*events, chunk(content="Hi"), end))

    whole = assembler.end()

    assert isinstance(whole, Whole)
    details = json.loads(whole.body)["choices"][0]["message"]["reasoning_details"]
    assert [(each["index"], each["text"]) for each in details] == [(0, "r0 more"), (1, "r1 again")]
