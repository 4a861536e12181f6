"""The longest answers are judged in another process, and what comes of them is what would have come of them here."""

from __future__ import annotations

import pickle
import subprocess
from typing import Any

import pytest
import trio

from pipeline.core.answers.classify import Result, Trouble, classify
from pipeline.core.answers.expect import Expectation
from pipeline.core.answers.fitting import AnswerRules
from pipeline.core.answers.judged import Question, judge_answer, question, whole
from pipeline.core.answers.secrets import HIDDEN, Secrets
from pipeline.core.answers.streamed_body import StreamedBody
from pipeline.edges.http import body as http_body
from pipeline.edges.http.body import Body
from pipeline.edges.http.memory import AnswerMemory
from pipeline.messages import GateMessage, Report, Ticket
from pipeline.records import Answer, FailureKind, Job, Outcome, Success
from pipeline.stages import fetch as fetch_stage
from pipeline.stages.fetch import FetchSettings, fetch
from pipeline.stages.pass_through import PassThrough

KEY = "sk-secret"
CHAT = b'{"choices":[{"message":{"content":"%b"},"finish_reason":"%b"}]}'
BODIES = {
    "whole": (200, CHAT % (b"x", b"stop")),
    "with blanks": (200, b" \n" + CHAT % (b"x", b"stop") + b"\n"),
    "over lines": (200, CHAT.replace(b",", b",\n") % (b"x", b"stop")),
    "odd": (200, CHAT % (b"\xff", b"stop")),
    "cut": (200, CHAT % (b"x", b"length")),
    "no JSON": (200, b"<html>"),
    "error": (400, b'{"error":{"message":"not with %b"}}' % KEY.encode()),
    "error without a key": (500, b'{"error":{"message":"no"}}'),
    "error as text": (500, b"no " + KEY.encode()),
}
JOB = Job(0, "c", "POST", "/v1/chat/completions", b"{}", 1, 1)
TICKET = Ticket(JOB, 1, None)
RULES = AnswerRules(Expectation(finish=frozenset({"stop"})), asks=2)


def sent_back(value: Any) -> Any:
    """A value as another process gets it."""
    return pickle.loads(pickle.dumps(value))


@pytest.mark.parametrize("rules", [None, RULES], ids=["any", "expected"])
@pytest.mark.parametrize("name", BODIES)
def test_an_answer_means_the_same_apart(name: str, rules: AnswerRules | None) -> None:
    status, body = BODIES[name]
    answer, asked = Answer(status, [(b"x", b"y")], body), question(TICKET, 5.0, Secrets([KEY]), rules)

    judged = whole(sent_back(judge_answer(*sent_back((answer, asked)))), answer)

    here = classify(answer, now_utc=5.0, url=JOB.url, asked=b"{}", empty_fits=rules is not None)
    assert type(judged.meaning) is type(here)
    assert judged.meaning.body == (here.body or b"").replace(KEY.encode(), HIDDEN.encode())
    if isinstance(here, Trouble):
        assert isinstance(judged.meaning, Trouble)
        assert KEY not in judged.meaning.message
    else:
        misfit = None if rules is None else rules.judge(here.body, JOB, JOB, 1)
        assert (judged.judge(b"", JOB, JOB, 1) is None) is (misfit is None)


def test_a_body_that_is_the_answer_is_not_sent_back() -> None:
    answer = Answer(200, [], CHAT % (b"x" * 10_000, b"stop"))
    error = Answer(400, [], b'{"error":{"message":"%b"}}' % (b"x" * 10_000))
    asked = question(TICKET, 5.0, Secrets(), None)

    for given in (answer, error):
        judged = judge_answer(given, asked)

        assert len(judged.meaning.body or b"") < 10
        assert whole(judged, given).meaning.body is given.body


@pytest.mark.parametrize("expected", [Expectation(check=lambda value, request: None), Expectation(schema=str), Expectation(pattern=str)])
def test_checks_of_the_user_and_schemas_stay_in_this_process(expected: Expectation) -> None:
    asked = question(TICKET, 0.0, Secrets(), AnswerRules(expected))

    assert asked.rules is None
    assert asked.empty_fits
    assert isinstance(sent_back(asked), Question)


class Sender:
    """Gives one answer."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    async def send(self, job: Job, client_request_id: str) -> Answer:
        await trio.lowlevel.checkpoint()
        return self._answer

    def release(self) -> None:
        pass

    def close(self) -> None:
        pass


class Started(list[object]):
    """Counts the processes that are started."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        real = subprocess.Popen

        def popen(*arguments: Any, **options: Any) -> Any:
            process = real(*arguments, **options)
            self.append(process)
            return process

        monkeypatch.setattr(subprocess, "Popen", popen)


@pytest.mark.parametrize("rules", [None, RULES, AnswerRules(Expectation(check=lambda value, request: "no"))], ids=["any", "end", "check"])
@pytest.mark.parametrize("size", [100, 300_000])
async def test_only_the_longest_answers_are_judged_apart(size: int, rules: AnswerRules | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch_stage, "APART_BYTES", 299_000)
    started = Started(monkeypatch)
    body = CHAT % (b"x" * size, b"stop")
    settings = FetchSettings(
        (lambda: Sender(Answer(200, [], body)),), draw=lambda: 0.0, utc=lambda: 0.0, name_attempt=lambda index, attempt: "", rules=rules
    )
    grant, tickets = trio.open_memory_channel[list[Ticket]](1)
    post, reports = trio.open_memory_channel[GateMessage](1)
    end, outcomes = trio.open_memory_channel[Outcome](1)

    async def emit(outcomes: list[Outcome]) -> None:
        raise AssertionError(outcomes)

    grant.send_nowait([TICKET])
    grant.close()
    await fetch(tickets, post, end, settings=settings, store=PassThrough(emit))
    outcome, report = outcomes.receive_nowait(), reports.receive_nowait()

    assert len(started) == (size > 299_000)
    assert outcome.body == body
    assert isinstance(report, Report)
    fits = rules is None or rules is RULES
    assert isinstance(outcome, Success) is fits
    assert report.code == ("" if fits else FailureKind.UNEXPECTED_ANSWER.value)


@pytest.mark.parametrize("size, apart", [(1000, 0), (400_000, 1)])
async def test_only_the_longest_events_are_folded_apart(size: int, apart: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_body, "APART_BYTES", 150_000)
    started = Started(monkeypatch)
    event = b'data: {"choices":[{"index":0,"delta":{"content":"%b"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n' % (b"x" * size)
    here = StreamedBody(0.0)
    here.take(event, 0.0)
    here.fold()

    async def wait(body: Body) -> None:
        raise AssertionError(body)

    body = Body([], 1 << 24, AnswerMemory(), wait=wait, streams=True)
    for at in range(0, len(event), 10_000):
        await body.take([event[at : at + 10_000]])
    content = await body.finish()

    assert len(started) == apart
    assert isinstance(classify(Answer(200, [], content), now_utc=0.0), Result)
    assert not apart or content == here.end()
    body.close()
