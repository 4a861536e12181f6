"""Streams as providers, servers and relays really send them: each is the answer that it says, or a failure that says why."""

from __future__ import annotations

import json

import pytest

from pipeline.core.answers.classify import Result, Trouble, classify
from pipeline.core.answers.shapes import read_reply
from pipeline.core.answers.streamed_body import StreamedBody
from pipeline.records import Answer
from tests.fakes.odd_chats import CHATS
from tests.fakes.odd_lines import OTHERS
from tests.fakes.odd_messages import CHAT_MESSAGES
from tests.fakes.odd_natives import NATIVES
from tests.fakes.odd_streams import Says

STREAMS = {**CHATS, **CHAT_MESSAGES, **NATIVES, **OTHERS}


def as_it_came(body: bytes) -> Answer:
    return Answer(200, [], body)


def folded(body: bytes, step: int) -> Answer:
    taken = StreamedBody(0.0)
    for at in range(0, len(body), step):
        taken.take(body[at : at + step], 1.0)
        taken.fold()
    return Answer(200, [], taken.end(), 0.0, taken.arrival)


EVERY_EVENT_ENDS = "STOP in every event"  # as Gemini once did, so that nobody can tell the last one


@pytest.mark.parametrize("name", [name for name, case in STREAMS.items() if isinstance(case.means, Says) and name != EVERY_EVENT_ENDS])
def test_a_part_of_an_odd_stream_is_never_taken_for_its_answer(name: str) -> None:
    case = STREAMS[name]
    ends = {at + 1 for at, byte in enumerate(case.body) if byte in b"}\n"}

    for cut in sorted(ends - {len(case.body)}):
        meaning = classify(as_it_came(case.body[:cut]), now_utc=0.0, url=case.url, asked=b'{"stream":true}')

        if isinstance(meaning, Result):  # what comes after it is no part of the answer
            assert isinstance(case.means, Says)
            assert json.loads(bytes(read_reply(meaning.body).content)) == case.means.content


PING = b': waiting\n\nevent: ping\ndata: {"type": "ping"}\n\n'


@pytest.mark.parametrize("name", [name for name, case in STREAMS.items() if isinstance(case.means, Says) and b"data:" in case.body])
def test_comments_and_pings_change_nothing_of_an_odd_stream(name: str) -> None:
    case = STREAMS[name]

    plain = classify(as_it_came(case.body), now_utc=0.0, url=case.url, asked=b'{"stream":true}')
    waiting = classify(as_it_came(case.body.replace(b"\n\n", b"\n\n" + PING)), now_utc=0.0, url=case.url, asked=b'{"stream":true}')

    assert isinstance(plain, Result)
    assert isinstance(waiting, Result), waiting
    assert json.loads(waiting.body) == json.loads(plain.body)


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("step", [None, 7, 1000])
def test_an_odd_stream_is_what_it_says(name: str, step: int | None) -> None:
    case = STREAMS[name]

    answer = as_it_came(case.body) if step is None else folded(case.body, step)
    meaning = classify(answer, now_utc=0.0, url=case.url, asked=b'{"stream":true}')

    if isinstance(case.means, Says):
        assert isinstance(meaning, Result), meaning
        reading = read_reply(meaning.body)
        assert json.loads(bytes(reading.content)) == case.means.content
        assert (reading.finish_reason, meaning.finish_reason) == (case.means.finish, case.means.finish)
        assert (meaning.usage.prompt_tokens, meaning.usage.output_tokens) == case.means.tokens
        whole = json.loads(meaning.body)
        if case.means.message is not None:
            assert whole["choices"][0]["message"] == case.means.message
        if case.means.body is not None:
            assert whole == case.means.body
    else:
        assert isinstance(meaning, Trouble), meaning
        assert case.means.words in meaning.message
        assert case.means.scope in (None, meaning.scope.name.lower())
        assert meaning.retryable is case.means.retryable
        assert meaning.body is not None
