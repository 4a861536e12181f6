"""Patterns that are compiled when they are first used."""

from __future__ import annotations

import re

import pytest

from pipeline.patterns import later

NO_PATTERN = "("  # which `re` refuses


def test_a_pattern_is_compiled_when_it_is_first_used() -> None:
    pattern = later(NO_PATTERN)

    with pytest.raises(re.error):
        pattern.search("text")


@pytest.mark.parametrize("text", ["a1b22", "", "b"])
def test_a_pattern_finds_what_re_finds(text: str) -> None:
    pattern, of_re = later(r"[0-9]+"), re.compile(r"[0-9]+")

    assert pattern.sub("#", text) == of_re.sub("#", text)
    assert pattern.findall(text) == of_re.findall(text)
    assert [found.span() for found in pattern.finditer(text)] == [found.span() for found in of_re.finditer(text)]
    for find in ("search", "match", "fullmatch"):
        assert bool(getattr(pattern, find)(text)) == bool(getattr(of_re, find)(text))


def test_a_pattern_keeps_its_flags() -> None:
    assert later("key", re.IGNORECASE).match("KEY")
    assert later(b"a.", re.DOTALL).fullmatch(b"a\n")


def test_a_pattern_has_no_other_attributes() -> None:
    with pytest.raises(AttributeError, match="nothing"):
        getattr(later("key"), "nothing")  # noqa: B009  mypy would refuse it
