"""Records of a run's progress, for the tests of what is shown of it."""

from __future__ import annotations

from msgspec.structs import replace

from pipeline.cli.view import Facts
from pipeline.summaries import FailedRow, FailureGroup, Progress

FACTS = Facts(source="prompts.jsonl", sink="results.jsonl", requests=60.0, tokens_per_minute=2_000_000.0, max_in_flight=400)
PLAIN_FACTS = Facts(source="stdin", sink="out.jsonl", requests=None, tokens_per_minute=None, max_in_flight=50)
START = Progress(
    rows_read=0,
    rows_done=0,
    rows_failed=0,
    rows_total=None,
    attempts=0,
    retries=0,
    throttled=0,
    in_flight=0,
    waiting=0,
    elapsed_seconds=0.0,
    bound="",
)
FAILURES = {
    "http_400": FailureGroup(22, FailedRow(5053, "row-5053", "content_policy_violation: blocked by our\ncontent \x1b[31mpolicy")),
    "invalid_row": FailureGroup(6, FailedRow(12, "row-12", "line 13: field 'prompt' is missing")),
    "too_large": FailureGroup(2, FailedRow(1407, "row-1407", "9,812 tokens at once")),
}
BUSY = replace(
    START,
    rows_read=6000,
    rows_done=5038,
    rows_failed=30,
    attempts=5300,
    retries=210,
    throttled=45,
    in_flight=180,
    waiting=7,
    elapsed_seconds=130.0,
    bound="requests_per_minute",
    rows_expected=10_003,
    prompt_tokens=2_000_000,
    output_tokens=500_000,
    cost=2.82,
    failures=FAILURES,
)


def at(seconds: float, done: int, total: int | None = None) -> Progress:
    """A run that has done so much in so many seconds."""
    return replace(START, elapsed_seconds=seconds, rows_done=done, rows_read=done, rows_total=total)
