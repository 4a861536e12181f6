"""Reads the plain part of YAML in which configs are written, a hundred times as fast as the whole of it.

Theory of operation. Nearly every config holds nothing but this: mappings and lists by indentation, `{...}` and `[...]` on one line,
words, numbers, and texts in quotes without escapes; comments. That is read here. At the first thing that is anything else, or that is
wrong, `read_plain` gives up and says nothing, and ruamel.yaml reads the text from its beginning: so YAML is what ruamel.yaml takes for
it, and only that says what is wrong. What is read here is the very same tree, with the same lines (`tests/properties/test_plain_yaml.py`).
So whoever is in doubt about a form leaves it out.
"""

from __future__ import annotations

import re
from typing import TypeVar

from pipeline.config.nodes import NUMBER_STARTS, Node, Scalar, plain_scalar

MOST_CHARACTERS = 100_000  # a config is written by hand; the whole reader knows what to say of mountains
MOST_DEPTH = 20
MOST_LETTERS = 1000  # of a text without quotes: a number of thousands of digits is no number to Python

_KEY = re.compile(r"([A-Za-z_][A-Za-z0-9_-]{0,99}):(?: +|$)")
# Words with one blank between them. A colon within a word, as in an address, is none that ends a key.
_WORD = r"[A-Za-z0-9_/.+-](?:[A-Za-z0-9_/.+-]|:(?=[A-Za-z0-9/]))*"
_SCALAR = re.compile(rf"""(?!-(?: |$))({_WORD}(?: {_WORD})*)|"([^"\\]*)"|'([^']*)'""")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,15})?")
_NOTHING_MORE = re.compile(r"(?: +#.*| *)$")

T = TypeVar("T")
Value = Scalar | dict[str, Node] | list[Node]


class _NotPlainError(Exception):
    """Something is not plain: the whole reader has to look at the text."""


def read_plain(text: str, source: str) -> Node | None:
    """The tree of a text, None where it is not plain, not YAML, or no mapping. source: what messages call it."""
    if len(text) > MOST_CHARACTERS or not text.replace("\n", "").isprintable():  # tabs and odd line ends are not
        return None
    lines = []
    for number, line in enumerate(text.split("\n"), 1):
        content = line.lstrip(" ")
        if content and content[0] != "#":
            lines.append((number, len(line) - len(content), content))
    if not lines or lines[0][1]:
        return None
    reader = _Reader(lines, source)
    try:
        return reader.whole()
    except _NotPlainError:
        return None


class _Reader:
    """One reading of lines: their number, indentation and content."""

    def __init__(self, lines: list[tuple[int, int, str]], source: str) -> None:
        self._lines = [*lines, (0, -1, "")]  # what ends every block
        self._source = source
        self._at = 0
        self._depth = 0

    def whole(self) -> Node:
        """The document, which must be a mapping."""
        number = self._lines[0][0]
        node = Node(self._mapping(0), self._source, number)
        if self._lines[self._at][1] >= 0:  # a line that no block took: it goes on with something, or is wrong
            raise _NotPlainError
        return node

    def _block(self, indent: int) -> Value:
        return self._list(indent) if self._lines[self._at][2].startswith("- ") else self._mapping(indent)

    def _mapping(self, indent: int) -> dict[str, Node]:
        self._go_in()
        found: dict[str, Node] = {}
        while True:
            number, column, content = self._lines[self._at]
            if column != indent:
                break
            key = _KEY.match(content)
            if key is None:
                raise _NotPlainError
            self._at += 1
            rest = content[key.end() :]
            value = self._below(indent) if rest[:1] in ("", "#") else self._on_one_line(rest, number)
            self._put(found, key[1], Node(value, self._source, number))
        self._depth -= 1
        return found

    def _list(self, indent: int) -> list[Node]:
        self._go_in()
        found: list[Node] = []
        while True:
            number, column, content = self._lines[self._at]
            if column != indent or not content.startswith("- "):
                break
            rest = content[2:].lstrip(" ")
            value: Value
            if _KEY.match(rest):  # a mapping that begins on the line of its dash
                inside = indent + len(content) - len(rest)
                self._lines[self._at] = (number, inside, rest)
                value = self._mapping(inside)
            else:
                self._at += 1
                value = self._on_one_line(rest, number)
            found.append(Node(value, self._source, number))
        self._depth -= 1
        return found

    def _go_in(self) -> None:
        self._depth += 1
        if self._depth > MOST_DEPTH:
            raise _NotPlainError

    def _below(self, indent: int) -> Value:
        """The value of a key with nothing behind it."""
        _, column, content = self._lines[self._at]
        if column > indent:
            return self._block(column)
        return self._list(indent) if column == indent and content.startswith("- ") else None

    def _on_one_line(self, text: str, number: int) -> Value:
        value, end = self._value(text, 0, number)
        if not _NOTHING_MORE.match(text, end):
            raise _NotPlainError
        return value

    def _value(self, text: str, at: int, number: int) -> tuple[Value, int]:
        """The value that begins in a text, and where it ends."""
        first = text[at : at + 1]
        if first == "[":
            return self._list_in_brackets(text, at + 1, number)
        if first == "{":
            return self._mapping_in_braces(text, at + 1, number)
        found = _SCALAR.match(text, at)
        if found is None:
            raise _NotPlainError
        word, double, single = found.groups()
        if word is None:
            return (single if double is None else double), found.end()
        if len(word) > MOST_LETTERS:
            raise _NotPlainError
        value = plain_scalar(word)
        # Of numbers only the usual forms: `.1e0` is one by YAML 1.2, and none to ruamel.yaml.
        if not isinstance(value, str) and word[0] in NUMBER_STARTS and not _NUMBER.fullmatch(word):
            raise _NotPlainError
        return value, found.end()

    def _list_in_brackets(self, text: str, at: int, number: int) -> tuple[list[Node], int]:
        self._go_in()
        found: list[Node] = []
        at = _after_blanks(text, at)
        if text[at : at + 1] != "]":
            while True:
                value, at = self._value(text, at, number)
                found.append(Node(value, self._source, number))
                at = _after_blanks(text, at)
                if text[at : at + 1] != ",":
                    break
                at = _after_blanks(text, at + 1)
        return self._closed(text, at, "]", found)

    def _mapping_in_braces(self, text: str, at: int, number: int) -> tuple[dict[str, Node], int]:
        self._go_in()
        found: dict[str, Node] = {}
        at = _after_blanks(text, at)
        if text[at : at + 1] != "}":
            while True:
                key = _KEY.match(text, at)
                if key is None:
                    raise _NotPlainError
                value, at = self._value(text, key.end(), number)
                self._put(found, key[1], Node(value, self._source, number))
                at = _after_blanks(text, at)
                if text[at : at + 1] != ",":
                    break
                at = _after_blanks(text, at + 1)
        return self._closed(text, at, "}", found)

    def _closed(self, text: str, at: int, bracket: str, found: T) -> tuple[T, int]:
        if text[at : at + 1] != bracket:
            raise _NotPlainError
        self._depth -= 1
        return found, at + 1

    def _put(self, found: dict[str, Node], name: str, node: Node) -> None:
        if name in found or not isinstance(plain_scalar(name), str):
            raise _NotPlainError
        found[name] = node


def _after_blanks(text: str, at: int) -> int:
    while text[at : at + 1] == " ":
        at += 1
    return at
