"""Laws of streams: assembling is the inverse of streaming, a cut is never whole, and how it was written changes nothing."""

from __future__ import annotations

import json
import pickle
import re
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import astuple

from pipeline.core.answers import assemble
from pipeline.core.answers.assemble import FOLD_BYTES, Assembler
from pipeline.core.answers.assemble_chat import ChatStream
from pipeline.core.answers.classify import Trouble, classify
from pipeline.core.answers.streamed import Streamed, Whole
from pipeline.core.answers.streamed_body import StreamedBody, ended, folded
from pipeline.records import Answer
from tests.fakes.streaming import as_lines, as_sse, chat_events, gemini_events, message_events, ollama_events, response_events
from tests.strategies import texts

T = TypeVar("T")

some = texts.map(lambda text: text.encode("utf-8", "replace").decode())
words = some.filter(bool)
names = st.text("abcxyz_", min_size=1, max_size=8)
counts = st.integers(0, 10_000)
inputs = st.dictionaries(names, st.integers(0, 9) | some, max_size=2)

calls = st.lists(
    st.builds(
        lambda at, name, value: {"id": f"call_{at}", "type": "function", "function": {"name": name, "arguments": json.dumps(value)}},
        counts,
        names,
        inputs,
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda call: str(call["id"]),
)
chat_messages = st.fixed_dictionaries(
    {"role": st.just("assistant"), "content": st.none() | some},
    optional={"reasoning_content": words, "refusal": words, "tool_calls": calls},
)


@st.composite
def chats(draw: st.DrawFn) -> dict[str, Any]:
    choices = [
        {"index": index, "message": message, "finish_reason": draw(st.sampled_from(["stop", "length", "tool_calls"]))}
        for index, message in enumerate(draw(st.lists(chat_messages, min_size=1, max_size=3)))
    ]
    answer = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": choices}
    if draw(st.booleans()):
        answer["usage"] = {"prompt_tokens": draw(counts), "completion_tokens": draw(counts)}
    return answer


blocks = st.one_of(
    st.fixed_dictionaries({"type": st.just("text"), "text": some}),
    st.fixed_dictionaries({"type": st.just("thinking"), "thinking": some, "signature": names}),
    st.fixed_dictionaries({"type": st.just("tool_use"), "id": names, "name": names, "input": inputs}),
)
messages = st.fixed_dictionaries(
    {
        "id": st.just("m"),
        "type": st.just("message"),
        "role": st.just("assistant"),
        "content": st.lists(blocks, max_size=4),
        "stop_reason": st.sampled_from(["end_turn", "max_tokens", "tool_use"]),
        "stop_sequence": st.none(),
        "usage": st.fixed_dictionaries({"input_tokens": counts, "output_tokens": counts}),
    }
)


def _gemini_part(draw: st.DrawFn, kind: str) -> dict[str, Any]:
    match kind:
        case "text":
            return {"text": draw(words)}
        case "thought":
            return {"text": draw(words), "thought": True}
        case _:
            return {"functionCall": {"name": draw(names)}}


@st.composite
def geminis(draw: st.DrawFn) -> dict[str, Any]:
    """Neighbouring texts are of different kinds, because a stream cannot tell two from one."""
    candidates = []
    for index in range(draw(st.integers(1, 2))):
        kinds = draw(st.lists(st.sampled_from(["text", "thought", "call"]), min_size=1, max_size=4))
        kinds = [kind for at, kind in enumerate(kinds) if not at or kind != kinds[at - 1]]
        parts = [_gemini_part(draw, kind) for kind in kinds]
        candidates.append({"index": index, "content": {"role": "model", "parts": parts}, "finishReason": "STOP"})
    return {"candidates": candidates, "usageMetadata": {"promptTokenCount": draw(counts)}, "modelVersion": "g"}


responses = st.fixed_dictionaries(
    {
        "id": st.just("r"),
        "object": st.just("response"),
        "status": st.sampled_from(["completed", "incomplete", "failed"]),
        "output": st.lists(st.fixed_dictionaries({"type": st.just("message"), "content": some}), max_size=2),
    }
)
ollamas = st.builds(
    lambda text, thought, count: {
        "model": "l",
        "message": {"role": "assistant", "content": text, **({"thinking": thought} if thought else {})},
        "done": True,
        "eval_count": count,
    },
    some,
    some,
    counts,
)
SHAPES = {
    "chat": (chats(), chat_events),
    "anthropic": (messages, message_events),
    "gemini": (geminis(), gemini_events),
    "responses": (responses, response_events),
    "ollama": (ollamas, ollama_events),
}
WAYS = st.fixed_dictionaries(
    {
        "line_end": st.sampled_from(["\n", "\r\n", "\r"]),
        "space": st.booleans(),
        "names": st.booleans(),
        "done": st.booleans(),
        "mark": st.booleans(),
        "comment": st.sampled_from([None, "", " ping", "data: no"]),
    }
)


def streamed(data: st.DataObject, shape: str) -> tuple[dict[str, Any], bytes, int]:
    """An answer, the bytes of its stream, and how many of them come before its last words."""
    answers, events_of = SHAPES[shape]
    answer = data.draw(answers)
    size = data.draw(st.integers(1, 5))
    events = list(events_of(answer, lambda text: [text[at : at + size] for at in range(0, len(text), size)]))
    ways: dict[str, Any] = {} if shape == "ollama" else data.draw(WAYS)

    def written(some: list[dict[str, Any]], *, done: bool) -> bytes:
        return as_lines(some) if shape == "ollama" else as_sse(some, **{**ways, "done": done and ways["done"]})

    last = max(at for at, event in enumerate(events) if _is_last_word(event))
    return answer, written(events, done=True), len(written(events[:last], done=False))


def _is_last_word(event: dict[str, Any]) -> bool:
    said = json.dumps(event)
    return any(word in said for word in ('"finish_reason": "', '"stop_reason": "', '"finishReason"', '"done": true')) or str(
        event.get("type")
    ) in (
        "response.completed",
        "response.incomplete",
        "response.failed",
    )


def assembled(body: bytes, *, fold: int = 65_536, step: int = 1 << 30) -> Streamed:
    assembler = Assembler(fold)
    for at in range(0, len(body), step):
        assembler.feed(body[at : at + step])
    return assembler.end()


@pytest.mark.parametrize("shape", SHAPES)
@given(data=st.data())
def test_assembling_is_the_inverse_of_streaming(shape: str, data: st.DataObject) -> None:
    answer, body, _ = streamed(data, shape)

    whole = assembled(body, fold=data.draw(st.sampled_from([1, 40, 300, 65_536])), step=data.draw(st.sampled_from([1, 3, 50, 1 << 20])))

    assert isinstance(whole, Whole), whole
    assert json.loads(whole.body) == answer


@pytest.mark.parametrize("shape", SHAPES)
@given(data=st.data())
def test_a_stream_that_is_cut_before_its_last_words_is_never_whole(shape: str, data: st.DataObject) -> None:
    _, body, last = streamed(data, shape)

    cut = data.draw(st.integers(0, last))

    assert not isinstance(assembled(body[:cut]), Whole)


@pytest.mark.parametrize("url", ["/v1/chat/completions", "/somewhere/else"])
@pytest.mark.parametrize("shape", SHAPES)
@given(data=st.data())
def test_a_stream_that_is_cut_before_its_last_words_is_no_result_of_a_row(shape: str, url: str, data: st.DataObject) -> None:
    _, body, last = streamed(data, shape)

    cut = data.draw(st.integers(0, last))

    assert isinstance(classify(Answer(200, [], body[:cut]), now_utc=0.0, url=url), Trouble)


@pytest.mark.parametrize("shape", SHAPES)
@given(data=st.data())
def test_events_are_decoded_in_groups_as_they_are_at_once(shape: str, data: st.DataObject) -> None:
    _, body, _ = streamed(data, shape)
    at = data.draw(st.sampled_from([0, *(place.end() for place in re.finditer(rb"\n\n", body))]))
    odd = data.draw(st.sampled_from([b"", b'data: {"x": "\xff"}\n\n', b"data: {odd}\n\n", b"data: [" + b"[" * 3000 + b"\n\n"]))
    body = body[:at] + odd + body[at:]
    at_once = assembled(body, fold=1 << 30)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assemble, "FOLD_BYTES", 30)
        in_groups = assembled(body, fold=1 << 30)

    assert in_groups == at_once


