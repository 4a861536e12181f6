"""Applies what the user expects of answers to one answer: whether it fits, and with which request the row is asked again if not.

Every ask is paid, so `asks` bounds how many a row has in all. What is asked again is made from the row's first request, never
from the last one: so feedback does not pile up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from pipeline.core.answers.ask_again import with_feedback, with_longer_answer
from pipeline.core.answers.expect import CUT, Answered, Expectation, Unfit
from pipeline.core.answers.parts import items_of, object_of, objects_of, present, text_of
from pipeline.core.answers.shapes import read_reply
from pipeline.core.rows.asked import read_body
from pipeline.records import FailureKind, Job

if TYPE_CHECKING:
    from collections.abc import Mapping

_decode = msgspec.json.Decoder().decode


class Misfit(msgspec.Struct, frozen=True, eq=False):
    """An answer that does not fit. again: the request with which the row is asked again, None if it is not."""

    unfit: Unfit
    again: Job | None


class AnswerRules(msgspec.Struct, frozen=True, eq=False):
    """What answers must be, and what becomes of one that does not fit.

    asks: how often a row is asked at most. feedback: the bad answer and the reason stand behind the prompt. grow_to: a cut
    answer is asked for again with twice the length, up to so many tokens; None does not.
    """

    expectation: Expectation
    asks: int = 1
    feedback: bool = False
    grow_to: int | None = None

    @property
    def travel(self) -> bool:
        """Whether another process can judge by them. Schemas and patterns cannot be sent, and a check is the user's own code."""
        expected = self.expectation
        return expected.check is None and expected.schema is None and expected.pattern is None

    def judge(self, body: bytes, asked: Job, original: Job, answers: int) -> Misfit | None:
        """Why an answer does not fit, or None.

        body: the provider's JSON. asked: the request that it answers. original: the row's first request. answers: that the row
        has had, this one included. Raises CheckError.
        """
        answered = what_it_says(body)
        unfit = self.expectation.judge(answered, _request(original))
        if unfit is None:
            return None
        return Misfit(unfit, self._again(unfit, answered, asked, original) if answers < self.asks else None)

    def _again(self, unfit: Unfit, answered: Answered, asked: Job, original: Job) -> Job | None:
        if answered.finish_reason == CUT:
            longer = None if self.grow_to is None else with_longer_answer(asked.body, self.grow_to)
            return None if longer is None else _with_body(original, longer)
        if not unfit.again:
            return None
        if self.feedback and unfit.kind is FailureKind.UNEXPECTED_ANSWER:
            content = answered.content
            said = content if isinstance(content, str) else msgspec.json.encode(content).decode()
            body = with_feedback(original.body, said, unfit.reason)
            if body is not None:
                return _with_body(original, body)
        return original


def what_it_says(body: bytes) -> Answered:
    """What an answer says, as far as it is judged."""
    reading = read_reply(body)
    content = _decode(reading.content)
    tokens = 0 if content else reading.tokens.output_tokens  # told of an answer with nothing in it
    return Answered(content, reading.finish_reason, _declined(body), tokens)


def _declined(body: bytes) -> bool:
    """Whether the model says, in any shape, that it will not answer."""
    if b"refusal" not in body:
        return False
    reply = object_of(body)
    if text_of(reply.get("stop_reason")) == "refusal":  # Anthropic
        return True
    choices = objects_of(reply.get("choices"))
    if any(present(object_of(choice.get("message")).get("refusal")) for choice in choices):
        return True
    parts = [part for item in objects_of(reply.get("output")) for part in items_of(item.get("content"))]
    return any(text_of(object_of(part).get("type")) == "refusal" for part in parts)


def _with_body(job: Job, body: bytes) -> Job:
    tokens, output, streams, model = read_body(body, job.url)
    return Job(job.index, job.custom_id, job.method, job.url, body, tokens, job.line, output, streams, model=model)


def _request(job: Job) -> Mapping[str, Any]:
    """A row's request as its check is shown it; decoded when it is looked at."""
    return _Request(job)


class _Request(dict[str, Any]):
    """custom_id, index, url and body of a request. Its body is decoded when a check asks for it, which most never do."""

    def __init__(self, job: Job) -> None:
        super().__init__(custom_id=job.custom_id, index=job.index, url=job.url)
        self._job = job

    def __missing__(self, key: str) -> Any:
        if key != "body":
            raise KeyError(key)
        self["body"] = _decode(self._job.body)
        return self["body"]
