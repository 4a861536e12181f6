"""Turns YAML text into a tree that knows the line of every key.

The only module that imports ruamel.yaml. Scalars are read by YAML 1.2's core schema and by nothing else, so `no`, `12:30` and
`2026-01-01` are text and `1e3` is a number. What YAML allows and a config must not hold (duplicate keys, tags, keys that are not
text, loops, mountains of aliases) is a problem here; what the keys mean is decided elsewhere.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from msgspec import Struct
from ruamel.yaml import YAML
from ruamel.yaml.composer import MaxDepthExceededError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode

from pipeline.errors import Problem
from pipeline.patterns import later

if TYPE_CHECKING:
    from ruamel.yaml.nodes import Node as YamlNode

Scalar = str | int | float | bool | None

TAG = "tag:yaml.org,2002:"
MAX_NODES = 100_000  # a config is written by hand; more than this is a data file, or aliases that multiply
MAX_DEPTH = 60  # deeper than any request body, and far from Python's recursion limit

LONE_SURROGATE = "a lone surrogate (\\ud800 to \\udfff) is not Unicode text"
NULL = frozenset({"", "~", "null", "Null", "NULL"})
BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
NUMBER_STARTS = frozenset("+-.0123456789")
INTEGER = later(r"[-+]?[0-9]+")
OCTAL_OR_HEX = later(r"0o[0-7]+|0x[0-9a-fA-F]+")
FLOAT = later(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
INFINITE = later(r"([-+]?)\.(?:inf|Inf|INF)")
_ONE_WORD = later(r"[A-Za-z0-9/][A-Za-z0-9_./-]{0,200}")
COLONS = frozenset({"mapping values are not allowed here", "expected ',' or '}', but got ':'"})  # of a text that is not in quotes
NOT_A_NUMBER = frozenset({".nan", ".NaN", ".NAN"})


class Node(Struct, frozen=True, eq=False):
    """A value and where it was written.

    line: 1-based, of its key; None when it came from the command line. broken: its problem is known already, so nobody
    need look at the value.
    """

    value: Scalar | dict[str, Node] | list[Node]
    source: str
    line: int | None
    broken: bool = False

    def child(self, name: str) -> Node | None:
        """What is below a key, or None; also if this is not a mapping."""
        return self.value.get(name) if isinstance(self.value, dict) else None

    def problem(self, key: str, message: str) -> Problem:
        """Something wrong with this value. key: the dotted path that leads here."""
        return Problem(key, message, self.source, self.line)


def parse(text: str, source: str, problems: list[Problem], *, key: str = "", numbered: bool = True) -> Node:
    """The tree of one YAML document; an empty document is a null, a text that is not YAML a broken node.

    problems: takes every problem that is found. key: path at which the tree will stand. numbered: whether the text has
    lines that a reader could look up.
    """
    if not numbered and _ONE_WORD.fullmatch(text):  # as in `--set sink.path=out.jsonl`, which needs no parser
        return Node(plain_scalar(text), source, None)
    reader = YAML(typ="safe", pure=True)
    reader.max_depth = MAX_DEPTH
    reader.composer.warn_double_anchors = False  # YAML lets an anchor be used again
    try:
        root = reader.compose(text)
    except MarkedYAMLError as error:
        problems.append(_syntax_problem(error, source, numbered=numbered))
        return Node(None, source, None, broken=True)
    except (YAMLError, RecursionError, ValueError) as error:
        position = getattr(error, "position", None)
        line = text.count("\n", 0, position) + 1 if isinstance(position, int) and numbered else None
        problems.append(Problem("", f"not YAML: {_short(str(error).splitlines()[0])}", source, line))
        return Node(None, source, None, broken=True)
    if root is None:
        return Node(None, source, 1 if numbered else None)
    return _Growth(source, problems, numbered=numbered).grow(root, key, root.start_mark.line)


class _Growth:
    """One conversion of ruamel's nodes into ours."""

    def __init__(self, source: str, problems: list[Problem], *, numbered: bool) -> None:
        self._problems = problems
        self._source = source
        self._numbered = numbered
        self._left = MAX_NODES
        self._open: set[int] = set()

    def grow(self, node: YamlNode, key: str, line: int) -> Node:
        """Our node for ruamel's. line: 0-based."""
        self._left -= 1
        if self._left < 0:
            return self._broken(key, line, f"more than {MAX_NODES} values")
        if isinstance(node, ScalarNode):
            return self._scalar(node, key, line)
        if id(node) in self._open:
            return self._broken(key, line, "an alias must not contain itself")
        if str(node.tag) not in {TAG + "map", TAG + "seq"}:
            return self._tagged(node, key, line)
        self._open.add(id(node))
        value: dict[str, Node] | list[Node]
        if isinstance(node, MappingNode):
            value = self._mapping(node, key)
        else:
            value = [self.grow(item, dotted(key, index), item.start_mark.line) for index, item in enumerate(node.value) if self._left >= 0]
        self._open.discard(id(node))
        return self._node(value, line)

    def _mapping(self, node: MappingNode, key: str) -> dict[str, Node]:
        found: dict[str, Node] = {}
        for name_node, value_node in node.value:
            if self._left < 0:
                break
            line = name_node.start_mark.line
            name = self._name(name_node, key, line)
            if name is None:
                continue
            path = dotted(key, name)
            if name in found:
                self._broken(path, line, f"duplicate key, first on line {found[name].line}")
            elif node.flow_style and len(node.value) == 1 and _is_left_out(value_node):
                found[name] = self._broken(path, line, f"{{{_short(name)}}} is a mapping without a value; put a template in quotes")
            else:
                found[name] = self.grow(value_node, path, line)
        return found

    def _name(self, node: YamlNode, key: str, line: int) -> str | None:
        if not isinstance(node, ScalarNode):
            self._broken(key, line, "a key must be text, got a list or mapping")
            return None
        if node.value == "<<" and node.style is None:
            self._broken(key, line, "merge keys (<<) are not in YAML 1.2; write the keys out")
            return None
        name = self._scalar(node, key, line)
        if isinstance(name.value, str):
            return name.value
        if not name.broken:
            self._broken(key, line, f"a key must be text (put it in quotes), got {_short(str(node.value))}")
        return None

    def _scalar(self, node: ScalarNode, key: str, line: int) -> Node:
        text, tag = str(node.value), str(node.tag)
        if node.style is not None or tag == TAG + "str":
            if tag != TAG + "str":
                return self._tagged(node, key, line)
            whole = _without_surrogates(text)
            return self._node(whole, line) if whole is not None else self._broken(key, line, LONE_SURROGATE)
        if not tag.startswith(TAG) or tag == TAG + "binary":
            return self._tagged(node, key, line)
        try:
            return self._node(plain_scalar(text), line)
        except ValueError:  # Python refuses to read an integer of more than some thousand digits
            return self._broken(key, line, "a number this long is not supported")

    def _tagged(self, node: YamlNode, key: str, line: int) -> Node:
        return self._broken(key, line, f"tags are not supported, got {_short(str(node.tag).replace(TAG, '!!'))}")

    def _node(self, value: Scalar | dict[str, Node] | list[Node], line: int) -> Node:
        return Node(value, self._source, line + 1 if self._numbered else None)

    def _broken(self, key: str, line: int, message: str) -> Node:
        node = Node(None, self._source, line + 1 if self._numbered else None, broken=True)
        self._problems.append(node.problem(key, message))
        return node


