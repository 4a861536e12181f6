"""What a template takes, what it refuses, and what it says then."""

from __future__ import annotations

import datetime as dt
import math
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from pipeline.core.rows.templates import Lookalike, RowError, Template, TemplateError, lookalikes

if TYPE_CHECKING:
    from pipeline.core.rows.templates import JSON

ROW: dict[str, JSON] = {
    "text": 'say "hi"\n{text}',
    "number": 17,
    "half": 0.5,
    "yes": True,
    "list": [1, {"a": "é"}],
    "nothing": None,
    "a b": "c",
    "object": {"inner": {"deep": "d"}, "text": "t", "nothing": None},
    "dotted.name": "whole",
    "Is it?": "yes",
    "nan": math.nan,
}
COLUMNS: Any = {
    "day": dt.datetime(2026, 1, 2, 3, 4, tzinfo=dt.UTC),
    "price": Decimal("1.10"),
    "pdf": b"%PDF",
    "days": [dt.date(2026, 1, 2)],
}


def render(value: JSON) -> Any:
    return msgspec.json.decode(Template.compile({"x": value}).render(ROW))["x"]


@pytest.mark.parametrize(
    "template, value",
    [
        ("plain", "plain"),
        ("", ""),
        ("{text}", ROW["text"]),
        ("{number}", 17),
        ("{half}", 0.5),
        ("{yes}", True),
        ("{list}", [1, {"a": "é"}]),
        ("{number!s}", "17"),
        ("{yes!s}", "true"),
        ("{list!s}", '[1,{"a":"é"}]'),
        ("{text!s}", ROW["text"]),
        ("no. {number}", "no. 17"),
        ("{number}{half}", "170.5"),
        (" {list}", ' [1,{"a":"é"}]'),
        ("{a b}", "c"),
        ("{object.text}", "t"),
        ("<{object.inner.deep}>", "<d>"),
        ("{object.inner}", {"deep": "d"}),
        ("{object.inner!s}", '{"deep":"d"}'),
        ("{dotted.name}", "whole"),
        ("{text?}", ROW["text"]),
        ("{missing?}", None),
        ("{nothing?}", None),
        ("{nan?}", None),
        ("a{nan?}", "a"),
        ("{object.missing?}", None),
        ("{text.missing?}", None),
        ("a{missing?}b{nothing?}c", "abc"),
        ("{missing?!s}", ""),
        ("{object.text?!s}", "t"),
        ("{Is it?}", "yes"),
        ("{{text}}", "{text}"),
        ("{{{number}}}", "{17}"),
        ('{{"a": {number}}}', '{"a": 17}'),
        ("}}{{", "}{"),
        ([1, None, True, 2.5, {"k": ["{number}"]}], [1, None, True, 2.5, {"k": [17]}]),
        ({"{text}": "{number}"}, {"{text}": 17}),
        (10**30, 10**30),
    ],
)
def test_a_template_is_filled_from_the_row(template: JSON, value: JSON) -> None:
    result = render(template)

    assert result == value
    assert type(result) is type(value)


def test_fields_are_told_in_order() -> None:
    assert Template.compile({"a": "{x} {y!s}", "b": ["{z}", "{x}", "{{w}}"]}).fields == ("x", "y", "z")


def test_an_empty_body_is_an_empty_object() -> None:
    assert Template.compile({}).render({}) == b"{}"


@pytest.mark.parametrize(
    "value, place, complaint",
    [
        ("a { b", "x", 'a lone "{" at character 3; write "{{" for a brace'),
        ("a } b", "x", 'a lone "}" at character 3; write "}}" for a brace'),
        ("{a{b}}", "x", 'a lone "{" at character 1'),
        ({"y": ["", "{}"]}, "x.y[1]", '"{}" names no field'),
        ("{!s}", "x", '"{}" names no field'),
        ('{"a": 1}', "x", 'names no field; write "{{" and "}}" for braces'),
        ("{ a }", "x", 'names no field; write "{a}" for the field, "{{" and "}}" for braces'),
        ("{\n}", "x", "names no field"),
        ("{a!r}", "x", 'after "!" only s (as text), data'),
        (dt.date(2025, 1, 2), "x", "(date) cannot be JSON; put it in quotes"),
        (math.nan, "x", "nan (float) cannot be JSON"),
        ({1: "a"}, "x.1", "a key must be text, got 1; put it in quotes"),
        ("\ud800", "x", "half of a surrogate pair cannot be sent"),
    ],
)
def test_a_wrong_template_names_the_place(value: Any, place: str, complaint: str) -> None:
    with pytest.raises(TemplateError) as caught:
        Template.compile({"x": value})

    assert caught.value.problems[0][0] == place
    assert complaint in caught.value.problems[0][1]
    assert str(caught.value).startswith(f"{place}: ")


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(TemplateError) as caught:
        Template.compile({"a": "{", "b": ["{}", {"c": "}"}]})

    assert [place for place, _ in caught.value.problems] == ["a", "b[0]", "b[1].c"]


