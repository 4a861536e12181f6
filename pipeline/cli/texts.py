"""What the command line says in sentences: the findings of check, verify and status.

Pure text out of records: no clock and no terminal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.cli.words import duration

if TYPE_CHECKING:
    from pipeline.inspect.check import CheckReport
    from pipeline.inspect.status import Status
    from pipeline.inspect.verify import Verification

SHOWN_BODY = 600  # characters of a request: enough to see whether the template took what was meant


def report_text(report: CheckReport) -> str:
    """The report for people."""
    lines = [f"{report.rows:,} rows: {report.requests:,} requests, {report.bad_rows:,} bad rows"]
    lines += [f"  {example}" for example in report.bad_row_examples]
    if report.bad_rows > len(report.bad_row_examples):
        lines.append(f"  and {report.bad_rows - len(report.bad_row_examples):,} more")
    if report.too_large:
        lines.append(f"{report.too_large:,} rows are over the token budget and would fail unsent (too_large)")
    lines.append(f"about {report.estimated_prompt_tokens:,} prompt tokens, at most {report.estimated_tokens:,} with the answers")
    if report.cost is not None:
        lines.append(f"cost: at most {report.cost:,.4f}")
    lines.append(_time_text(report))
    if report.first_request_url is not None and report.first_request_body is not None:
        body = report.first_request_body
        shown = body if len(body) <= SHOWN_BODY else f"{body[:SHOWN_BODY]}… ({len(body):,} characters)"
        lines.append(f"first request: POST {report.first_request_url}\n  {shown}")
    return "\n".join(lines + [f"note: {note}" for note in report.notes])


def _time_text(report: CheckReport) -> str:
    if report.duration_seconds is None:
        return "time: no limit is set, so it depends on how fast answers come"
    text = f"time: at least {duration(report.duration_seconds)}, limited by {report.limited_by}"
    if report.in_flight_binds_above_seconds is None:
        return text
    return f"{text}; max_in_flight binds instead when answers take longer than {duration(report.in_flight_binds_above_seconds)}"


def verification_text(found: Verification, output: str) -> str:
    """The findings for people."""
    if found.ok:
        return f"{output}: every one of {found.rows:,} rows is there once and in its place\nsha256 {found.digest}"
    head = f"{output}: {found.rows:,} rows in the input, {found.lines:,} lines in the output"
    counts = ", ".join(f"{count:,} {kind.replace('_', ' ')}" for kind, count in found.counts.items())
    return "\n".join([head, *found.problems, counts])


def status_text(found: Status, output: str, now: float) -> str:
    """The status for people. now: seconds since the epoch."""
    what = "running" if found.running else "finished" if found.finished else "stopped; `headrace run` goes on"
    rows = f"{found.recorded:,} rows" if found.rows is None else f"{found.recorded:,} of {found.rows:,} rows"
    lines = [
        f"{output}: {what}",
        f"{rows} have their outcome: {found.succeeded:,} succeeded, {found.failed:,} failed",
        f"{found.written:,} lines are written, {found.waiting:,} more in the journal",
    ]
    if found.unknown_outcome:
        lines.append(f"{found.unknown_outcome:,} attempts were cut off and may have been billed")
    if found.committed_at:
        lines.append(f"last commit {max(0.0, now - found.committed_at):,.0f} s ago")
    return "\n".join([*lines, *(f"the config differs: {change}" for change in found.changes)])