def plain_scalar(text: str) -> Scalar:
    """What an unquoted scalar means. Source: YAML 1.2.2, section 10.3.2, tag resolution of the core schema."""
    if text in NULL:
        return None
    if text in BOOLEANS:
        return BOOLEANS[text]
    if text[0] not in NUMBER_STARTS:
        return text
    if INTEGER.fullmatch(text):
        return int(text)
    if OCTAL_OR_HEX.fullmatch(text):
        return int(text, 0)
    if FLOAT.fullmatch(text):
        return float(text)
    if text in NOT_A_NUMBER:
        return math.nan
    infinite = INFINITE.fullmatch(text)
    return text if infinite is None else float(f"{infinite[1]}inf")


def dotted(path: str, step: str | int) -> str:
    """The key path one step further in. A key that would not show is written as Python writes it."""
    if isinstance(step, int):
        return f"{path}[{step}]"
    step = step if step and step.isprintable() else repr(step)
    return f"{path}.{step}" if path else step


def _is_left_out(node: YamlNode) -> bool:
    return isinstance(node, ScalarNode) and node.style is None and node.value == ""


def _syntax_problem(error: MarkedYAMLError, source: str, *, numbered: bool) -> Problem:
    mark = error.problem_mark or error.context_mark
    said = ", ".join(str(part) for part in (error.context, error.problem) if part)
    if isinstance(error, MaxDepthExceededError):
        said = f"nested more than {MAX_DEPTH} deep"
    hint = "; indent with spaces, not with tabs" if "\\t" in said else ""
    if error.problem in COLONS:
        hint = "; put a text that has a colon and a blank in it in quotes"
    return Problem("", f"not YAML: {said}{hint}", source, mark.line + 1 if mark is not None and numbered else None)


def _without_surrogates(text: str) -> str | None:
    """The text with each escaped pair joined, as JSON writes what lies beyond U+FFFF; None where half of a pair is left."""
    try:
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        return None


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."
