"""Decides whether an answer fits what the user expects of it, and says why not.

Judged in this order, and the first that fails is told: how the answer ended, whether there is one, JSON, the schema, the pattern,
the user's own check. An answer that was cut at its length limit is told as that and not as broken JSON, because only a larger
limit helps. Nothing here sends anything or keeps anything.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from pipeline.core.answers.meaning import CheckError
from pipeline.patterns import later
from pipeline.records import FailureKind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_REASON = 300  # characters; a validator's message about a large answer was 14,000
CUT = "length"
FILTERED = "content_filter"

_fenced = later(r"\s*```[a-zA-Z0-9_-]*[ \t]*\r?\n(.*?)\r?\n?[ \t]*```\s*", re.DOTALL)


class Answered(msgspec.Struct, frozen=True):
    """What an answer says, as far as it is judged.

    content: the text, or another JSON value that stands for it; None where there is none. finish_reason: in OpenAI's words.
    refused: the model declined to answer. output_tokens: that it used all the same.
    """

    content: Any
    finish_reason: str | None = None
    refused: bool = False
    output_tokens: int = 0


class Unfit(msgspec.Struct, frozen=True):
    """Why an answer does not fit. again: another answer to the same request may fit."""

    kind: FailureKind
    reason: str
    again: bool = True


class Expectation(msgspec.Struct, frozen=True, eq=False):
    """What an answer must be. None, or False, asks for nothing of the kind.

    json: one JSON value; a fence around it is taken off. schema, pattern: given the value or the text, why it does not fit, or
    None. check: the user's own, given the value (or text) and the request; it returns None or the reason, or raises ValueError or
    AssertionError with it. finish: the only ends that count; empty allows all but a cut and a filtered one. cut_fits: an answer
    that was cut at its length limit counts. empty_fits: so does one without content.
    """

    json: bool = False
    schema: Callable[[Any], str | None] | None = None
    pattern: Callable[[str], str | None] | None = None
    check: Callable[[Any, Mapping[str, Any]], object] | None = None
    finish: frozenset[str] = frozenset()
    cut_fits: bool = False
    empty_fits: bool = False

    def judge(self, answer: Answered, request: Mapping[str, Any]) -> Unfit | None:
        """Why an answer does not fit, or None. request: what the check is shown. Raises CheckError."""
        unfit = self._judge_end(answer)
        if unfit is not None:
            return unfit
        if answer.content is None or answer.content in ("", [], {}):
            return None if self.empty_fits else _empty(answer)
        return self._judge_content(answer.content, request)

    def _judge_end(self, answer: Answered) -> Unfit | None:
        end = answer.finish_reason
        if answer.refused and not self.finish:
            said = f": {_clip(answer.content)}" if isinstance(answer.content, str) and answer.content else ""
            return Unfit(FailureKind.DECLINED, f"the model declined to answer{said}")
        if end == CUT and not self.cut_fits and CUT not in self.finish:
            if not answer.content:
                return Unfit(FailureKind.TRUNCATED, "the model used all its tokens before the first word of its answer", again=False)
            return Unfit(FailureKind.TRUNCATED, "the answer was cut at its length limit (finish_reason: length)", again=False)
        if end == FILTERED and FILTERED not in self.finish:
            return Unfit(FailureKind.CONTENT_FILTER, "the provider's filter stopped the answer (finish_reason: content_filter)")
        if self.finish and end not in self.finish and not (end == CUT and self.cut_fits):
            return Unfit(FailureKind.UNEXPECTED_ANSWER, f"finish_reason is {end!r}, expected {' or '.join(sorted(self.finish))}")
        return None

    def _judge_content(self, content: Any, request: Mapping[str, Any]) -> Unfit | None:
        value = content
        if (self.json or self.schema is not None) and isinstance(content, str):
            try:
                value = parse(content)
            except ValueError as error:
                return _unexpected(f"is not JSON: {error}")
        if self.schema is not None and (reason := self.schema(value)) is not None:
            return _unexpected(reason)
        if self.pattern is not None:
            text = content if isinstance(content, str) else msgspec.json.encode(content).decode()
            if (reason := self.pattern(text)) is not None:
                return _unexpected(reason)
        if self.check is not None and (reason := _checked(self.check, value, request)) is not None:
            return _unexpected(reason)
        return None


def parse(text: str) -> Any:
    """The one JSON value in a text, a fence around it taken off. Raises ValueError that says why there is none."""
    fence = _fenced.fullmatch(text)
    try:
        return msgspec.json.decode(fence[1] if fence else text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except (msgspec.DecodeError, UnicodeError) as error:
        raise ValueError(str(error)) from None


def _checked(check: Callable[[Any, Mapping[str, Any]], object], value: Any, request: Mapping[str, Any]) -> str | None:
    try:
        said = check(value, request)
    except (ValueError, AssertionError) as error:
        return str(error) or type(error).__name__
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise CheckError(f"answers.expect.check raised {type(error).__name__}: {error}") from error
    return None if said is None or said is True else "it was refused by the check" if said is False else str(said)


def _empty(answer: Answered) -> Unfit:
    used = f", though it used {answer.output_tokens} tokens" if answer.output_tokens else ""
    return Unfit(FailureKind.EMPTY_ANSWER, f"the answer is empty{used}")


def _unexpected(reason: str) -> Unfit:
    return Unfit(FailureKind.UNEXPECTED_ANSWER, _clip(reason))


def _clip(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= MAX_REASON else f"{text[:MAX_REASON]}…"
