"""To render and to read back is to substitute in the values; no value gets out of its string."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.rows.templates import RowError, Template, TemplateError
from tests.strategies import json_objects, json_values, texts

names = st.sampled_from(["a", "b", "a b", "é"])
rows = st.fixed_dictionaries({name: json_values.filter(lambda value: value is not None) for name in ["a", "b", "a b", "é"]})


def substitute(value: Any, row: dict[str, Any]) -> Any:
    """The same by decoded values: a list of parts in place of each templated string."""
    if isinstance(value, dict):
        return {key: substitute(item, row) for key, item in value.items()}
    if isinstance(value, list):
        return [substitute(item, row) for item in value]
    if not isinstance(value, Parts):
        return value
    if len(value.parts) == 1 and isinstance(value.parts[0], Hole) and not value.parts[0].as_text:
        return row[value.parts[0].name]
    return "".join(part if isinstance(part, str) else as_text(row[part.name]) for part in value.parts)


def as_text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def written(value: Any) -> Any:
    """As it stands in a config."""
    if isinstance(value, dict):
        return {key: written(item) for key, item in value.items()}
    if isinstance(value, list):
        return [written(item) for item in value]
    if not isinstance(value, Parts):
        return value
    return "".join(part.written if isinstance(part, Hole) else part.replace("{", "{{").replace("}", "}}") for part in value.parts)


class Hole(msgspec.Struct, frozen=True):
    name: str
    as_text: bool

    @property
    def written(self) -> str:
        return f"{{{self.name}!s}}" if self.as_text else f"{{{self.name}}}"


class Parts(msgspec.Struct, frozen=True):
    parts: list[Hole | str]


strings = st.lists(texts.filter(len) | st.builds(Hole, names, st.booleans()), max_size=4).map(Parts)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | strings,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@given(body=st.dictionaries(texts, values, max_size=4), row=rows)
def test_rendering_is_substitution(body: dict[str, Any], row: dict[str, Any]) -> None:
    rendered = Template.compile(written(body)).render(row)

    assert msgspec.json.decode(rendered) == msgspec.json.decode(msgspec.json.encode(substitute(body, row)))
    assert b"\n" not in rendered
    assert b"\r" not in rendered


@given(value=texts)
def test_a_value_stays_inside_its_string(value: str) -> None:
    template = Template.compile({"before": "x", "content": "<{v}|{v}>", "after": "y"})

    assert msgspec.json.decode(template.render({"v": value})) == {"before": "x", "content": f"<{value}|{value}>", "after": "y"}


@given(body=json_objects, row=json_objects)
def test_any_body_compiles_or_says_why_and_any_row_fills_it_or_says_why(body: dict[str, Any], row: dict[str, Any]) -> None:
    try:
        rendered = Template.compile(body).render(row)
    except (TemplateError, RowError):
        return

    assert isinstance(msgspec.json.decode(rendered), dict)
