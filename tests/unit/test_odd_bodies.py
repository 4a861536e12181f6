"""Answers under status 200 as they are really sent: each is the result that it says, in every output, or a failure that says why."""

from __future__ import annotations

import json

import pytest

from pipeline.core.answers.classify import Result, Trouble, classify
from pipeline.core.output.flat_lines import encode_flat
from pipeline.core.output.lines import encode_batch
from pipeline.records import Answer, Success
from tests.fakes.odd_bodies import TEXTS
from tests.fakes.odd_chat_bodies import CHATS
from tests.fakes.odd_streams import Says
from tests.fakes.odd_values import VALUES

BODIES = {**CHATS, **TEXTS, **VALUES}
TWO_INPUTS = b'{"model":"m","input":["a","b"],"messages":[]}'


@pytest.mark.parametrize("name", BODIES)
def test_an_odd_body_is_what_it_says_in_every_output(name: str) -> None:
    case = BODIES[name]

    meaning = classify(Answer(200, [], case.body), now_utc=0.0, url=case.url, asked=TWO_INPUTS)

    if isinstance(case.means, Says):
        assert isinstance(meaning, Result), meaning
        assert (meaning.usage.prompt_tokens, meaning.usage.output_tokens) == case.means.tokens
        success = Success(0, "row-0", 200, None, meaning.body, meaning.usage, 1, 0.5)
        flat, batch = json.loads(encode_flat(success)), json.loads(encode_batch(success))
        assert flat["content"] == case.means.content
        assert (flat["finish_reason"], meaning.finish_reason) == (case.means.finish, case.means.finish)
        assert isinstance(batch["response"]["body"], dict)
        assert flat["response"] is None or isinstance(flat["response"], dict)
    else:
        assert isinstance(meaning, Trouble), meaning
        assert case.means.words in meaning.message
        assert case.means.scope in (None, meaning.scope.name.lower())
        assert meaning.retryable is case.means.retryable
