"""YAML as a config reads it: lines, YAML 1.2's core schema, and what a config must not hold."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

from pipeline.config.nodes import MAX_DEPTH, Node, parse

if TYPE_CHECKING:
    from pipeline.errors import Problem
TAB = "while scanning for the next token, found character '\\t' that cannot start any token; indent with spaces, not with tabs"


def problems_of(text: str) -> list[str]:
    problems: list[Problem] = []
    parse(text, "c.yaml", problems)
    return [str(problem) for problem in problems]


def value_of(text: str) -> object:
    problems: list[Problem] = []
    node = parse(f"key: {text}\n", "c.yaml", problems)
    assert not problems
    assert isinstance(node.value, dict)
    return node.value["key"].value


@pytest.mark.parametrize(
    "text, value",
    [
        ("4", 4), ("+4", 4), ("017", 17), ("0o17", 15), ("0x1F", 31), ("1e3", 1000.0), ("1.", 1.0), (".5", 0.5), ("-.inf", -math.inf),
        ("", None), ("~", None), ("null", None), ("true", True), ("FALSE", False),
        ("no", "no"), ("yes", "yes"), ("12:30", "12:30"), ("2026-01-01", "2026-01-01"), ("1_000", "1_000"), ("0b1", "0b1"), ("=", "="),
        ('"4"', "4"), ("'null'", "null"), ("!!str 4", "4"), ("nULL", "nULL"), ("1e3x", "1e3x"),
    ],
)  # fmt: skip
def test_scalar_is_read_by_yaml_1_2(text: str, value: object) -> None:
    found = value_of(text)

    assert found == value
    assert type(found) is type(value)


def test_nan_is_a_number() -> None:
    assert math.isnan(value_of(".nan"))  # type: ignore[arg-type]


def test_every_key_knows_its_line() -> None:
    root = parse("a:\n  b: 1\n\n  c:\n    - 2\n    - 3\n", "c.yaml", [])

    def lines(node: Node) -> object:
        below = node.value
        if isinstance(below, dict):
            return {name: (child.line, lines(child)) for name, child in below.items()}
        return [child.line for child in below] if isinstance(below, list) else None

    assert lines(root) == {"a": (1, {"b": (2, None), "c": (4, [5, 6])})}


def test_text_of_the_command_line_has_no_lines() -> None:
    root = parse("{a: 1}", "--set x", [], numbered=False)

    assert root.line is None
    assert isinstance(root.value, dict)
    assert root.value["a"].line is None


@pytest.mark.parametrize(
    "text, problem",
    [
        ("a: 1\nb: 2\na: 3\n", "c.yaml:3: a: duplicate key, first on line 1"),
        ("a:\n\tb: 1\n", f"c.yaml:2: not YAML: {TAB}"),
        ("a: [1,\n", "c.yaml:2: not YAML: while parsing a flow node, expected the node content, but found '<stream end>'"),
        ("a: 1\n---\nb: 2\n", "c.yaml:2: not YAML: expected a single document in the stream, but found another document"),
        ("a: *b\n", "c.yaml:1: not YAML: found undefined alias 'b'"),
        ("a: &x [*x]\n", "c.yaml:1: a[0]: an alias must not contain itself"),
        ("a: !secret x\n", "c.yaml:1: a: tags are not supported, got !secret"),
        ("a: !!binary eA==\n", "c.yaml:1: a: tags are not supported, got !!binary"),
        ("a: !!set {x, y}\n", "c.yaml:1: a: tags are not supported, got !!set"),
        ("a: {<<: {b: 1}}\n", "c.yaml:1: a: merge keys (<<) are not in YAML 1.2; write the keys out"),
        ("a:\n  1: 2\n", "c.yaml:2: a: a key must be text (put it in quotes), got 1"),
        ("? [a]\n: 1\n", "c.yaml:1: a key must be text, got a list or mapping"),
        ('a: "\\ud800"\n', "c.yaml:1: a: a lone surrogate (\\ud800 to \\udfff) is not Unicode text"),
        ("a: " + "9" * 5000, "c.yaml:1: a: a number this long is not supported"),
        ("a: 1\nb: \0", "c.yaml:2: not YAML: unacceptable character #x0000: special characters are not..."),
        ("[" * 999, f"c.yaml:1: not YAML: nested more than {MAX_DEPTH} deep"),
        ("a:\n  b: {prompt}\n", "c.yaml:2: a.b.prompt: {prompt} is a mapping without a value; put a template in quotes"),
    ],
)  # fmt: skip
def test_what_a_config_must_not_hold_is_told_with_its_line(text: str, problem: str) -> None:
    assert problems_of(text) == [problem]


def test_all_problems_of_a_text_are_told_at_once() -> None:
    assert len(problems_of("a: 1\na: 2\nb: !x 1\nc: {1: 2}\n")) == 3


def test_aliases_that_multiply_are_stopped() -> None:
    text = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n" for before, name in zip("abcdef", "bcdefg", strict=True)
    )

    assert problems_of(text)[0].endswith("more than 100000 values")


def test_an_alias_stands_for_its_anchor() -> None:
    assert value_of("\n  - &x {b: 1}\n  - *x") is not None
    assert problems_of("a: &x {b: 1}\nc: *x\nd: &x 2\n") == []


def test_an_empty_text_is_null() -> None:
    assert parse("# nothing\n", "c.yaml", []).value is None
