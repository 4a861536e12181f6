"""Turns a tree of nodes into sections, strictly, and collects every problem with its line.

Knows annotations, not settings: any section whose fields are scalars, enums, JSON, mappings, sequences, `T | None` or other
sections can be built. A problem that a class itself raises (ConfigError or ValueError) is given its key and line here.
"""

from __future__ import annotations

import math
import typing
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, get_args, get_origin

from pipeline.config.kinds import alternatives, describe, mismatch, without_none
from pipeline.config.nodes import Node, dotted
from pipeline.config.sections import is_section, settings_of
from pipeline.core.rows.templates import JSON
from pipeline.errors import ConfigError
from pipeline.patterns import later

if TYPE_CHECKING:
    from pipeline.config.sections import Setting
    from pipeline.errors import Problem

T = typing.TypeVar("T")

STEPS = later(r"[^.\[\]]+|\[(\d+)\]")


def build(node: Node, cls: type[T], known: Sequence[Problem] = ()) -> T:
    """A section of a class. known: problems found before, to be told with those of the tree.

    Raises: ConfigError, with every problem in the order of the lines; problems of the command line come last.
    """
    builder = _Builder(node, cls)
    made = builder.value(node, cls, "")
    problems = [*known, *builder.problems]
    if problems or not isinstance(made, cls):
        raise ConfigError(sorted(problems, key=lambda problem: math.inf if problem.line is None else problem.line))
    return made


def all_keys(cls: type, path: str = "") -> Iterator[str]:
    """The dotted key of every setting of a class, sections included, in their order."""
    for setting in settings_of(cls):
        key = dotted(path, setting.name)
        yield key
        inner, _ = without_none(setting.hint)
        if is_section(inner):
            yield from all_keys(inner, key)


class _Missing:
    """What stands for a value that had a problem."""


MISSING = _Missing()


