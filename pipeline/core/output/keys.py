"""The keys of an output line, by its shape."""

from __future__ import annotations

KEYS = {
    "batch": frozenset({"id", "custom_id", "response", "error"}),
    "flat": frozenset(
        {
            *("index", "custom_id", "status", "content", "finish_reason", "usage", "status_code"),
            *("error", "attempts", "latency_seconds", "first_token_seconds", "lane", "response"),
        }
    ),
}
