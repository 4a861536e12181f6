"""An integer without end in an answer does not make its line unreadable."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.answers.classify import Result, classify
from pipeline.core.answers.endless import MOST_DIGITS, without_endless_integers
from pipeline.core.output.flat_lines import encode_flat
from pipeline.core.output.lines import encode_batch
from pipeline.records import Answer, Success

LONG = b"7" * 100_000


def test_line_of_an_answer_with_100_000_digits_can_be_loaded_and_keeps_them() -> None:
    body = b'{"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}], "seed": %s, "n": [-%s]}' % (LONG, LONG)

    result = classify(Answer(200, [], body), now_utc=0.0)

    assert isinstance(result, Result)
    success = Success(0, "a", 200, None, result.body, result.usage, 1, 0.1)
    for encode in (encode_batch, encode_flat):
        line = json.loads(encode(success))
        assert line["custom_id"] == "a"
    assert json.loads(result.body)["seed"] == LONG.decode()
    assert json.loads(result.body)["n"] == ["-" + LONG.decode()]


@pytest.mark.parametrize("digits", [MOST_DIGITS, MOST_DIGITS + 1])
def test_the_bound_is_pythons(digits: int) -> None:
    text = b"[" + b"1" * digits + b"]"

    assert (without_endless_integers(text) == text) == (digits <= MOST_DIGITS)
    assert json.loads(without_endless_integers(text))


@given(
    before=st.text(st.characters(codec="utf-8"), max_size=6000),
    digits=st.integers(1, 3 * MOST_DIGITS),
    fraction=st.sampled_from(["", ".5", "e2", "E-2", "." + "5" * 9000, ".5e" + "0" * 9000]),
)
def test_any_json_is_loadable_and_otherwise_unchanged(before: str, digits: int, fraction: str) -> None:
    inside = json.dumps(before + "9" * digits)
    text = f'{{"text": {inside}, "number": {"9" * digits}{fraction}}}'.encode()

    found = without_endless_integers(text)

    assert json.loads(found)["text"] == before + "9" * digits
    if digits <= MOST_DIGITS or fraction:
        assert found == text


@pytest.mark.parametrize(
    "text", [b"9" * 3_000_000 + b".5", b"[" + b"1," * 1_500_000 + b"9" * 5000 + b"]", b'["' + b'\\"' * 1_500_000 + b'"]']
)
def test_no_text_makes_it_look_again_and_again(text: bytes) -> None:
    """Quadratic work over 3 MB would take hours."""
    assert len(without_endless_integers(text)) - len(text) in (0, 2)
