"""What fits, what does not, in which order it is told, and what the user's own check may do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pipeline.core.answers.expect import MAX_REASON, Answered, Expectation, Unfit, parse
from pipeline.core.answers.meaning import CheckError
from pipeline.core.answers.schemas import SchemaError, pattern_check, schema_check
from pipeline.records import FailureKind

if TYPE_CHECKING:
    from collections.abc import Mapping

LABEL = {"type": "object", "properties": {"label": {"enum": ["yes", "no"]}}, "required": ["label"], "additionalProperties": False}
SCHEMA = Expectation(schema=schema_check(LABEL))


def kind_of(unfit: Unfit | None) -> str | None:
    return None if unfit is None else unfit.kind.value


@pytest.mark.parametrize(
    "answer, kind, again",
    [
        (Answered("fine", "stop"), None, None),
        (Answered("fine"), None, None),
        (Answered([0.1, 0.2]), None, None),
        (Answered(0), None, None),
        (Answered("half an ans", "length"), "truncated", False),
        (Answered(None, "length"), "truncated", False),
        (Answered("so far", "content_filter"), "content_filter", True),
        (Answered("", "stop"), "empty_answer", True),
        (Answered(None, "stop", output_tokens=7), "empty_answer", True),
        (Answered("I cannot help with that.", "stop", refused=True), "declined", True),
    ],
)
def test_an_answer_is_judged_by_its_end_and_its_content(answer: Answered, kind: str | None, again: bool | None) -> None:  # noqa: FBT001
    unfit = Expectation().judge(answer, {})

    assert kind_of(unfit) == kind
    assert unfit is None or unfit.again is again


def test_an_answer_that_used_all_its_tokens_before_a_word_says_so() -> None:
    unfit = Expectation().judge(Answered("", "length"), {})

    assert unfit is not None
    assert "before the first word" in unfit.reason


def test_a_cut_answer_is_told_as_cut_and_not_as_broken_json() -> None:
    assert kind_of(SCHEMA.judge(Answered('{"label": "y', "length"), {})) == "truncated"


@pytest.mark.parametrize(
    "expectation, answer",
    [
        (Expectation(cut_fits=True), Answered("half", "length")),
        (Expectation(empty_fits=True), Answered("", "stop")),
        (Expectation(finish=frozenset({"length"})), Answered("half", "length")),
        (Expectation(finish=frozenset({"stop"}), cut_fits=True), Answered("half", "length")),
        (Expectation(finish=frozenset({"content_filter"})), Answered("x", "content_filter")),
    ],
)
def test_what_is_allowed_fits(expectation: Expectation, answer: Answered) -> None:
    assert expectation.judge(answer, {}) is None


def test_an_end_that_is_not_among_those_asked_for_does_not_fit() -> None:
    unfit = Expectation(finish=frozenset({"tool_calls"})).judge(Answered("text", "stop"), {})

    assert unfit is not None
    assert unfit.kind is FailureKind.UNEXPECTED_ANSWER
    assert "'stop', expected tool_calls" in unfit.reason


@pytest.mark.parametrize(
    "text, value",
    [
        ('{"a": 1}', {"a": 1}),
        ('```json\n{"a": 1}\n```', {"a": 1}),
        ("\n```\n[1]\n```\n", [1]),
        ("```JSON\r\n1\r\n```", 1),
        (' "text" ', "text"),
    ],
)
def test_json_is_read_with_or_without_a_fence(text: str, value: Any) -> None:
    assert parse(text) == value


@pytest.mark.parametrize("text", ["", "no", '{"a": 1} {"b": 2}', 'Here it is: {"a": 1}', "```json\n{\n```", "[" * 100_000, "NaN", "\ud800"])
def test_what_is_not_one_json_value_says_why(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse(text)


@pytest.mark.parametrize(
    "content, reason",
    [
        ('{"label": "yes"}', None),
        ({"label": "no"}, None),
        ('```json\n{"label": "no"}\n```', None),
        ("yes", "is not JSON"),
        ('{"label": "maybe"}', 'label: "maybe" is not one of'),
        ('{"label": "yes", "x": 1}', "x"),
        ("[]", "is not of type"),
    ],
)
def test_a_schema_says_where_an_answer_does_not_fit(content: Any, reason: str | None) -> None:
    unfit = SCHEMA.judge(Answered(content, "stop"), {})

    assert (unfit is None) == (reason is None)
    assert unfit is None or (unfit.kind is FailureKind.UNEXPECTED_ANSWER and (reason or "") in unfit.reason)


def test_all_errors_of_an_answer_are_told_and_the_reason_stays_short() -> None:
    schema = {"properties": {name: {"enum": ["x" * 2000]} for name in "abcdefgh"}}

    unfit = Expectation(schema=schema_check(schema)).judge(Answered(dict.fromkeys("abcdefgh", "y")), {})

    assert unfit is not None
    assert len(unfit.reason) <= MAX_REASON + 1


@pytest.mark.parametrize(
    "schema", [{"type": "strin"}, 3, {"$ref": "http://127.0.0.1:9/x.json"}, {"$ref": "file://localhost/etc/passwd"}, {"pattern": "("}]
)
def test_a_schema_that_cannot_be_used_is_told_before_anything_is_sent(schema: Any) -> None:
    with pytest.raises(SchemaError, match="usable"):
        schema_check(schema)


def test_a_schema_may_refer_to_itself() -> None:
    check = schema_check({"$defs": {"n": {"type": "integer"}}, "items": {"$ref": "#/$defs/n"}})

    assert check([1, 2]) is None
    assert check(["x"]) is not None


def test_a_value_that_no_schema_can_judge_does_not_fit() -> None:
    assert schema_check({"type": "number"})(float("nan")) is not None


@pytest.mark.parametrize("text, fits", [("yes, it is", True), ("yesterday", False), ("I say: yes", False), ("no\n", True)])
def test_a_pattern_is_searched_in_the_text(text: str, fits: bool) -> None:  # noqa: FBT001
    assert (Expectation(pattern=pattern_check(r"^(yes|no)\b")).judge(Answered(text), {}) is None) is fits


def test_a_pattern_that_explodes_elsewhere_is_answered_at_once() -> None:
    assert pattern_check("^(a+)+$")("a" * 50_000 + "b") == "does not match ^(a+)+$"


def test_a_pattern_that_is_none_is_told() -> None:
    with pytest.raises(SchemaError, match="pattern"):
        pattern_check("(")


@pytest.mark.parametrize("said, fits", [(None, True), (True, True), (False, False), ("too long", False), ("", False)])
def test_a_check_answers_with_nothing_or_a_reason(said: object, fits: bool) -> None:  # noqa: FBT001
    seen: list[Any] = []

    def check(value: Any, request: Mapping[str, Any]) -> object:
        seen.append((value, request))
        return said

    unfit = Expectation(json=True, check=check).judge(Answered('{"a": 1}'), {"custom_id": "x"})

    assert seen == [({"a": 1}, {"custom_id": "x"})]
    assert (unfit is None) is fits


@pytest.mark.parametrize("error", [ValueError("too short"), AssertionError("too short")])
def test_a_check_may_raise_its_reason(error: Exception) -> None:
    def check(_value: Any, _request: Mapping[str, Any]) -> object:
        raise error

    unfit = Expectation(check=check).judge(Answered("x"), {})

    assert unfit is not None
    assert unfit.reason == "too short"


def test_a_check_that_breaks_is_the_users_fault_and_not_the_answers() -> None:
    with pytest.raises(CheckError, match=r"answers.expect.check raised KeyError"):
        Expectation(check=lambda value, _: value["missing"]).judge(Answered({"a": 1}), {})


class OwnEnd(BaseException):
    """As some test tools raise it."""


@pytest.mark.parametrize("end", [SystemExit(0), OwnEnd("strange")])
def test_a_check_that_would_end_the_program_is_one_that_breaks(end: BaseException) -> None:
    def check(_value: Any, _request: Mapping[str, Any]) -> object:
        raise end

    with pytest.raises(CheckError, match=f"answers.expect.check raised {type(end).__name__}"):
        Expectation(check=check).judge(Answered("x"), {})


def test_an_interrupt_in_a_check_is_nobodys_fault() -> None:
    def check(_value: Any, _request: Mapping[str, Any]) -> object:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Expectation(check=check).judge(Answered("x"), {})
