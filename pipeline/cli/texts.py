"""What the command line says in sentences: the results of check, verify and status.

Records become text here, without a clock or a terminal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.cli.view import held_words
from pipeline.core.output.words import amount, duration, many, share, three_digits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.inspect.check import CheckReport
    from pipeline.inspect.forecast import LaneForecast
    from pipeline.inspect.status import Status
    from pipeline.inspect.verify import Verification

SHOWN_BODY = 600  # characters of a request: enough to see whether the template took what was meant


def report_text(report: CheckReport) -> str:
    """The report for people."""
    lines = [f"{many(report.rows, 'row')}: {many(report.requests, 'request')}, {many(report.bad_rows, 'bad row')}"]
    lines += [f"  {example}" for example in report.bad_row_examples]
    if report.bad_rows > len(report.bad_row_examples):
        lines.append(f"  and {report.bad_rows - len(report.bad_row_examples):,} more")
    if report.too_large:
        lines.append(f"{report.too_large:,} rows are over the token budget and would fail unsent (too_large)")
    bounded = report.estimated_tokens > report.estimated_prompt_tokens
    answers = f"at most {report.estimated_tokens:,} with the answers" if bounded else "answers not counted: no max_tokens bounds them"
    lines.append(f"about {report.estimated_prompt_tokens:,} prompt tokens, {answers}")
    if report.cost is not None:
        lines.append(f"cost: at most {report.cost:,.4f}" if bounded else f"cost: at least {report.cost:,.4f}, for the prompts")
    lines.append(_time_text(report))
    if len(report.lanes) > 1:
        lines += map(_lane_text, report.lanes)
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


def _lane_text(lane: LaneForecast) -> str:
    """What one of several lanes allows."""
    if lane.allowed_per_second is None:
        return f"  {lane.name}: no limit is set"
    part = "" if lane.share is None else f", {share(lane.share)} of the rows"
    above = "" if lane.in_flight_binds_above_seconds is None else f"; max_in_flight above {duration(lane.in_flight_binds_above_seconds)}"
    return f"  {lane.name}: {amount(lane.allowed_per_second)} rows a second ({lane.limited_by}{above}){part}"


def verification_text(found: Verification, output: str) -> str:
    """The findings for people."""
    if found.ok:
        return f"{output}: every one of {found.rows:,} rows is there once and in its place\nsha256 {found.digest}"
    head = f"{output}: {found.rows:,} rows in the input, {found.lines:,} lines in the output"
    counts = ", ".join(f"{count:,} {kind.replace('_', ' ')}" for kind, count in found.counts.items())
    return "\n".join([head, *found.problems, counts])


def status_text(found: Status, output: str, now: float) -> str:
    """The status for people. now: seconds since the epoch."""
    again = "headrace run" if found.shards is None else "headrace run --engine ray"
    what = "running" if found.running else "finished" if found.finished else f"stopped; `{again}` goes on"
    lines = [
        f"{output}: {what}",
        f"{_rows_done(found)} are done: {found.succeeded:,} succeeded, {found.failed:,} failed",
        *([_pace(found)] if found.running else []),
        f"{found.written:,} lines are written, {found.waiting:,} more in the journal",
    ]
    if found.running:
        lines += _held(found)
    if found.shards is not None:
        lines.append(f"{found.shards_done:,} of {found.shards:,} shards are whole")
    if found.unknown_outcome:
        were = "was" if found.unknown_outcome == 1 else "were"
        lines.append(f"{many(found.unknown_outcome, 'attempt')} {were} cut off and may have been billed")
    if found.committed_at:
        lines.append(f"last commit {max(0.0, now - found.committed_at):,.0f} s ago")
    return "\n".join([*lines, *(f"the config differs: {change}" for change in found.changes)])


def _held(found: Status) -> Iterator[str]:
    """What holds the run back, and each of several lanes."""
    names = {lane.name: held_words(lane.bound, lane.out_seconds) for lane in found.lanes}
    if found.bound:
        yield f"held by {held_words(found.bound)}"
    if len(set(names.values())) > 1:
        yield from (f"  {name}: {held}" for name, held in names.items())


def _rows_done(found: Status) -> str:
    if found.rows_expected is None or found.fraction is None:
        return f"{found.recorded:,} rows"
    about = "" if found.rows is not None else "about "
    total = found.rows_expected if found.rows is not None else three_digits(found.rows_expected)
    return f"{found.recorded:,} of {about}{max(total, found.recorded):,} rows ({share(found.fraction)})"


def _pace(found: Status) -> str:
    """How fast it goes, what is under way, and when it will be done."""
    parts = [] if found.rows_per_second is None else [f"{amount(found.rows_per_second)} rows a second"]
    parts.append(f"{found.in_flight:,} in flight")
    if found.waiting_to_retry:
        parts.append(f"{found.waiting_to_retry:,} wait to be retried")
    if found.eta_seconds is not None:
        parts.append(f"about {duration(found.eta_seconds)} left")
    return ", ".join(parts)
