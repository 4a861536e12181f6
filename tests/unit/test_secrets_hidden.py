"""A key that a provider quotes in a failure is taken out, however its JSON writes it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.answers.classify import Trouble
from pipeline.core.answers.secrets import HIDDEN, Secrets
from pipeline.records import FailureKind

KEY = 'Zx9/+="\\<key>-1'


def trouble(message: str, body: bytes | None) -> Trouble:
    return Trouble(FailureKind.HTTP, message, retryable=False, body=body)


@pytest.mark.parametrize(
    "quoted",
    [
        json.dumps(KEY),
        json.dumps(KEY).replace("/", "\\/"),
        '"' + "".join(f"\\u{ord(character):04x}" for character in KEY) + '"',
        '"' + "".join(f"\\u{ord(character):04X}" for character in KEY) + '"',
        json.dumps(KEY).replace("<", "\\u003C").replace("=", "\\u003d"),
    ],
)
def test_a_quoted_key_is_taken_out_of_a_body_which_stays_json(quoted: str) -> None:
    assert json.loads(quoted) == KEY
    body = f'{{"error": {{"message": {quoted}, "again": [{quoted}]}}}}'.encode()

    found = Secrets([KEY]).hidden(trouble(f"HTTP 401: {KEY} is wrong", body))

    assert found.body is not None
    assert json.loads(found.body) == {"error": {"message": HIDDEN, "again": [HIDDEN]}}
    assert found.message == f"HTTP 401: {HIDDEN} is wrong"


def test_the_longer_of_two_secrets_goes_first() -> None:
    found = Secrets(["secret-key", "Bearer secret-key"]).hidden_in("Bearer secret-key, secret-key")

    assert found == f"{HIDDEN}, {HIDDEN}"


def test_without_secrets_nothing_is_changed() -> None:
    found = Secrets().hidden(trouble("HTTP 400", b'{"a": ""}'))

    assert (found.message, found.body) == ("HTTP 400", b'{"a": ""}')


@given(key=st.text(st.characters(codec="ascii", categories=["L", "N", "P", "S"]), min_size=8), around=st.text())
def test_no_json_text_shows_a_key(key: str, around: str) -> None:
    body = json.dumps({"error": f"{around}{key}"}).encode()

    found = Secrets([key]).hidden(trouble("", body)).body

    assert found is not None
    decoded = json.loads(found)
    shown = decoded if isinstance(decoded, str) else decoded["error"]
    assert key not in shown.replace(HIDDEN, "")