@pytest.mark.parametrize(
    "template, complaint",
    [
        ("{missing}", "field 'missing' is missing; the row has 'text', 'number'"),
        ("{nothing}", "field 'nothing' is null"),
        ("a {nothing}", "field 'nothing' is null"),
    ],
)
def test_a_row_that_does_not_fill_it_is_told_why(template: str, complaint: str) -> None:
    with pytest.raises(RowError) as caught:
        render(template)

    assert str(caught.value).startswith(complaint)


@pytest.mark.parametrize("value", ["\ud800", ["\udfff"], {"a": object()}], ids=["text", "list", "object"])
@pytest.mark.parametrize("template", ["{a}", "text {a}"])
def test_a_value_that_is_no_json_is_a_row_error(template: str, value: Any) -> None:
    with pytest.raises(RowError, match="field 'a' "):
        Template.compile({"x": template}).render({"a": value})


def test_a_value_nested_without_end_is_a_row_error() -> None:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]

    with pytest.raises(RowError, match="field 'a' "):
        Template.compile({"x": "{a}"}).render({"a": value})


@pytest.mark.parametrize(
    "name, complaint",
    [("object.missing", "object.missing"), ("text.inner", "text.inner"), ("object.nothing", "is null"), ("nope.x", "nope.x")],
)
def test_a_way_into_an_object_that_leads_nowhere_is_told(name: str, complaint: str) -> None:
    with pytest.raises(RowError, match=complaint.replace(".", r"\.")):
        Template.compile({"x": f"{{{name}}}"}).render(ROW)


def test_a_field_that_is_not_used_may_hold_anything() -> None:
    assert Template.compile({"x": "{number}"}).render({"number": 1, "other": object()}) == b'{"x":1}'  # type: ignore[dict-item]


@pytest.mark.parametrize(
    "body, written, meant",
    [
        ({"a": ["{{ prompt }}"]}, "{{ prompt }}", "{prompt}"),
        ({"a": ["{{row.prompt|upper}}"]}, "{{row.prompt|upper}}", "{prompt}"),
        ({"a": ["Say ${prompt}"]}, "${prompt}", "{prompt}"),
        ({"a": ["$prompt"]}, "$prompt", "{prompt}"),
        ({"a": ["<prompt>"]}, "<prompt>", "{prompt}"),
        ({"a": ["%(prompt)s"]}, "%(prompt)s", "{prompt}"),
        ({"a": [{"prompt": None}]}, "{prompt} without quotes", '"{prompt}"'),
    ],
)
def test_a_field_in_the_way_of_another_language_is_pointed_out(body: dict[str, Any], written: str, meant: str) -> None:
    assert list(lookalikes(body)) == [Lookalike("a[0]", written, meant)]


@pytest.mark.parametrize("body", [{"a": "costs $5, {{}}, 3 < 4 > 2, 100 %"}, {"a": {"b": None, "c": None}}, {"stop": None}])
def test_ordinary_text_is_not_taken_for_a_field(body: dict[str, Any]) -> None:
    assert list(lookalikes(body)) == []


@pytest.mark.parametrize("template", ["{x}", "{x!s}", "about {x}"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_number_that_json_cannot_hold_is_no_null(template: str, value: float) -> None:
    with pytest.raises(RowError, match=r"field 'x' is -?(nan|inf), which JSON cannot hold"):
        Template.compile({"x": template}).render({"x": value})


@pytest.mark.parametrize(
    "template, value",
    [
        ("on {day}", "on 2026-01-02T03:04:00Z"),
        ("for {price}!", "for 1.10!"),
        ("{price}", "1.10"),
        ("{pdf!s}", "JVBERg=="),
        ("{days!s}", '["2026-01-02"]'),
    ],
)
def test_value_that_json_has_only_as_a_text_stands_within_text_without_quotes(template: str, value: str) -> None:
    assert msgspec.json.decode(Template.compile({"x": template}).render(COLUMNS)) == {"x": value}


def test_only_fields_that_may_not_be_missing_are_required() -> None:
    assert Template.compile({"a": "{x} {y?}", "b": ["{z.w}", "{x}", "{v?!s}"]}).required == ("x", "z.w")
