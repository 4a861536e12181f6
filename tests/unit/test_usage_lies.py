"""What a provider says it counted may be wrong in any way: it never holds a run up for ever, and never counts below nothing."""

from __future__ import annotations

import pytest

from pipeline.core.answers.classify import Result, classify
from pipeline.core.pacing.lane import Lane, Wait
from pipeline.messages import Grant
from pipeline.records import NO_USAGE, Answer, Usage

MINUTE = 60.0


@pytest.mark.parametrize("number", ["-1", "-99999999999999999999", "100000001", "99999999999999999", "1e300", '"many"', "true", "[]"])
@pytest.mark.parametrize("key", ["prompt_tokens", "completion_tokens", "input_tokens", "output_tokens", "total_tokens"])
def test_a_count_that_cannot_be_is_no_count(key: str, number: str) -> None:
    body = b'{"choices":[{"text":"hi"}],"usage":{"%s":%s}}' % (key.encode(), number.encode())

    meaning = classify(Answer(200, [], body), now_utc=0.0)

    assert isinstance(meaning, Result)
    assert meaning.usage == NO_USAGE
    assert meaning.body == body


def test_a_count_that_can_be_is_taken() -> None:
    body = b'{"choices":[{"text":"hi"}],"usage":{"prompt_tokens":1000000,"completion_tokens":null,"total_tokens":1000007}}'

    meaning = classify(Answer(200, [], body), now_utc=0.0)

    assert isinstance(meaning, Result)
    assert meaning.usage == Usage(1_000_000, 0, 1_000_007)


@pytest.mark.parametrize("number", ["12.0", "12.5", '"12"', '"12.0"'])
def test_a_count_in_another_form_is_taken(number: str) -> None:
    body = b'{"choices":[{"text":"hi"}],"usage":{"prompt_tokens":%s,"completion_tokens":3}}' % number.encode()

    meaning = classify(Answer(200, [], body), now_utc=0.0)

    assert isinstance(meaning, Result)
    assert meaning.usage == Usage(12, 3, 15)


def test_a_settled_attempt_costs_at_most_a_whole_period() -> None:
    lane = Lane.from_limits(tokens_per_minute=1000)
    grant = lane.admit(100.0, 10)
    assert isinstance(grant, Grant)

    lane.settle(grant, 101.0, 50_000_000)

    later = lane.admit(101.0, 10)
    assert isinstance(later, Wait)
    assert later.until <= 101.0 + MINUTE * 1.01
    assert isinstance(lane.admit(101.0 + MINUTE * 1.01, 10), Grant)
