"""The summary: each kind of failure with one row and what it said, what to do, and commands that run as they are printed."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from pipeline.cli import main
from pipeline.cli.summary import KINDS_SHOWN, WIDTH, advice_on, may_pass, summary_object, summary_text
from pipeline.summaries import FailedRow, FailureGroup, LaneSummary, Summary
from tests.fakes.views import FAILURES

if TYPE_CHECKING:
    from pathlib import Path

RUN = "headrace run eval.yaml"
CLEAN = Summary(
    total=1000,
    succeeded=1000,
    attempts=1010,
    retries=10,
    duration_seconds=100.0,
    prompt_tokens=12_345,
    output_tokens=678,
    limited_by={"input": 0.5, "requests_per_second": 0.4, "pause": 0.097, "in_flight": 0.003},
)
FAILED = replace(
    CLEAN,
    succeeded=965,
    failed=35,
    failures={**FAILURES, "timeout": FailureGroup(5, FailedRow(7, "row-7", "not a byte from the server for 20 s " * 9))},
)


def told(summary: Summary) -> str:
    return summary_text(summary, "/home/you/results.jsonl", advice_on(summary, RUN))


def test_clean_run_is_told_in_a_few_lines() -> None:
    assert told(CLEAN).splitlines() == [
        "1,000 of 1,000 rows succeeded, in 1 min 40 s",
        "10 rows a second · 1,010 attempts · 10 of them retries · 12 k tokens in, 678 out",
        "held back 50% of the time: 40% requests_per_second · 10% the provider asked to",
        "  wait",
        "results  /home/you/results.jsonl  1,000 lines, in input order",
    ]


def test_each_kind_of_failure_has_a_count_a_row_and_its_message() -> None:
    lines = told(FAILED).splitlines()

    start = lines.index("failed")
    assert lines[start + 1] == "     22  HTTP 400     row-5053: content_policy_violation: blocked by our content"
    assert "      6  invalid_row  row-12: line 13: field 'prompt' is missing" in lines
    assert sum(line.startswith("  " * 11) for line in lines) == 1 + 2  # of a long message three lines are told
    assert "965 of 1,000 rows succeeded, 35 failed, in 1 min 40 s" in lines


def test_no_line_of_a_summary_is_wider_than_80_columns_and_it_fits_a_screen() -> None:
    lines = told(FAILED).splitlines()

    assert len(lines) <= 28
    assert all(len(line) <= WIDTH for line in lines if "headrace" not in line)


def test_many_kinds_are_told_up_to_five() -> None:
    failures = {f"http_{status}": FailureGroup(1, FailedRow(1, "a", "b")) for status in range(400, 410)}

    text = told(replace(CLEAN, failed=12, failures=failures))

    assert text.count("  a: b") == KINDS_SHOWN
    assert "and 5 more kinds; each failed row has its error in the results" in text
    assert "      2  in earlier runs; each has its error in the results" in text


@pytest.mark.parametrize(
    "summary, said",
    [
        (replace(CLEAN, attempts=0, total=164, skipped_resumed=164), "nothing left to do: all 164 rows were finished before"),
        (replace(CLEAN, attempts=0, total=164, skipped_resumed=164, failed=2), "all 164 rows were finished before, 2 of them failed"),
        (Summary(), "the input has no rows"),
        (replace(CLEAN, skipped_resumed=1), "1 row was finished before"),
        (replace(CLEAN, from_cache=30), "30 rows were answered without being sent"),
        (replace(CLEAN, cost=1.5), "cost 1.50"),
        (replace(CLEAN, unknown_outcome=1), "1 attempt got no answer and may have been billed"),
        (replace(CLEAN, finish_reasons={"length": 7}), "7 answers cut at the token limit of the request (finish_reason length)"),
        (replace(CLEAN, rejected=2), "2 responses with a success status and no usable answer"),
    ],
)
def test_what_else_there_is_to_say(summary: Summary, said: str) -> None:
    assert said in " ".join(told(summary).split())


def test_a_run_with_nothing_to_do_was_held_by_nothing() -> None:
    assert "held" not in told(replace(CLEAN, attempts=0, skipped_resumed=1000, limited_by={"input": 1.0}))


def test_word_input_is_never_what_held_a_run_back() -> None:
    assert "held" not in told(replace(CLEAN, limited_by={"input": 0.9, "retry": 0.1}))


@pytest.mark.parametrize(
    "code, passing",
    [("timeout", True), ("connection", True), ("retries_exhausted", True), ("http_401", True), ("http_400", False), ("invalid_row", False)],
)
def test_only_what_may_have_passed_is_advised_to_be_tried_again(code: str, passing: bool) -> None:  # noqa: FBT001
    failed = replace(CLEAN, failed=3, failures={code: FailureGroup(3, FailedRow(1, "a", "b"))})

    assert may_pass(code) == passing
    assert (f"{RUN} --retry-failed" in [each.command for each in advice_on(failed, RUN)]) == passing


@pytest.mark.parametrize("without_key", [True, False])
@pytest.mark.parametrize(
    "summary",
    [
        replace(CLEAN, stopped="the provider refused one row: HTTP 401: You didn't provide an API key"),
        replace(CLEAN, failed=1, failures={"http_403": FailureGroup(1, FailedRow(1, "a", "b"))}),
    ],
)
def test_a_refusal_of_requests_without_a_key_says_that_none_was_sent(summary: Summary, without_key: bool) -> None:  # noqa: FBT001
    texts = [each.text for each in advice_on(summary, RUN, without_key=without_key)]

    assert any("no key was sent" in text and "provider.api_key_env" in text for text in texts) == without_key


@pytest.mark.parametrize(
    "code, said", [("http_400", "3 rows were refused for what they ask; another try ends the same way"), ("http_404", "provider.base_url")]
)
def test_refused_rows_are_told_what_helps(code: str, said: str) -> None:
    failed = replace(CLEAN, failed=3, failures={code: FailureGroup(3, FailedRow(1, "a", "HTTP 400: no such thing"))})

    assert said in " ".join(told(failed).split())
    assert "a: HTTP 400" not in told(failed) or code != "http_400"  # the status stands before it


def test_stopped_run_is_told_how_to_go_on() -> None:
    advice = advice_on(replace(FAILED, stopped="the provider refuses the key"), RUN)

    assert (advice[0].text, advice[0].command) == ("go on with the rows that are left", RUN)


def test_every_printed_command_runs_as_it_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in put.jsonl").write_text('{"prompt": "row 0"}\n{"promt": "row 1"}\n{"prompt": "row 2"}\n')
    config = tmp_path / "my config.yaml"
    config.write_text(
        "source: {path: in put.jsonl}\n"
        'request: {url: /v1/chat/completions, body: {model: m, messages: [{role: user, content: "{prompt}"}]}}\n'
        "retry: {attempts: 1}\n"
        'provider: {simulate: {script: {"0": http_500}}}\n'
        "sink: {path: out.jsonl}\n"
    )
    main(["run", str(config), "--set", "limits.max_in_flight=3", "--progress", "none"])
    said = capsys.readouterr().err
    commands = [line[line.index("headrace ") :] for line in said.splitlines() if "headrace " in line]

    report = commands.pop()
    assert [shlex.split(command)[-1] for command in commands] == ["--retry-failed", "--retry-failed=invalid_row"]
    assert shlex.split(report)[1] == "report"
    assert main(shlex.split(report)[1:]) == 0
    for command in commands:
        (tmp_path / "in put.jsonl").write_text('{"prompt": "row 0"}\n{"prompt": "row 1"}\n{"prompt": "row 2"}\n')
        assert main([*shlex.split(command)[1:], "--set", "provider.simulate.script={}", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["failed"] == 0


def test_limit_that_was_found_is_worth_writing_down_where_it_held_the_run_back() -> None:
    lanes = (LaneSummary("", 600, 600, 9, 540.2, "sliding"), LaneSummary("b", 5, 5, 0, None, None))
    held = Summary(total=600, succeeded=600, attempts=600, limited_by={"learned": 0.8}, lanes=lanes)
    free = Summary(total=600, succeeded=600, attempts=600, limited_by={"in_flight": 0.99, "learned": 0.01}, lanes=lanes)

    assert [advice.text for advice in advice_on(held, "headrace run a.yaml")] == [
        "worth writing into the config: limits.requests_per_minute: 540",
    ]
    assert advice_on(free, "headrace run a.yaml") == []


@pytest.mark.parametrize(
    "attempts, seconds, kind, advised",
    [
        (9, 1.8, "bucket", False),
        (183, 8.3, "sliding", False),
        (183, 300.0, "fixed", True),
        (9, 1.8, "announced", True),
    ],
)
def test_limit_that_was_hardly_tried_is_not_advised_unless_it_was_announced(
    attempts: int, seconds: float, kind: str, *, advised: bool
) -> None:
    lanes = (LaneSummary("", attempts, attempts, 2, 55.0, kind),)
    summary = Summary(total=164, succeeded=164, attempts=attempts, duration_seconds=seconds, limited_by={"learned": 0.9}, lanes=lanes)

    texts = [advice.text for advice in advice_on(summary, "headrace run a.yaml")]

    assert ("worth writing into the config: limits.requests_per_minute: 55" in texts) is advised


def test_cap_on_requests_at_once_is_advised_as_such() -> None:
    lanes = (LaneSummary("", 600, 600, 9, None, "in_flight", learned_in_flight=20),)
    capped = Summary(total=600, succeeded=600, attempts=600, limited_by={"in_flight": 0.99}, lanes=lanes)

    assert [advice.text for advice in advice_on(capped, "headrace run a.yaml")] == [
        "worth writing into the config: limits.max_in_flight: 20",
    ]


def test_limits_that_are_not_learned_and_are_too_high_are_advised_to_be_lowered() -> None:
    many = replace(CLEAN, throttled=300)

    assert "30% of the attempts were throttled: lower the limits" in summary_text(many, "out", advice_on(many, RUN, learns=False))
    assert "lower the limits" not in summary_text(many, "out", advice_on(many, RUN))


def spent(*settings: str) -> Summary:
    return replace(CLEAN, stopped="; ".join(f"{setting} is used up: 5 requests are spent; raise it" for setting in settings))


def test_a_run_that_has_spent_its_budget_is_told_to_continue_with_a_higher_one() -> None:
    advice = advice_on(spent("budget.cost"), RUN, more={"budget.cost": 40.0})[0]

    assert advice.text == "continue with a higher budget.cost"
    assert advice.command == "headrace run eval.yaml --set budget.cost=40"


def test_a_lane_that_has_spent_its_budget_is_told_where_to_raise_it() -> None:
    advice = advice_on(spent("providers[0].budget.cost", "providers[1].budget.tokens"), RUN, more={})[0]

    assert advice.text == "raise providers[0].budget.cost or providers[1].budget.tokens in the config, then"
    assert advice.command == RUN


def test_each_of_several_lanes_is_told_and_why_one_is_not_used_any_more() -> None:
    lanes = (
        LaneSummary("main", 700, 690, 10, out_seconds=12.3),
        LaneSummary("spare", 310, 310, 0, out="providers[1].budget.requests is used up: 310 requests are spent"),
    )
    lines = told(replace(CLEAN, lanes=lanes)).splitlines()

    start = lines.index("lanes")
    assert lines[start + 1] == "  main   690 of 700 attempts succeeded, 10 throttled, out for 12 s"
    assert lines[start + 2] == "  spare  310 of 310 attempts succeeded"
    assert lines[start + 3] == "    not used any more: providers[1].budget.requests is used up: 310 requests are"
    assert max(map(len, lines)) <= WIDTH


def test_each_of_several_lanes_says_what_held_it_back_and_what_it_used() -> None:
    """One lane was out of reach, and the other one at its limit: the run waited for the limit, and each lane for its own."""
    lanes = (
        LaneSummary("main", 700, 690, 10, out_seconds=63.0, limited_by={"lane_out": 0.63, "requests_per_second": 0.3}, attained=0.3512),
        LaneSummary("spare", 310, 310, 0, limited_by={"requests_per_second": 0.5, "standby": 0.4, "input": 0.1}, attained=0.6),
    )
    lines = told(replace(CLEAN, lanes=lanes, limited_by={"requests_per_second": 0.9}, attained=0.7)).splitlines()

    start = lines.index("lanes")
    assert " ".join(" ".join(lines[start + 2 : start + 4]).split()) == (
        "held back 93% of the time: 63% out of reach · 30% requests_per_second; used 35.1% of what its limits on requests allow"
    )
    assert "held back 90% of the time: 50% requests_per_second · 40% rows went to other lanes" in " ".join(" ".join(lines).split())
    assert max(map(len, lines)) <= WIDTH


def test_the_share_of_the_limits_that_was_used_is_told() -> None:
    assert "used 99.6% of what the limits on requests allow" in " ".join(told(replace(CLEAN, attained=0.9961)).split())


def test_programs_are_told_the_same_advice_and_which_failures_may_pass() -> None:
    example = FailedRow(1, "row-1", "slow")
    summary = Summary(total=3, failed=3, failures={"timeout": FailureGroup(2, example), "http_400": FailureGroup(1, example)})
    advice = advice_on(summary, RUN)
    value = json.loads(json.dumps(summary_object(summary, advice)))
    assert {code: group["resend"] for code, group in value["failures"].items()} == {"timeout": True, "http_400": False}
    assert value["failures"]["timeout"]["example"] == {"index": 1, "custom_id": "row-1", "message": "slow"}
    assert [(each["text"], each["command"] or "") for each in value["advice"]] == [(each.text, each.command) for each in advice]
    assert any(each["command"] is None for each in value["advice"])
