"""The summary of a run: what came of it, what failed and why, what held it back, what to do, and where the results are.

Text out of records; every command in it can be run as it is written.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

from msgspec import Struct, to_builtins

from pipeline.core.output.words import amount, duration, many, money, title
from pipeline.core.pacing.findings import is_certain
from pipeline.patterns import later

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pipeline.summaries import FailureGroup, LaneSummary, Summary

WIDTH = 80
KINDS_SHOWN = 5
FOR_WHAT_THEY_ASK = frozenset({"http_400", "http_413", "http_422"})
USED_UP = later(r"((?:providers\[\d+\]\.)?budget\.\w+) is used up")
REFUSED = later(r"\bHTTP 40[13]\b")
LEAST_SHARE = 0.005  # of the time; what held the run back for less is left out
NOT_HELD = frozenset({"input", "retry", ""})  # what a gate waits for when nothing holds it back
MUCH_HELD = 0.1  # of the time; a pace that was found and held the run back for so long is worth to be written down
MANY_THROTTLED = 0.1  # of the attempts; above it the limits are worth a look

HELD_BY = {
    "in_flight": "max_in_flight",
    "pause": "the provider asked to wait",
    "learned": "the learned pace",
    "lane_out": "the provider out of reach",
    "output": "waiting for earlier rows to be written",
}
HELD_LANE_BY = {**HELD_BY, "lane_out": "out of reach", "standby": "rows went to other lanes"}


class Advice(Struct, frozen=True):
    """Something to do. command: "" where none helps."""

    text: str
    command: str = ""


def summary_text(summary: Summary, output: str, advice: Sequence[Advice], *, in_order: bool = True) -> str:
    """The summary for people. output: the results. advice: see `advice_on`."""
    blocks = [
        _counts(summary, finished=summary.stopped is None),
        _failures(summary.failures, summary.failed),
        _lanes(summary.lanes),
        _held(summary.limited_by, summary.attained) if summary.attempts else [],
        _advice(advice),
        _results(summary, output, in_order=in_order),
    ]
    apart = bool(summary.failed)  # a run without failures has few lines, and needs none between them
    return ("\n\n" if apart else "\n").join("\n".join(block) for block in blocks if block)


def summary_object(summary: Summary, advice: Sequence[Advice]) -> dict[str, Any]:
    """The summary for programs: what `--json` prints."""
    value: dict[str, Any] = to_builtins(summary)
    for code, group in value["failures"].items():
        group["resend"] = may_pass(code)
    value["advice"] = [{"text": each.text, "command": each.command or None} for each in advice]
    return value


def advice_on(
    summary: Summary,
    command: str,
    *,
    report: str = "",
    without_key: bool = False,
    learns: bool = True,
    more: Mapping[str, float] | None = None,
) -> list[Advice]:
    """What to do after a run, the most useful first.

    command: what goes on with the run, as `headrace run eval.yaml`. report: what writes its report, "" where nothing does.
    without_key: the provider was shown none. learns: the pace under the limits is found. more: a higher value for each part of
    the run's budget, by its setting.
    """
    finished = summary.stopped is None
    found = []
    said = summary.stopped or ""
    turned_away = bool(said and REFUSED.search(said)) or bool({"http_401", "http_403"} & summary.failures.keys())
    if without_key and turned_away and "no key was sent" not in said:
        found.append(Advice("no key was sent: name the environment variable that holds it in provider.api_key_env"))
    if not finished:
        found.append(_going_on(said, command, more))
    passing = sum(group.count for code, group in summary.failures.items() if may_pass(code))
    invalid = summary.failures.get("invalid_row")
    too_large = summary.failures.get("too_large")
    if passing and finished:
        rows = f"{passing:,} rows may pass" if passing > 1 else "1 row may pass"
        found.append(Advice(f"{rows} on another try", f"{command} --retry-failed"))
    if invalid is not None:
        what = "the bad row" if invalid.count == 1 else f"the {invalid.count:,} bad rows"
        found.append(Advice(f"correct {what} in the input, or the template in request.body, then", f"{command} --retry-failed=invalid_row"))
    if too_large is not None:
        what = "1 row is" if too_large.count == 1 else f"{too_large.count:,} rows are"
        found.append(Advice(f"{what} longer than a minute's tokens: raise limits.tokens_per_minute or shorten"))
    refused = sum(group.count for code, group in summary.failures.items() if code in FOR_WHAT_THEY_ASK)
    if refused:
        rows = "1 row was refused for what it asks" if refused == 1 else f"{refused:,} rows were refused for what they ask"
        found.append(Advice(f"{rows}; another try ends the same way"))
    if "http_404" in summary.failures:
        found.append(Advice("look at the model and the url of the request, and at provider.base_url (HTTP 404)"))
    learned = list(_learned(summary))
    found.extend(learned)
    if summary.attempts and summary.throttled / summary.attempts > MANY_THROTTLED and not learns:
        found.append(Advice(f"{summary.throttled / summary.attempts:.0%} of the attempts were throttled: lower the limits"))
    found.extend(_report(summary, report))
    if summary.unknown_outcome:
        attempts = many(summary.unknown_outcome, "attempt")
        found.append(Advice(f"{attempts} got no answer and may have been billed"))
    return found


def _report(summary: Summary, report: str) -> Iterator[Advice]:
    """Where all failures can be looked at, once the run is finished."""
    if report and summary.failed and summary.stopped is None:
        yield Advice("see every failure, and the plots", report)


def _going_on(stopped: str, command: str, more: Mapping[str, float] | None) -> Advice:
    """How to continue a run that was stopped. With the same budget it would stop again at once."""
    spent = USED_UP.findall(stopped)
    own = [setting for setting in spent if not setting.startswith("budget.")]
    if own:
        return Advice(f"raise {' or '.join(own)} in the config, then", command)
    if spent:
        raised = " ".join(f"--set {setting}={(more or {}).get(setting, 0):g}" for setting in spent)
        return Advice(f"continue with a higher {' and '.join(spent)}", f"{command} {raised}")
    return Advice("go on with the rows that are left", command)


def _learned(summary: Summary) -> Iterator[Advice]:
    """What was found out about limits that held the run back: a later run need not search for it."""
    paced = summary.limited_by.get("learned", 0.0) >= MUCH_HELD
    for number, lane in enumerate(summary.lanes):
        place = f" ({lane.name})" if lane.name else ""
        section = f"providers[{number}].limits" if lane.name else "limits"
        if lane.learned_in_flight is not None:
            yield Advice(f"worth writing into the config{place}: {section}.max_in_flight: {lane.learned_in_flight}")
        elif lane.learned_per_minute is not None and paced and is_certain(lane.kind, lane.attempts, summary.duration_seconds):
            rate = f"{lane.learned_per_minute:.0f}" if lane.learned_per_minute >= 10 else f"{lane.learned_per_minute:.2g}"
            yield Advice(f"worth writing into the config{place}: {section}.requests_per_minute: {rate}")


def may_pass(code: str) -> bool:
    """Whether rows that failed so may succeed when they are sent again."""
    from pipeline.core.answers.error_bodies import NO_ERROR
    from pipeline.core.output.written import may_have_passed

    return may_have_passed(code, None, NO_ERROR) or (code.startswith("http_") and may_have_passed(None, int(code[5:]), NO_ERROR))


def _counts(summary: Summary, *, finished: bool) -> list[str]:
    if not summary.attempts and not summary.from_cache and finished and summary.total == summary.skipped_resumed:
        head = f"nothing left to do: all {summary.total:,} rows were finished before" if summary.total else "the input has no rows"
        return [head if not summary.failed else f"{head}, {summary.failed:,} of them failed"]
    failed = f", {summary.failed:,} failed" if summary.failed else ""
    # the input of a stopped run has more rows than those that were done
    done = f"{summary.succeeded:,} of {many(summary.total, 'row')}" if finished else many(summary.succeeded, "row")
    head = f"{done} succeeded{failed}, in {duration(summary.duration_seconds)}"
    new = summary.total - summary.skipped_resumed
    rate = new / summary.duration_seconds if summary.duration_seconds > 0 else 0.0
    figures = [
        f"{amount(rate)} rows a second",
        many(summary.attempts, "attempt"),
        f"{summary.retries:,} of them retries" if summary.retries else "",
        f"{summary.throttled:,} throttled" if summary.throttled else "",
        "" if summary.cost is None else f"cost {money(summary.cost)}",
        f"{amount(summary.prompt_tokens)} tokens in, {amount(summary.output_tokens)} out",
    ]
    lines = [head, *_wrapped(" · ".join(filter(None, figures)))]
    if summary.skipped_resumed:
        were = "was" if summary.skipped_resumed == 1 else "were"
        lines.append(f"{many(summary.skipped_resumed, 'row')} {were} finished before")
    if summary.from_cache:
        were = "was" if summary.from_cache == 1 else "were"
        lines.append(f"{many(summary.from_cache, 'row')} {were} answered without being sent, by the cache or an equal row")
    return lines + list(_answers(summary))


def _answers(summary: Summary) -> Iterator[str]:
    """What is odd about the answers."""
    if cut := summary.finish_reasons.get("length"):
        yield f"{many(cut, 'answer')} cut at the token limit of the request (finish_reason length)"
    if filtered := summary.finish_reasons.get("content_filter"):
        yield f"{many(filtered, 'answer')} cut or held back by the provider's content filter (finish_reason content_filter)"
    if summary.rejected:
        yield f"{many(summary.rejected, 'response')} with a success status and no usable answer, which may have been billed"
    if summary.unpriced:
        yield f"no cost, because no price is known for {', '.join(summary.unpriced)}: write prices.prompt_per_million, output_per_million"


def _results(summary: Summary, output: str, *, in_order: bool) -> list[str]:
    """Where the results are, and how many of them are not there yet."""
    lines = many(summary.total - summary.waiting, "line")
    told = [f"results  {output}  {lines}, in {'input order' if in_order else 'order of completion'}"]
    if summary.waiting:
        told.append(f"         {many(summary.waiting, 'more result')} in the journal, behind a row without one")
    return told


def _failures(groups: Mapping[str, FailureGroup], failed: int) -> list[str]:
    if not failed:
        return []
    lines = ["failed"]
    kinds = sorted(groups.items(), key=lambda item: -item[1].count)
    label = max((len(title(code)) for code, _ in kinds[:KINDS_SHOWN]), default=0)
    for code, group in kinds[:KINDS_SHOWN]:
        head = f"{group.count:>7,}  {title(code):<{label}}  "
        said = group.example.message.removeprefix(f"{title(code)}: ")
        message = " ".join(f"{group.example.custom_id}: {said}".split())
        wrapped = textwrap.wrap(message, WIDTH - len(head)) or [""]
        lines += [head + wrapped[0], *(" " * len(head) + more for more in wrapped[1:3])]
    if len(kinds) > KINDS_SHOWN:
        lines.append(f"         and {many(len(kinds) - KINDS_SHOWN, 'more kind')}; each failed row has its error in the results")
    before = failed - sum(group.count for _, group in kinds)
    if before > 0:
        lines.append(f"{before:>7,}  in earlier runs; each has its error in the results")
    return lines


def _lanes(lanes: Sequence[LaneSummary]) -> list[str]:
    """What each of several lanes did."""
    if len(lanes) < 2:
        return []
    width = max(len(lane.name) for lane in lanes)
    lines = ["lanes"]
    for lane in lanes:
        throttled = f", {lane.throttled:,} throttled" if lane.throttled else ""
        away = f", out for {duration(lane.out_seconds)}" if lane.out is None and lane.out_seconds >= 1 else ""
        lines += _wrapped(f"  {lane.name:<{width}}  {lane.succeeded:,} of {many(lane.attempts, 'attempt')} succeeded{throttled}{away}")
        lines += _held(lane.limited_by, lane.attained, lane=True)
        if lane.out is not None:
            why = lane.out.removeprefix(f"{lane.name}: ")
            lines += textwrap.wrap(f"not used any more: {why}", WIDTH, initial_indent="    ", subsequent_indent="    ")
    return lines


def _held(limited_by: Mapping[str, float], attained: float | None, *, lane: bool = False) -> list[str]:
    """What held the run back. lane: this is about one of its lanes."""
    words = HELD_LANE_BY if lane else HELD_BY
    shares = sorted(((part, name) for name, part in limited_by.items() if name not in NOT_HELD and part >= LEAST_SHARE), reverse=True)
    if not shares:
        return []
    text = " · ".join(f"{part:.0%} {words.get(name, name)}" for part, name in shares)
    used = "" if attained is None else f"; used {min(1.0, attained):.1%} of what {'its' if lane else 'the'} limits on requests allow"
    indent = "    " if lane else ""
    told = f"held back {min(1.0, sum(part for part, _ in shares)):.0%} of the time: {text}{used}"
    return _wrapped(told, indent)


def _advice(advice: Sequence[Advice]) -> list[str]:
    return ["what to do", *(line for each in advice for line in _advice_lines(each))] if advice else []


def _advice_lines(advice: Advice) -> Iterator[str]:
    line = f"  {advice.text:<38}  {advice.command}".rstrip()
    if len(line) <= WIDTH or not advice.command:
        yield from textwrap.wrap(line, WIDTH, subsequent_indent="  ", initial_indent="  " if line.startswith("  ") else "")
    else:
        yield f"  {advice.text}"
        yield f"    {advice.command}"  # never wrapped, so that it can be copied


def _wrapped(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=indent, subsequent_indent=indent + "  ")
