"""The request for another answer: what is put behind the prompt, what stays, and how the length grows."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pipeline.core.answers.ask_again import MAX_ANSWER, with_feedback, with_longer_answer

SAID = "Your answer cannot be used: too long\nAnswer again, and give only the answer."


def encode(value: Any) -> bytes:
    return msgspec.json.encode(value)


@pytest.mark.parametrize(
    "body, key, value",
    [
        (
            {"messages": [{"role": "user", "content": "q"}]},
            "messages",
            [{"role": "user", "content": "q"}, {"role": "assistant", "content": "bad"}, {"role": "user", "content": SAID}],
        ),
        (
            {"contents": [{"parts": [{"text": "q"}]}]},
            "contents",
            [{"parts": [{"text": "q"}]}, {"role": "model", "parts": [{"text": "bad"}]}, {"role": "user", "parts": [{"text": SAID}]}],
        ),
        (
            {"input": "q"},
            "input",
            [{"role": "user", "content": "q"}, {"role": "assistant", "content": "bad"}, {"role": "user", "content": SAID}],
        ),
        (
            {"input": [{"role": "user", "content": "q"}]},
            "input",
            [{"role": "user", "content": "q"}, {"role": "assistant", "content": "bad"}, {"role": "user", "content": SAID}],
        ),
        ({"prompt": "q"}, "prompt", f"q\n\nbad\n\n{SAID}\n\n"),
        (
            {"messages": [{"role": "user", "content": [{"text": "q"}]}]},
            "messages",
            [
                {"role": "user", "content": [{"text": "q"}]},
                {"role": "assistant", "content": [{"text": "bad"}]},
                {"role": "user", "content": [{"text": SAID}]},
            ],
        ),
        (
            {"input": {"messages": [{"role": "user", "content": "q"}]}},
            "input",
            {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "bad"}, {"role": "user", "content": SAID}]},
        ),
    ],
)
def test_the_bad_answer_and_the_reason_stand_behind_the_prompt(body: dict[str, Any], key: str, value: Any) -> None:
    again = with_feedback(encode({"model": "m", **body, "temperature": 0.0}), "bad", "too long")

    assert again is not None
    assert msgspec.json.decode(again) == {"model": "m", **body, key: value, "temperature": 0.0}


@pytest.mark.parametrize("body", [b"{}", b"[]", b"x", b'{"messages":3}', b'{"prompt":["a","b"]}', b'{"text":"q"}'])
def test_a_request_without_a_known_place_is_not_touched(body: bytes) -> None:
    assert with_feedback(body, "bad", "too long") is None


def test_feedback_is_made_from_the_first_request_so_that_it_cannot_pile_up() -> None:
    body = encode({"messages": [{"role": "user", "content": "q"}]})

    first, second = (with_feedback(body, "x" * 20_000, "r" * 300) for _ in range(2))

    assert first == second
    assert first is not None
    assert len(first) < len(body) + MAX_ANSWER + 1_000


def test_what_is_not_touched_stays_as_its_bytes_were() -> None:
    again = with_feedback(b'{"a": 1e2, "messages":[ {"role":"user"} ], "b": "\\u00e9"}', "bad", "no")

    assert again is not None
    assert b'"a":1e2' in again
    assert b'"b":"\\u00e9"' in again


@pytest.mark.parametrize(
    "body, grown",
    [
        ({"max_tokens": 100}, {"max_tokens": 200}),
        ({"max_completion_tokens": 600}, {"max_completion_tokens": 1000}),
        ({"inferenceConfig": {"maxTokens": 100}}, {"inferenceConfig": {"maxTokens": 200}}),
        ({"parameters": {"max_new_tokens": 100, "top_p": 0.5}}, {"parameters": {"max_new_tokens": 200, "top_p": 0.5}}),
        ({"max_output_tokens": 1}, {"max_output_tokens": 2}),
        ({"generationConfig": {"maxOutputTokens": 50, "topK": 1}}, {"generationConfig": {"maxOutputTokens": 100, "topK": 1}}),
        ({"options": {"num_predict": 5}}, {"options": {"num_predict": 10}}),
        ({"max_tokens": 1000}, None),
        ({"max_tokens": 2000}, None),
        ({"max_tokens": True}, None),
        ({"max_tokens": -1}, None),
        ({"options": [1]}, None),
        ({}, None),
    ],
)
def test_the_length_doubles_up_to_its_bound(body: dict[str, Any], grown: dict[str, Any] | None) -> None:
    again = with_longer_answer(encode({"model": "m", **body}), 1000)

    assert (None if again is None else msgspec.json.decode(again)) == (None if grown is None else {"model": "m", **grown})
