"""Reads a very long answer in one call that needs nothing of the run, so that another process can make it (`pipeline.apart`).

Where the body of what comes of it is the answer as it came, it is left out, because both ends have it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from pipeline.core.answers.classify import Result, classify
from pipeline.core.answers.meaning import Trouble

if TYPE_CHECKING:
    from pipeline.core.answers.fitting import AnswerRules, Misfit
    from pipeline.core.answers.secrets import Secrets
    from pipeline.messages import Ticket
    from pipeline.records import Answer, Job

AS_IT_CAME = b"\0"  # no JSON


class Judged(msgspec.Struct, frozen=True, eq=False):
    """What an answer means, and why it does not fit what is expected of it, None if it does."""

    meaning: Result | Trouble
    misfit: Misfit | None = None

    def judge(self, body: bytes, asked: Job, original: Job, answers: int) -> Misfit | None:  # noqa: ARG002  as AnswerRules.judge
        """What was found before."""
        return self.misfit


class Question(msgspec.Struct, frozen=True, eq=False):
    """What is asked of an answer.

    now_utc, empty_fits: as `classify` takes them. asked, original, answers, rules: as `AnswerRules.judge` does; None judges nothing.
    """

    now_utc: float
    asked: Job
    original: Job
    answers: int
    secrets: Secrets
    rules: AnswerRules | None
    empty_fits: bool


def question(ticket: Ticket, now_utc: float, secrets: Secrets, rules: AnswerRules | None) -> Question:
    """What is asked of the answer to a ticket. Rules that cannot travel are left out."""
    job, travels = ticket.job, rules is not None and rules.travel
    return Question(
        now_utc, job, ticket.original or job, ticket.rejected + 1, secrets, rules if travels else None, empty_fits=rules is not None
    )


def judge_answer(answer: Answer, question: Question) -> Judged:
    """What an answer means, without the secrets if it is a failure. Its body may be left out: `whole` puts it back."""
    asked, rules = question.asked, question.rules
    meaning = classify(answer, now_utc=question.now_utc, url=asked.url, asked=asked.body, empty_fits=question.empty_fits)
    misfit = None
    if isinstance(meaning, Trouble):
        meaning = question.secrets.hidden(meaning)
    elif rules is not None:
        misfit = rules.judge(meaning.body, asked, question.original, question.answers)
    return Judged(replace(meaning, body=AS_IT_CAME) if meaning.body is answer.body else meaning, misfit)


def whole(judged: Judged, answer: Answer) -> Judged:
    """The same with its body."""
    meaning = judged.meaning
    return Judged(replace(meaning, body=answer.body), judged.misfit) if meaning.body == AS_IT_CAME else judged
