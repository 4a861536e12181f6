"""What can be read of a body is read; around an odd value everything stays as it came."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from pipeline.core.answers import mend
from pipeline.core.answers.classify import Result, classify
from pipeline.core.answers.mend import json_text
from pipeline.records import Answer
from tests.strategies import json_values

WHOLE = {"choices": [{"message": {"content": "fine"}, "finish_reason": "stop"}]}
TEXT = json.dumps(WHOLE)
ODD_NUMBERS = [math.nan, math.inf, -math.inf]


@pytest.mark.parametrize(
    "body",
    [
        "\n         \n" * 400 + TEXT,
        ": OPENROUTER PROCESSING\n\n: OPENROUTER PROCESSING\n\n" + TEXT,
        ": keep-alive\r\n\r\n" + TEXT,
        TEXT + "\n\ndata: [DONE]\n\n",
        ": hello\n\n" + TEXT + "\n\ndata: [DONE]",
        f"data: {TEXT}\n\n",
        f"data:{TEXT}\n\ndata: [DONE]\n\n",
        f": hello\n\nevent: answer\nid: 1\ndata: {TEXT}\n\n",
        "\ufeff" + TEXT,
        TEXT + "\r\n",
    ],
)
def test_what_stands_around_the_json_is_taken_off(body: str) -> None:
    meaning = classify(Answer(200, [], body.encode()), now_utc=0.0)

    assert isinstance(meaning, Result)
    assert meaning.body == TEXT.encode()


@pytest.mark.parametrize(
    "inside, mended",
    [
        (b'{"a": -Infinity, "b": [NaN, Infinity], "c": "NaN"}', {"a": None, "b": [None, None], "c": "NaN"}),
        (rb'{"a": "half \ud83d", "b": "whole \ud83d\ude00", "c": "\ude00"}', {"a": "half \ufffd", "b": "whole \U0001f600", "c": "\ufffd"}),
        (rb'{"a": "no escape: \\ud83d", "b": "\ud83d"}', {"a": r"no escape: \ud83d", "b": "\ufffd"}),
        (b'{"a": "tab \t nul \x00 line \n end"}', {"a": "tab \t nul \x00 line \n end"}),
        (b'{"a": "caf\xe9"}', {"a": "caf\ufffd"}),
        (b'{"a": "\\"quoted\\\\", "b": NaN}', {"a": '"quoted\\', "b": None}),
    ],
)
def test_an_odd_value_costs_only_itself(inside: bytes, mended: Any) -> None:
    assert json.loads(json_text(inside) or b"") == mended


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"data: nothing\n\n",
        b'{"a": 1} {"b": 2}',
        b'{"a": 1',
        b'{"a": tru}',
        rb'{"a": "\q"}',
        b": only comments\n\n",
        b"data: [DONE]\n\n",
        b'data: {"a": 1}\n\ndata: {"b": 2}\n\n',
    ],
)
def test_what_is_not_one_json_text_stays_unreadable(body: bytes) -> None:
    assert json_text(body) is None


@pytest.mark.parametrize("text", [b'"{"', b'"[1, "', b'" [see above] "', b'"{{}"'])
def test_text_that_only_looks_like_json_stays_a_text(text: bytes) -> None:
    assert json_text(text) == text


@given(value=json_values)
def test_good_json_is_passed_on_byte_for_byte(value: Any) -> None:
    assume(not (isinstance(value, str) and value.lstrip().startswith(("{", "["))))  # it may hold JSON that was encoded twice
    text = json.dumps(value).encode()

    assert json_text(text) == text
    assert json.loads(json_text(json.dumps(value, indent=2).encode()) or b"") == value


@given(junk=st.binary(max_size=200))
def test_no_body_makes_reading_raise(junk: bytes) -> None:
    for body in (junk, b"{" + junk, b"data:" + junk, b'{"a": "' + junk + b'"}'):
        text = json_text(body)
        if text is not None:
            json.loads(text)
            assert b"\n" not in text


@given(value=json_values | st.lists(st.sampled_from(ODD_NUMBERS) | st.floats() | st.integers() | st.text(max_size=3), max_size=30))
@example(value=[-1, *[math.nan] * 300, -math.inf, -2, "NaN"] * 30)
def test_what_pythons_json_writes_for_no_number_becomes_null_however_often(value: Any) -> None:
    assume(not (isinstance(value, str) and value.lstrip().startswith(("{", "["))))
    body = json.dumps(value)

    text = json_text(body.encode())

    assert json.loads(text or b"") == json.loads(body, parse_constant=lambda _: None)


@pytest.mark.parametrize("text", ["NaN,", "NaN, -Infinity,\n", "[[Infinity], NaN],"])
def test_many_odd_values_side_by_side_are_mended_at_once(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    added = 0

    class Counting(mend._Pieces):
        def add(self, piece: bytes) -> None:
            nonlocal added
            added += 1
            super().add(piece)

    monkeypatch.setattr(mend, "_Pieces", Counting)
    body = f"[{text * 20_000}NaN]".encode()

    assert json_text(body) is not None
    assert added < len(body) / 20


def test_a_body_that_cannot_become_json_is_not_mended_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mend._Pieces, "add", lambda *_: pytest.fail("a letter stands where no letter can stand"))

    assert json_text(b"[" + b"N" * 100_000) is None


@pytest.mark.parametrize(
    "body",
    [b'{"a": "' + b"\\" * 100_000, b"{" + b'"a' * 100_001, b'{"a":' + b"N" * 300_000, b"{" + b"-" * 300_000, b'{"a": ' + b'"' * 200_001],
    ids=["backslashes", "quotes", "letters", "signs", "marks"],
)
def test_no_body_takes_longer_to_mend_than_its_length_allows(body: bytes) -> None:
    assert json_text(body) is None
