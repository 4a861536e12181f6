"""What the command line says in sentences: progress, summaries and the findings of check, verify and status.

Pure text out of records: no clock and no terminal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.inspect.check import CheckReport
    from pipeline.inspect.status import Status
    from pipeline.inspect.verify import Verification
    from pipeline.records import Progress, Summary

NO_LIMIT = frozenset({"input", "retry"})  # what a gate waits for when no limit holds it


SHOWN_BODY = 600  # characters of a request: enough to see whether the template took what was meant


def progress_text(progress: Progress, rate: float) -> str:
    """One line: rows, rate, what went wrong, what is under way, and when it will end if that can be known."""
    rows, expected = progress.rows_total, progress.rows_expected
    total = f"/{rows:,}" if rows is not None else f"/~{expected:,}" if expected is not None else ""
    parts = [f"{progress.rows_done:,}{total} rows", f"{rate:,.1f}/s"]
    parts += [f"{count:,} {name}" for count, name in ((progress.rows_failed, "failed"), (progress.retries, "retries")) if count]
    parts.append(f"{progress.in_flight:,} in flight")
    if progress.waiting:
        parts.append(f"{progress.waiting:,} waiting to retry")
    if progress.bound and progress.bound not in NO_LIMIT:
        parts.append(f"held by {progress.bound}")
    end = expected if rows is None else rows
    left = None if end is None else end - progress.rows_done
    if left is not None and left > 0 and rate > 0:
        parts.append(f"ETA {duration_text(left / rate)}")
    return " · ".join(parts)


def duration_text(seconds: float) -> str:
    """Seconds as people say them: 4.2 s, 3 min 05 s, 2 h 07 min."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes:02} min"


def summary_text(summary: Summary, output: str) -> str:
    """The last words on a run: what came of it, what it took, what held it back, and where the results are."""
    rate = f"{summary.requests_per_second:,.1f}/s"
    lines = [
        f"{summary.total:,} rows in {duration_text(summary.duration_seconds)}: {summary.succeeded:,} succeeded, {summary.failed:,} failed",
        f"{summary.attempts:,} attempts at {rate}, {summary.retries:,} retries, {summary.throttled:,} throttled",
        f"{summary.prompt_tokens:,} prompt tokens, {summary.output_tokens:,} output tokens" + _cost(summary.cost),
    ]
    if summary.from_cache:
        lines.append(f"{summary.from_cache:,} rows cost nothing: their answer was there already (cache, dedupe)")
    if summary.skipped_resumed:
        lines.append(f"{summary.skipped_resumed:,} rows were finished before")
    if summary.unknown_outcome:
        lines.append(f"{summary.unknown_outcome:,} attempts got no answer and may have been billed")
    if cut := summary.finish_reasons.get("length"):
        lines.append(f"{cut:,} answers were cut at their token limit (finish_reason length)")
    if filtered := summary.finish_reasons.get("content_filter"):
        lines.append(f"{filtered:,} answers were held back or cut by the provider's content filter (finish_reason content_filter)")
    if summary.rejected:
        lines.append(f"{summary.rejected:,} answers under a success status held no answer, and may have been billed")
    if summary.limited_by:
        shares = sorted(summary.limited_by.items(), key=lambda item: -item[1])
        lines.append("held back by " + ", ".join(f"{name} {share:.0%}" for name, share in shares))
    lines.append(f"results: {output}")
    if summary.failed:
        lines.append("each failed row has its error in its place in the results")
    return "\n".join(lines)


def _cost(cost: float | None) -> str:
    return "" if cost is None else f", cost {cost:,.4f}"


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
    text = f"time: at least {duration_text(report.duration_seconds)}, limited by {report.limited_by}"
    if report.in_flight_binds_above_seconds is None:
        return text
    return f"{text}; max_in_flight binds instead when answers take longer than {duration_text(report.in_flight_binds_above_seconds)}"


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
