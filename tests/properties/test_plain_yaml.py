"""Law of plain YAML: what is read without ruamel.yaml is the very tree, with the same lines, that ruamel.yaml gives, without a problem."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.config import full_yaml
from pipeline.config.plain_yaml import read_plain

if TYPE_CHECKING:
    from pipeline.config.nodes import Node
    from pipeline.errors import Problem

ROOT = Path(__file__).parent.parent.parent
KEYS = [*(f"key_{number}" for number in range(60)), "d-e", "no", "null", "true", "on", "A1", "_", "y", "<<", "1", "é"]
PLAIN = ["m", "gpt-4o", "/v1/chat", "./out.jsonl", "http://a/v1", "1", "0.5", "true", "null", '"{prompt}"', "'a b'", '"a # b"', "a b c"]
ODD = [
    "m", "gpt-4o", "/v1/chat", "./out.jsonl", "../x", "http://127.0.0.1:18333/v1", "a:b", "a:", ":a", "1", "-1", "+1", "01", "0o7", "0x1f",
    "1.5", "1.", ".5", "1e3", "-", "--", "---", "...", "-a", ".inf", "-.INF", ".nan", "true", "False", "yes", "off", "null", "~", "Null",
    "2026-01-01", "12:30", "1:2", "1_000", "=", "<<", "%x", "@x", "!x", "&x", "*x", "|", ">", "?", "? x", "x?", "#x", "x#", "é", "日本",
    "123456789012345678901234567890",
    '""', "''", '"a: b"', "'it''s'", '"\\n"', '" a "', '"é😀"', '"a"b', "'a' b", '"a', "'a", "a  b", "a #b", "- a",
]  # fmt: skip
scalars = st.sampled_from(PLAIN * 6 + ODD) | st.lists(st.sampled_from(PLAIN * 4 + ODD), min_size=2, max_size=3).map(" ".join)


@st.composite
def in_brackets(draw: st.DrawFn, inner: st.SearchStrategy[str]) -> str:
    """A list or mapping on one line."""
    blank = draw(st.sampled_from(["", "", "", " ", "  "]))
    if draw(st.booleans()):
        return "[" + blank + f",{blank}".join(draw(st.lists(inner, max_size=3))) + blank + "]"
    colon = draw(st.sampled_from([*[": "] * 9, ":", " : ", ":  "]))
    keys = st.sampled_from([*KEYS, '"q"'])
    return "{" + blank + f",{blank}".join(f"{draw(keys)}{colon}{value}" for value in draw(st.lists(inner, max_size=3))) + blank + "}"


values = st.recursive(scalars, in_brackets, max_leaves=5)


@st.composite
def blocks(draw: st.DrawFn, depth: int = 0) -> list[str]:
    """The lines of a mapping or a list by indentation, right in most cases."""
    lines = []
    as_list = depth > 0 and draw(st.booleans())
    for _ in range(draw(st.integers(1, 3))):
        head = "-" if as_list else draw(st.sampled_from(KEYS)) + draw(st.sampled_from([*[":"] * 20, " :", ""]))
        if depth < 3 and draw(st.integers(0, 2)) == 0:
            below = draw(blocks(depth + 1))
            indent = draw(st.sampled_from([*[2] * 9, 0, 1, 3]))
            if as_list and draw(st.booleans()):
                lines += [f"- {below[0]}", *("  " + line for line in below[1:])]
            else:
                lines += [head, *(" " * indent + line for line in below)]
        else:
            lines.append(head + draw(st.sampled_from([*[" "] * 9, "  ", ""])) + draw(values | st.just("")))
        lines[-1] += draw(st.sampled_from([*[""] * 9, " ", " # c", "# c", "  #"]))
        if draw(st.integers(0, 15)) == 0:
            lines.append(draw(st.sampled_from(["", "  ", "# c", "    # c", " x", "x", "- x", "---", "...", "\t", "%a"])))
    return lines


texts = blocks().map("\n".join) | blocks().map(lambda lines: "\n".join([*lines, ""]))


def tree(node: Node) -> object:
    """All that is in a tree, with its types."""
    below = node.value
    if isinstance(below, dict):
        return node.line, {name: tree(child) for name, child in below.items()}
    return node.line, [tree(child) for child in below] if isinstance(below, list) else (type(below).__name__, repr(below))


def whole(text: str) -> tuple[Node, list[Problem]]:
    problems: list[Problem] = []
    return full_yaml.read(text, "c.yaml", problems, key="", numbered=True), problems


def agrees(text: str) -> None:
    found = read_plain(text, "c.yaml")

    if found is not None:
        wanted, problems = whole(text)
        assert not problems
        assert tree(found) == tree(wanted)


@settings(max_examples=300)
@given(texts)
@example("a:\n- b: 1\n  c: 2\n- d\ne: f\n")
@example("a:\n  b: 1\n - c")
@example("a: b\n  c")
@example("a:\n  - b\n  c: d")
@example("a: - b")
@example("a: [b: c]")
@example("a: {b: c,}")
@example("a: [b #c]")
@example("a: b# c")
@example("a: .1e0")
def test_what_is_read_as_plain_is_what_yaml_says(text: str) -> None:
    agrees(text)


@pytest.mark.parametrize(
    "text",
    [
        "a:\n- b: 1\n  c: 2\n- d\ne: f\n",  # as ruamel.yaml writes a list
        "a:\n  - b\n  - c: [1, {d: x y}]\n    e:\n      f: ''\n",
        "# c\n\na:   # c\n    b: http://a:1/v1   # c\n\n# c\nd:\n",
        "a: {}\nb: []\nc: {d: [ 1 , 2 ] , e: -0.5}",
    ],
)
def test_the_usual_forms_are_plain(text: str) -> None:
    found = read_plain(text, "c.yaml")

    assert found is not None
    assert tree(found) == tree(whole(text)[0])


@settings(max_examples=300)
@given(st.text("ab1-:#,[]{}\"' \n.", max_size=24))
def test_any_text_that_is_read_as_plain_is_what_yaml_says(text: str) -> None:
    agrees(text)


@given(texts)
def test_a_text_that_yaml_refuses_is_never_read_as_plain(text: str) -> None:
    _, problems = whole(text)

    if problems:
        assert read_plain(text, "c.yaml") is None


@pytest.mark.parametrize(
    "path", [*sorted((ROOT / "configs").glob("*.yaml")), ROOT / "pipeline" / "config" / "starter.yaml"], ids=lambda path: path.name
)
def test_the_configs_that_come_with_headrace_are_plain(path: Path) -> None:
    text = path.read_text()
    found = read_plain(text, "c.yaml")

    assert found is not None
    assert tree(found) == tree(whole(text)[0])


@pytest.mark.parametrize(
    "text", ["", "# c\n", "a", "- a", "a: |\n  b", "a: &b c", "a: !!str 1", 'a: "\\t"', "a:\tb", "a: 1\r\n", "a: 1\na: 2", "a: [b,\n c]"]
)  # fmt: skip
def test_what_is_not_plain_is_left_to_the_whole_reader(text: str) -> None:
    assert read_plain(text, "c.yaml") is None


def test_a_text_of_many_levels_or_characters_is_left_to_the_whole_reader() -> None:
    assert read_plain("".join(f"{'  ' * level}a:\n" for level in range(21)), "c.yaml") is None
    assert read_plain("a: " + "[" * 21 + "]" * 21, "c.yaml") is None
    assert read_plain("a: " + "1" * 5000, "c.yaml") is None
    assert read_plain("a:" + " " * 100_000 + "b", "c.yaml") is None
