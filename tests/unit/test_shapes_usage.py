"""Tokens are counted in whatever form a reply says them, and endpoints are known by their paths."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from pipeline.core.answers.endpoints import Promise
from pipeline.core.answers.shapes import read_reply
from pipeline.records import NO_USAGE, Usage


@pytest.mark.parametrize(
    "usage, counted",
    [
        (
            {
                "prompt_tokens": 200,
                "prompt_tokens_details": {"cached_tokens": 150},
                "completion_tokens": 5,
                "cache_read_input_tokens": 150,
                "cache_creation_input_tokens": 40,
            },
            Usage(200, 5, 205, 150, 40),
        ),
        ({"prompt_tokens": 10, "completion_tokens": 5, "cache_creation_input_tokens": 150}, Usage(10, 5, 15)),
        ({"prompt_tokens": 10, "completion_tokens": 5, "prompt_cache_hit_tokens": 8}, Usage(10, 5, 15, 8)),
        ({"prompt_tokens": 10, "completion_tokens": 5, "cached_tokens": 8}, Usage(10, 5, 15, 8)),
        ({"prompt_tokens": 10.0, "completion_tokens": 5.0, "total_tokens": 15.0}, Usage(10, 5, 15)),
        ({"prompt_tokens": 14417.92}, Usage(14417, 0, 14417)),
        ({"prompt_tokens": "10", "completion_tokens": "5"}, Usage(10, 5, 15)),
        ({"prompt_tokens": 10**20, "completion_tokens": 5}, Usage(0, 5, 5)),
        ({"prompt_tokens": 10, "completion_tokens": "many"}, Usage(10, 0, 10)),
        ({"prompt_tokens": 10, "prompt_tokens_details": {"cached_tokens": 4}, "completion_tokens": 5}, Usage(10, 5, 15, 4)),
        ({"prompt_tokens": 10, "prompt_tokens_details": [], "completion_tokens": 5}, Usage(10, 5, 15)),
        (
            {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 22, "completion_tokens_details": {"reasoning_tokens": 7}},
            Usage(10, 12, 22, 0, 0, 7),
        ),
        ({"prompt_tokens": 10, "completion_tokens": 5, "cache_read_input_tokens": 8}, Usage(10, 5, 15)),
        ({"inputTokens": 3, "outputTokens": 2, "cacheReadInputTokens": 4}, Usage(7, 2, 9, 4)),
        ({"queries": 1}, NO_USAGE),
        ([], NO_USAGE),
    ],
)
def test_usage_is_counted_in_whatever_form_it_comes(usage: Any, counted: Usage) -> None:
    assert (
        read_reply(msgspec.json.encode({"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}], "usage": usage})).tokens
        == counted
    )


@pytest.mark.parametrize(
    "url, known",
    [
        ("/v1/chat/completions", True),
        ("/v1/chat/completions/?api-version=1", True),
        ("/v1beta/models/g:generateContent", True),
        ("/v1beta/models/g:streamGenerateContent?alt=sse", True),
        ("/api/chat", True),
        ("/my/own", False),
        ("/", False),
    ],
)
def test_an_endpoint_is_known_by_the_end_of_its_path(url: str, *, known: bool) -> None:
    assert Promise(url).known is known
