"""Streamed chat completions of every dialect, with the faults that users of other clients have reported."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline.core.answers.assemble import Assembler, assemble
from pipeline.core.answers.streamed import Cut, Refused, Whole

DONE = "data: [DONE]\n\n"


def event(value: Any) -> str:
    return f"data: {json.dumps(value)}\n\n"


def chunk(delta: Any = None, finish: str | None = None, index: int = 0, **more: Any) -> str:
    choice: dict[str, Any] = {"index": index, "delta": {} if delta is None else delta, "finish_reason": finish}
    return event({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice], **more})


def usage(**counts: int) -> str:
    return event({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [], "usage": counts})


def call(arguments: str | None = None, **fields: Any) -> dict[str, Any]:
    function = {key: fields.pop(key) for key in ("name",) if key in fields}
    if arguments is not None:
        function["arguments"] = arguments
    return {"tool_calls": [{**fields, "function": function}]}


ROLE = chunk({"role": "assistant", "content": ""})
STOP = chunk({}, "stop")
CALLS_END = chunk({}, "tool_calls")


def message(body: bytes) -> dict[str, Any]:
    whole = assemble(body)
    assert isinstance(whole, Whole), whole
    said: dict[str, Any] = json.loads(whole.body)["choices"][0]["message"]
    return said


def arguments(body: str) -> list[tuple[str | None, str | None, str | None]]:
    calls = message(body.encode())["tool_calls"]
    assert all("index" not in one for one in calls)
    return [(one.get("id"), one["function"].get("name"), one["function"].get("arguments")) for one in calls]


PLAIN = ROLE + chunk({"content": "Hel"}) + chunk({"content": "lo"}) + STOP
GOOD: dict[str, str] = {
    "plain": PLAIN + DONE,
    "without [DONE]": PLAIN,
    "without the last blank line": (PLAIN + DONE).rstrip("\n"),
    "usage in a chunk of its own": PLAIN + usage(prompt_tokens=1, completion_tokens=2) + DONE,
    "choices null": ROLE + chunk({"content": "Hello"}) + STOP + event({"id": "c", "choices": None, "usage": {"prompt_tokens": 1}}) + DONE,
    "Azure's first chunk": event({"id": "", "object": "", "choices": [], "prompt_filter_results": [{"prompt_index": 0}]}) + PLAIN + DONE,
    "Azure's chunk without a delta": ROLE
    + chunk({"content": "Hello"})
    + event({"id": "c", "choices": [{"index": 0, "finish_reason": None, "content_filter_offsets": {"check_offset": 1}}]})
    + STOP
    + DONE,
    "the role said in every delta": "".join(chunk({"role": "assistant", "content": text}) for text in ("He", "llo")) + STOP + DONE,
    "an empty finish_reason before the end": ROLE + chunk({"content": "Hello"}, "") + STOP + DONE,
    "an empty data frame": ROLE + "data:\n\n" + chunk({"content": "Hello"}) + "data: \n\n" + STOP + DONE,
    "comments and pings": ": OPENROUTER PROCESSING\n\n" * 3
    + ROLE
    + ": ping\n\n"
    + chunk({"content": "Hello"})
    + 'event: ping\ndata: {"type": "ping"}\n\n'
    + STOP
    + DONE,
    "unknown keys": ROLE + chunk({"content": "Hel"}, odd=1) + chunk({"content": "lo", "odd": [1]}) + STOP + DONE,
    "the whole message again at the end": ROLE
    + chunk({"content": "Hel"})
    + event({"id": "c", "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}]}),
    "content split over two lines of data": PLAIN.replace('"choices"', '\ndata: "choices"') + DONE,
}


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("step", [1, 7, 100_000])
@pytest.mark.parametrize("fold", [1, 300, 65_536])
def test_a_whole_stream_becomes_the_answer_however_it_is_cut_and_written(name: str, line_end: str, step: int, fold: int) -> None:
    body = GOOD[name].replace("\n", line_end).encode()
    assembler = Assembler(fold)

    for at in range(0, len(body), step):
        assembler.feed(body[at : at + step])
    whole = assembler.end()

    assert isinstance(whole, Whole), whole
    choice = json.loads(whole.body)["choices"][0]
    assert (choice["message"]["role"], choice["message"]["content"], choice["finish_reason"]) == ("assistant", "Hello", "stop")


@pytest.mark.parametrize(
    "change",
    [lambda b: b"\xef\xbb\xbf" + b, lambda b: b.replace(b"data: ", b"data:"), lambda b: b"id: 1\nretry: 5\n" + b],
    ids=["mark", "space", "fields"],
)
def test_a_mark_a_missing_space_and_other_fields_change_nothing(change: Any) -> None:
    assert message(change(GOOD["plain"].encode()))["content"] == "Hello"


def test_the_object_is_that_of_an_answer_without_a_stream() -> None:
    whole = assemble(
        (ROLE + chunk({"content": "hi"}, service_tier="default") + STOP + usage(prompt_tokens=1, completion_tokens=2)).encode()
    )

    assert isinstance(whole, Whole)
    assert json.loads(whole.body) == {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "service_tier": "default",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2},
    }


@pytest.mark.parametrize(
    "body, calls",
    [
        (chunk(call("", index=0, id="a", name="f")) + chunk(call('{"x"', index=0)) + chunk(call(":1}", index=0)), [("a", "f", '{"x":1}')]),
        (chunk(call("{}", index=0, id="a", name="f")) + chunk(call("{}", index=0, id="b", name="g")), [("a", "f", "{}"), ("b", "g", "{}")]),
        (chunk(call("{", id="a", name="f")) + chunk(call("}")) + chunk(call("{}", id="b", name="g")), [("a", "f", "{}"), ("b", "g", "{}")]),
        (chunk(call("{", index=0, id="a", name="f")) + chunk(call("}", index=0, id="a", name="f")), [("a", "f", "{}")]),
        (chunk(call("{", index="0", id="a", name="f")) + chunk(call("}", index="0")), [("a", "f", "{}")]),
        (
            chunk(call("[", index=1, id="b", name="g"))
            + chunk(call("{", index=0, id="a", name="f"))
            + chunk(call("]", index=1))
            + chunk(call("}", index=0)),
            [("a", "f", "{}"), ("b", "g", "[]")],
        ),
        (
            chunk(
                {
                    "tool_calls": [
                        {"index": 0, "id": "a", "function": {"name": "f", "arguments": ""}},
                        {"index": 0, "function": {"arguments": "{}"}},
                    ]
                }
            ),
            [("a", "f", "{}")],
        ),
    ],
)
def test_calls_of_tools_are_neither_glued_nor_lost(body: str, calls: list[tuple[str, str, str]]) -> None:
    assert arguments(ROLE + body + CALLS_END + DONE) == calls


def test_choices_come_in_the_order_of_their_index() -> None:
    whole = assemble((chunk({"content": "b"}, index=1) + chunk({"content": "a"}) + chunk({}, "stop", 1) + STOP).encode())

    assert isinstance(whole, Whole)
    assert [choice["message"]["content"] for choice in json.loads(whole.body)["choices"]] == ["a", "b"]


def test_reasoning_refusals_audio_and_log_probabilities_are_joined() -> None:
    body = (
        chunk({"role": "assistant", "reasoning_content": "th", "refusal": None})
        + chunk({"reasoning_content": "ink", "refusal": "n"})
        + chunk({"refusal": "o", "audio": {"id": "a", "data": "AA", "transcript": "h"}})
        + chunk({"audio": {"data": "BB", "transcript": "i"}})
        + event({"choices": [{"index": 0, "delta": {}, "logprobs": {"content": [{"token": "a"}], "refusal": None}}]})
        + event({"choices": [{"index": 0, "delta": {}, "logprobs": {"content": [{"token": "b"}]}, "finish_reason": "stop"}]})
    )

    whole = assemble(body.encode())

    assert isinstance(whole, Whole)
    choice = json.loads(whole.body)["choices"][0]
    assert choice["message"] == {
        "role": "assistant",
        "content": None,
        "reasoning_content": "think",
        "refusal": "no",
        "audio": {"id": "a", "data": "AABB", "transcript": "hi"},
    }
    assert choice["logprobs"]["content"] == [{"token": "a"}, {"token": "b"}]


def test_parts_of_content_are_joined_and_followed_by_text() -> None:
    body = (
        chunk({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "h"}]}]})
        + chunk({"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "m"}]}]})
        + chunk({"content": "so"})
        + chunk({"content": "!"})
        + STOP
    )

    assert message(body.encode())["content"] == [
        {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
        {"type": "text", "text": "so!"},
    ]


def test_the_last_usage_that_says_something_counts() -> None:
    body = chunk({"content": "a"}, usage={"prompt_tokens": 5, "completion_tokens": 1}) + chunk(
        {}, "stop", usage={"prompt_tokens": 5, "completion_tokens": 2}
    )

    whole = assemble((body + event({"choices": [], "usage": None})).encode())

    assert isinstance(whole, Whole)
    assert json.loads(whole.body)["usage"] == {"prompt_tokens": 5, "completion_tokens": 2}


def test_usage_is_found_where_groq_has_it() -> None:
    whole = assemble((ROLE + chunk({}, "stop", x_groq={"id": "r", "usage": {"prompt_tokens": 5}})).encode())

    assert isinstance(whole, Whole)
    assert json.loads(whole.body)["usage"] == {"prompt_tokens": 5}


def test_a_plain_completion_is_joined() -> None:
    pieces = [
        {"id": "c", "object": "text_completion", "choices": [{"index": 0, "text": text, "finish_reason": end}]}
        for text, end in (("a", None), ("b", "stop"))
    ]

    whole = assemble("".join(map(event, pieces)).encode())

    assert isinstance(whole, Whole)
    assert json.loads(whole.body) == {
        "id": "c",
        "object": "text_completion",
        "choices": [{"index": 0, "text": "ab", "finish_reason": "stop"}],
    }


@pytest.mark.parametrize(
    "body",
    [
        "",
        DONE,
        ": ping\n\n" * 5,
        ROLE,
        ROLE + chunk({"content": "Hel"}),
        ROLE + chunk({"content": "Hel"}) + DONE,
        ROLE + chunk({"content": "Hel"}) + 'data: {"id": "c", "cho',
        PLAIN[:-30],
        ROLE + chunk({"content": "Hel"}) + 'data: {"id": "c", "cho\n\n' + chunk({"content": "lo"}) + STOP,
        chunk({"content": "a"}, "stop") + chunk({"content": "b"}, index=1) + DONE,
        event({"id": "c", "choices": [], "usage": {"prompt_tokens": 1}}) + DONE,
    ],
)
def test_done_proves_nothing_and_a_cut_stream_is_no_answer(body: str) -> None:
    assert isinstance(assemble(body.encode()), Cut)


ERROR = {"message": "CUDA out of memory", "type": "InternalServerError", "code": 500}


@pytest.mark.parametrize(
    "body",
    [
        event({"error": ERROR}),
        ROLE + event({"error": ERROR}) + DONE,
        PLAIN + event({"error": ERROR}) + DONE,
        ROLE + event({"object": "error", **ERROR}) + DONE,
        ROLE + f"error: {json.dumps(ERROR)}\n\n" + DONE,
        ROLE + f"event: error\ndata: {json.dumps(ERROR)}\n\n" + DONE,
        ROLE + event({"id": "c", "error": ERROR, "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}]}),
        ROLE + event({"id": "c", "choices": [{"index": 0, "delta": {}, "error": ERROR, "finish_reason": "error"}]}),
    ],
)
@pytest.mark.parametrize("fold", [1, 65_536])
def test_an_error_in_any_place_and_under_any_name_is_an_error(body: str, fold: int) -> None:
    assembler = Assembler(fold)
    assembler.feed(body.encode())

    refused = assembler.end()

    assert isinstance(refused, Refused)
    assert "CUDA out of memory" in refused.body.decode()


def test_groqs_reason_for_stopping_early_is_an_error() -> None:
    assert isinstance(assemble((ROLE + chunk({}, x_groq={"error": "over capacity"}) + DONE).encode()), Refused)


def test_a_character_that_is_split_over_pieces_is_whole() -> None:
    last = {"choices": [{"index": 0, "delta": {"content": "日本語😀"}, "finish_reason": "stop"}]}
    body = (ROLE + f"data: {json.dumps(last, ensure_ascii=False)}\n\n").encode()
    assembler = Assembler(1)

    for at in range(len(body)):
        assembler.feed(body[at : at + 1])
    whole = assembler.end()

    assert isinstance(whole, Whole)
    assert json.loads(whole.body)["choices"][0]["message"]["content"] == "日本語😀"


@pytest.mark.parametrize("fold", [1, 65_536])
def test_an_odd_value_in_an_event_costs_only_itself(fold: int) -> None:
    odd = 'data: {"id": "c", "choices": [{"index": 0, "delta": {"content": "lo"}, "logprobs": {"content": [{"logprob": -Infinity}]}}]}\n\n'
    assembler = Assembler(fold)

    assembler.feed((ROLE + chunk({"content": "Hel"}) + odd + STOP).encode())
    whole = assembler.end()

    assert isinstance(whole, Whole)
    assert json.loads(whole.body)["choices"][0]["message"]["content"] == "Hello"
