"""Turns YAML text into a tree that knows the line of every key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.config.nodes import Node, plain_scalar
from pipeline.config.plain_yaml import read_plain
from pipeline.patterns import later

if TYPE_CHECKING:
    from pipeline.errors import Problem

_ONE_WORD = later(r"[A-Za-z0-9/][A-Za-z0-9_./-]{0,200}")


def parse(text: str, source: str, problems: list[Problem], *, key: str = "", numbered: bool = True) -> Node:
    """The tree of one YAML document; an empty document is a null, a text that is not YAML a broken node.

    problems: takes every problem that is found. key: path at which the tree will stand. numbered: whether the text has
    lines that a reader could look up.
    """
    if not numbered and _ONE_WORD.fullmatch(text):  # as in `--set sink.path=out.jsonl`, which needs no parser
        return Node(plain_scalar(text), source, None)
    if numbered and (tree := read_plain(text, source)) is not None:
        return tree
    from pipeline.config.full_yaml import read  # noqa: PLC0415  20 ms that most configs do not pay

    return read(text, source, problems, key=key, numbered=numbered)
