"""Hypothesis strategies that several tests share: each block belongs to one subject."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import strategies as st

# --- JSON values, rows and OpenAI Batch lines -------------------------------------------------------------------------------------

NASTY = [
    '"',
    "\\",
    "{",
    "}",
    "{{",
    "}}",
    "{a}",
    "\n",
    "\r\n",
    "\u2028",
    "\u0085",
    "\x00",
    "\x1f",
    "\x7f",
    "é",
    "日本",
    "😀",
    "</script>",
    "\ufeff",
]

texts = st.text(max_size=12) | st.lists(st.sampled_from(NASTY), max_size=4).map("".join)
# 64 bits and finite, because a JSON text can hold no more for sure.
numbers = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
json_objects = st.dictionaries(texts, json_values, max_size=4)
bodies = st.fixed_dictionaries({"model": texts}, optional={"max_tokens": json_values, "messages": json_values, "n": json_values})

custom_ids = st.text(st.characters(blacklist_categories=["Cc", "Cs"]), min_size=1, max_size=20) | st.integers(0, 40).map("row-{}".format)


@st.composite
def batch_lines(draw: st.DrawFn) -> bytes:
    """An OpenAI Batch line that is in order."""
    line: dict[str, Any] = {"method": "POST", "url": "/v1/chat/completions", "body": draw(bodies)}
    if draw(st.booleans()):
        line["custom_id"] = draw(custom_ids)
    return msgspec.json.encode({key: line[key] for key in draw(st.permutations(sorted(line)))})


@st.composite
def damaged(draw: st.DrawFn, lines: st.SearchStrategy[bytes]) -> bytes:
    """A line with bytes cut out, put in or changed."""
    line = bytearray(draw(lines))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(line)))
        line[at : at + draw(st.integers(0, 4))] = draw(
            st.binary(max_size=3) | st.sampled_from([b'"', b"\\ud800", b"{", b"]", b"NaN", b"\xff"])
        )
    return bytes(line)


@st.composite
def chunked(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """The same bytes in pieces, as a pipe may deliver them."""
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=8)))
    return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True) if start < end]