class _Builder:
    """One build; it owns the problems found on the way."""

    def __init__(self, root: Node, cls: type) -> None:
        self.problems: list[Problem] = []
        self._root = root
        self._cls = cls

    def section(self, node: Node, cls: type, path: str) -> object:
        """A section out of a mapping; one left empty has all its defaults."""
        entries = {} if node.value is None else node.value
        if not isinstance(entries, dict):
            return self._expected("a mapping", node, path)
        settings = settings_of(cls)
        known = [setting.name for setting in settings]
        for name, child in entries.items():
            if name not in known:
                self._complain(child, dotted(path, name), self._unknown(name, known))
        values: dict[str, object] = {}
        for setting in settings:
            name, key = setting.name, dotted(path, setting.name)
            if name in entries:
                values[name] = self._field(entries[name], setting, key)
            elif setting.required:
                values[name] = self._complain(node, key, "missing required key")
        return MISSING if MISSING in values.values() else self._make(cls, values, path)

    def _make(self, cls: type, values: dict[str, object], path: str) -> object:
        try:
            return cls(**values)
        except ConfigError as error:
            for problem in error.problems:
                key = dotted(path, problem.key)
                self._complain(self._nearest(key), key, problem.message)
        except ValueError as error:
            key, message = _key_of(str(error), list(values), path)
            self._complain(self._nearest(key), key, message)
        return MISSING

    def _field(self, node: Node, setting: Setting, path: str) -> object:
        """A value that its rules have seen too, so that its problem stands beside those of other fields."""
        value = self.value(node, setting.hint, path)
        if value is MISSING:
            return value
        try:
            problems = setting.problems("", value)
        except ValueError as error:
            key, message = _key_of(str(error), [setting.name], path.removesuffix(setting.name).removesuffix("."))
            return self._complain(self._nearest(key), key, message)
        for problem in problems:
            key = path + problem.key.removeprefix(setting.name)
            self._complain(self._nearest(key), key, problem.message)
        return MISSING if problems else value

    def value(self, node: Node, hint: object, path: str) -> object:
        """A value of the annotated type out of a node."""
        inner, optional = without_none(hint)
        if node.broken:
            return MISSING
        if hint is JSON:
            return self._json(node, path)
        if optional:
            return None if node.value is None else self.value(node, inner, path)
        arms = alternatives(hint)
        if arms:
            return self.value(node, _arm_for(node, arms), path)
        if is_section(hint):
            return self.section(node, hint, path)
        if isinstance(hint, type) and issubclass(hint, Enum):
            return self._member(node, hint, path)
        return self._container(node, hint, path) if get_origin(hint) else self._scalar(node, hint, path)

    def _scalar(self, node: Node, hint: object, path: str) -> object:
        message = mismatch(node.value, hint)
        if message is not None:
            return self._complain(node, path, message)
        return float(node.value) if hint is float and isinstance(node.value, int) else node.value

    def _container(self, node: Node, hint: object, path: str) -> object:
        inner = get_args(hint)
        if get_origin(hint) in {Mapping, dict}:
            return self._mapping(node, inner[1], path) if isinstance(node.value, dict) else self._expected("a mapping", node, path)
        return tuple(self._items(node.value, inner[0], path)) if isinstance(node.value, list) else self._expected("a list", node, path)

    def _json(self, node: Node, path: str) -> object:
        if isinstance(node.value, dict):
            return self._mapping(node, JSON, path)
        if isinstance(node.value, list):
            return self._items(node.value, JSON, path)
        return self._scalar(node, JSON, path)

    def _member(self, node: Node, hint: type[Enum], path: str) -> object:
        for member in hint:
            if member.value == node.value and isinstance(node.value, type(member.value)):
                return member
        names = [str(member.value) for member in hint]
        return self._complain(node, path, f"must be one of {', '.join(names)}; got {describe(node.value)}{_guess(str(node.value), names)}")

    def _mapping(self, node: Node, hint: object, path: str) -> dict[str, object]:
        """Leaves out what is wrong, so that the rules can look at the rest; what was wrong ends the build anyway."""
        entries = node.value if isinstance(node.value, dict) else {}
        made = {name: self.value(child, hint, dotted(path, name)) for name, child in entries.items()}
        return {name: value for name, value in made.items() if value is not MISSING}

    def _items(self, nodes: list[Node], hint: object, path: str) -> list[object]:
        made = [self.value(child, hint, dotted(path, index)) for index, child in enumerate(nodes)]
        return [value for value in made if value is not MISSING]

    def _expected(self, what: str, node: Node, path: str) -> _Missing:
        return self._complain(node, path, f"must be {what}, got {describe(node.value)}")

    def _unknown(self, name: str, known: list[str]) -> str:
        guess = _guess(name, known)
        elsewhere = [] if guess else [key for key in all_keys(self._cls) if key.rpartition(".")[2] == name]
        if elsewhere:
            guess = f", did you mean {' or '.join(elsewhere)}?"
        return f"unknown key{guess}" if guess else f"unknown key; known here: {', '.join(known)}"

    def _nearest(self, key: str) -> Node:
        """The node at a key path, or the innermost one on the way to it that was written down."""
        node = self._root
        for step in STEPS.finditer(key):
            if isinstance(node.value, dict) and step[0] in node.value:
                node = node.value[step[0]]
            elif isinstance(node.value, list) and step[1] and int(step[1]) < len(node.value):
                node = node.value[int(step[1])]
            else:
                return node
        return node

    def _complain(self, node: Node, key: str, message: str) -> _Missing:
        self.problems.append(node.problem(key, message))
        return MISSING


def _arm_for(node: Node, arms: tuple[object, ...]) -> object:
    """Which of several types a node is meant to be: a section where it is a mapping, a sequence where it is a list, else the first."""
    if isinstance(node.value, dict):
        fitting: list[object] = list(filter(is_section, arms))
    else:
        fitting = [arm for arm in arms if isinstance(node.value, list) and get_origin(arm) is Sequence]
    return fitting[0] if fitting else arms[0]


def _guess(name: str, known: list[str]) -> str:
    import difflib  # noqa: PLC0415  10 ms that only a wrong config pays

    near = difflib.get_close_matches(name.lower().replace("-", "_"), known, n=1)
    return f", did you mean {near[0]}?" if near else ""


def _key_of(message: str, names: list[str], path: str) -> tuple[str, str]:
    """Key and message out of a ValueError that says `name[.key]: …` or `name[.key] must …`."""
    first, _, rest = message.partition(" ")
    stem = first.removesuffix(":")
    if rest and stem.partition(".")[0] in names:
        return dotted(path, stem), rest
    return path, message
