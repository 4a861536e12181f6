"""Checks of texts without regular expressions, which take 0.1 ms each to compile: they say what the expressions say."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.config import credentials
from pipeline.core.rows import templates, urls
from pipeline.core.rows.asked import streams_unasked
from pipeline.core.rows.headers import is_target, is_token, is_value, is_visible
from pipeline.patterns import later_where

if TYPE_CHECKING:
    from collections.abc import Callable

CHECKS: dict[str, tuple[Callable[[str], object], str]] = {
    "token": (is_token, r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"),
    "value": (is_value, r"[\t\x20-\x7e]*"),
    "visible": (is_visible, r"[!-~]+"),
    "target": (is_target, r"/[\x21-\x7e]*"),
    "host": (urls._is_name, r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_.])?"),
}
FOUND: dict[str, tuple[Callable[[str], object], str, int]] = {
    "dots": (urls._DOTS.search, r"/(?:\.|%2e){1,2}(?=/|\?|$)", re.IGNORECASE),
    "endpoint": (urls._ENDPOINT.search, r"/(?:chat/completions|completions|embeddings|responses|messages|moderations)$", 0),
    "field": (credentials._FIELD.fullmatch, r"\{[^{}]+\}", 0),
    "body name": (
        credentials.BODY_NAME.fullmatch,
        r"(x[-_])?(api[-_]?key|(access|auth|bearer)[-_]?token|(client|api)[-_]?secret|authorization|password)",
        re.IGNORECASE,
    ),
}
PIECES = [*"/.-_%?{}aZ0v~ \t!é²\x7f", "%2E", "/v1", "/chat/completions", "api_key", "Auth-Token", "X-", "paſſword", "secret"]
texts = st.lists(st.sampled_from(PIECES), max_size=6).map("".join) | st.text(max_size=6)


@pytest.mark.parametrize("check", CHECKS)
@given(text=texts)
@example(text="")
@example(text="a-")
@example(text="-a")
@example(text=".a")
@example(text="a.b.")
@example(text="/")
def test_a_check_says_what_its_expression_says(check: str, text: str) -> None:
    found, expression = CHECKS[check]

    assert bool(found(text)) == bool(re.fullmatch(expression, text))


@pytest.mark.parametrize("name", FOUND)
@given(text=texts)
@example(text="paſſword")
@example(text="apı_key")
@example(text="Bearer-Token")
@example(text="/a/%2E./")
def test_a_pattern_that_looks_for_pieces_first_finds_what_re_finds(name: str, text: str) -> None:
    find, expression, flags = FOUND[name]
    of_re = re.compile(expression, flags)

    assert bool(find(text)) == bool(of_re.fullmatch(text) if "fullmatch" in repr(find) else of_re.search(text))


def test_a_pattern_is_not_compiled_for_a_text_without_its_pieces() -> None:
    pattern = later_where(("key",), "(")

    assert pattern.search("a text") is None
    assert pattern.fullmatch("a text") is None
    with pytest.raises(re.error):
        pattern.search("a KEY")


@given(texts)
@example("/v1")
@example("/a/v1beta")
@example("/v1\n")
def test_the_version_of_a_path_is_its_last_part(path: str) -> None:
    found = re.search(r"/(v[0-9][a-z0-9]*)\Z", path)

    assert urls._version_of(path) == (found[0] if found else None)


@given(texts)
@example("/v1beta/models/m:streamGenerateContent")
@example("/api/chat/?a=b")
def test_an_endpoint_streams_unasked_by_the_end_of_its_path(url: str) -> None:
    ends = r"(?::stream(?:GenerateContent|RawPredict)|/api/chat|/api/generate|/generate_stream|/converse-stream)\Z"

    assert streams_unasked(url) == bool(re.search(ends, url.partition("?")[0].rstrip("/")))


@given(texts)
def test_an_identifier_is_no_unlikely_name_of_a_field(name: str) -> None:
    assert not (name.isidentifier() and (templates._UNLIKELY_NAME.search(name) or "!" in name))


@given(texts.filter(lambda text: "!" not in text and "?" not in text), st.booleans())
def test_a_name_without_marks_is_a_hole_and_nothing_else(written: str, alone: bool) -> None:  # noqa: FBT001
    found = templates._field.fullmatch(written)
    hole = templates._hole(written, "", [], alone=alone)

    assert found is not None
    assert (found["name"], found["conversion"], found["before"] or found["behind"]) == (written, None, None)
    assert (hole.name, hole.conversion, hole.absent, hole.alone) == (written, "", None, alone)


@given(texts)
def test_a_key_is_never_shorter_than_what_is_looked_at(text: str) -> None:
    assert len(text) >= credentials.SHORTEST or not credentials.WHOLE_VALUE.fullmatch(text.strip())
