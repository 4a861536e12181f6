"""The config's `answers` section: which answers count, and how often a row is asked for one that does.

As in `schema`, the annotations are read at run time, so they must stay real types.
"""

from enum import Enum
from typing import Annotated

from pipeline.config.rules import at_least, late_rule, not_empty
from pipeline.config.sections import Section
from pipeline.core.rows.templates import JSON

answer_check, answer_pattern, answer_schema = (
    late_rule("pipeline.config.expectations", name) for name in ("answer_check", "answer_pattern", "answer_schema")
)


class Feedback(Enum):
    """What a row is told when it is asked again."""

    NONE = "none"  # the same request is sent again
    REASON = "reason"  # the last bad answer and why it does not fit stand behind the prompt


class Length(Enum):
    """What becomes of an answer that was cut at its length limit."""

    FAIL = "fail"
    ACCEPT = "accept"
    GROW = "grow"  # asked again with twice the length, up to `answers.max_tokens`


class ExpectConfig(Section, frozen=True, kw_only=True):
    """What an answer must be; `{}` expects an end that is one, and content.

    json: one JSON value; a fence around it is taken off. schema: a JSON Schema, or the path of a file with one; implies json. regex:
    searched in the text (ECMA-262). check: "module:function" or "file.py:function". finish: the finish reasons that count; empty
    stands for all but length and content_filter. empty: an answer without content counts.
    """

    json: bool = False
    schema: Annotated[JSON, answer_schema] = None
    regex: Annotated[str | None, not_empty, answer_pattern] = None
    check: Annotated[str | None, answer_check] = None
    finish: tuple[str, ...] = ()
    empty: bool = False


class AnswersConfig(Section, frozen=True, kw_only=True):
    """Which answers count. Without `expect` every answer does.

    asks: how often a row is asked at most, the first time included; `retry.attempts` counts faults, this counts answers.
    max_tokens: the most that `length: grow` asks for.
    """

    expect: ExpectConfig | None = None
    asks: Annotated[int, at_least(1)] = 1
    feedback: Feedback = Feedback.NONE
    length: Length = Length.FAIL
    max_tokens: Annotated[int, at_least(1)] = 16_384