def test_no_call_decodes_more_than_a_group() -> None:
    groups: list[int] = []

    class Counting(ChatStream):
        def take(self, events: list[bytes]) -> None:
            groups.append(sum(map(len, events)))
            super().take(events)

    event = b'{"choices": [{"index": 0, "delta": {"content": "x"}}]}'
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assemble, "dialect_of", lambda first: Counting())
        assembled(b"data: %b\n\n" % event * 10_000, fold=1 << 30)

    assert max(groups) < FOLD_BYTES + len(event)
    assert sum(groups) == 10_000 * len(event)


@pytest.mark.parametrize("shape", SHAPES)
@given(data=st.data())
def test_a_stream_that_is_folded_in_another_process_comes_to_the_same(shape: str, data: st.DataObject) -> None:
    _, body, last = streamed(data, shape)
    body = body[: data.draw(st.sampled_from([len(body), last]))]
    here, apart = StreamedBody(0.0), StreamedBody(0.0)
    step = data.draw(st.sampled_from([20, 300, 1 << 20]))

    for at in range(0, len(body), step):
        for stream in (here, apart):
            stream.take(body[at : at + step], at + 1.0)
        if data.draw(st.booleans()):
            here.fold()
            apart.adopt(_sent_back(folded(_sent_back(apart))))
    copy, content = _sent_back(ended(_sent_back(apart)))
    apart.adopt(copy)

    assert content == here.end()
    assert astuple(apart.arrival) == astuple(here.arrival)


def _sent_back(value: T) -> T:
    """A value as another process gets it."""
    back: T = pickle.loads(pickle.dumps(value))
    return back


@given(junk=st.binary(max_size=300), fold=st.sampled_from([1, 50, 65_536]))
def test_no_bytes_make_assembling_raise(junk: bytes, fold: int) -> None:
    for body in (junk, b"data: " + junk, b'data: {"choices": [' + junk + b"]}\n\n", b'{"done": false}\n' + junk, b"[" + junk):
        assembled(body, fold=fold)


_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["index", "delta", "id", "x"]), inner, max_size=3),
    max_leaves=6,
)
_keys = st.sampled_from(
    [
        *("type", "choices", "candidates", "usage", "delta", "message", "index", "content_block", "response", "item", "done", "error"),
        *("object", "token", "id"),
    ]
)
_kinds = st.sampled_from(["message_start", "content_block_delta", "response.completed", "message-end", "chat.completion.chunk"])
_parts = st.fixed_dictionaries({}, optional=dict.fromkeys(("index", "delta", "message", "content", "error"), _values))
_odd_events = st.dictionaries(_keys, _values | _kinds | st.lists(_parts, max_size=2), max_size=5)


@given(events=st.lists(_odd_events, max_size=5))
def test_no_event_makes_assembling_raise(events: list[dict[str, Any]]) -> None:
    assembled(as_lines(events))
    assembled(as_sse(events, line_end="\n", space=True, names=False, done=True, mark=False, comment=None))
    assembled(json.dumps(events).encode())
