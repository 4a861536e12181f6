"""`check`: what a run would take, from config and input alone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from pipeline.cli.texts import report_text
from pipeline.config import (
    AnswersConfig,
    BudgetConfig,
    Config,
    ExpectConfig,
    LaneConfig,
    LimitsConfig,
    PricesConfig,
    ProviderConfig,
    RequestConfig,
    SinkConfig,
    SourceConfig,
)
from pipeline.config.answers import Feedback
from pipeline.config.lanes import PriceSource
from pipeline.errors import InputError
from pipeline.inspect.check import SHOWN, CheckReport, check

if TYPE_CHECKING:
    from pathlib import Path

NO_LIMITS = LimitsConfig()
CHAT, NOWHERE = "/v1/chat/completions", "http://127.0.0.1:9"


def config_of(folder: Path, lines: list[str], limits: LimitsConfig = NO_LIMITS, prices: PricesConfig | None = None) -> Config:
    (folder / "in.jsonl").write_text("".join(line + "\n" for line in lines))
    return Config(
        source=SourceConfig(path=str(folder / "in.jsonl")),
        request=RequestConfig(url="/v1/chat/completions", body={"model": "m", "max_tokens": 100, "prompt": "{prompt}"}),
        provider=ProviderConfig(base_url="http://127.0.0.1:9"),  # nobody is there: nothing is sent
        limits=limits,
        sink=SinkConfig(path=str(folder / "out.jsonl")),
        prices=prices,
    )


def rows(count: int) -> list[str]:
    return [json.dumps({"prompt": f"prompt {number}"}) for number in range(count)]


def test_check_counts_rows_and_tells_the_first_bad_ones(tmp_path: Path) -> None:
    report = check(config_of(tmp_path, rows(3) + ["{"] * 7))

    assert (report.rows, report.requests, report.bad_rows) == (10, 3, 7)
    assert len(report.bad_row_examples) == SHOWN
    assert "line 4" in report.bad_row_examples[0]
    assert "and 2 more" in report_text(report)


@pytest.mark.parametrize("field", ["max_tokens", "n"])
def test_check_of_a_row_with_a_number_of_400_digits_has_a_cost(tmp_path: Path, field: str) -> None:
    body = {"model": "m", "max_tokens": 5, "messages": [], field: 10**400}
    line = json.dumps({"url": "/v1/chat/completions", "body": body})

    report = check(config_of(tmp_path, [line], prices=PricesConfig(prompt_per_million=1.0, output_per_million=2.0)))

    assert report.cost is not None
    assert report.cost > 1000


def test_check_shows_the_first_request_as_it_would_be_sent(tmp_path: Path) -> None:
    report = check(config_of(tmp_path, ["{", *rows(2)]))

    assert report.first_request_url == "http://127.0.0.1:9/v1/chat/completions"
    assert report.first_request_body == '{"model":"m","max_tokens":100,"prompt":"prompt 0"}'
    assert f"first request: POST {report.first_request_url}" in report_text(report)
    assert report.first_request_body in report_text(report)


def test_check_clips_a_long_first_request_for_people_only(tmp_path: Path) -> None:
    report = check(config_of(tmp_path, [json.dumps({"prompt": "x" * 5000})]))

    assert report.first_request_body is not None
    assert len(report.first_request_body) > 5000
    assert len(report_text(report)) < 2000


def test_check_tells_that_a_whole_endpoint_was_pasted(tmp_path: Path) -> None:
    config = config_of(tmp_path, rows(1))
    report = check(replace(config, provider=ProviderConfig(base_url="http://127.0.0.1:9/v1/chat/completions")))

    assert report.first_request_url == "http://127.0.0.1:9/v1/chat/completions"
    assert any("it is taken as http://127.0.0.1:9/v1" in note for note in report.notes)


def test_check_tells_that_no_key_is_sent_to_a_provider_on_the_net(tmp_path: Path) -> None:
    config = config_of(tmp_path, rows(1))
    local, distant, keyed = (
        check(replace(config, provider=provider)).notes
        for provider in (
            ProviderConfig(base_url="http://127.0.0.1:9/v1"),
            ProviderConfig(base_url="https://api.example.com/v1"),
            ProviderConfig(base_url="https://api.example.com/v1", api_key_env="A_KEY"),
        )
    )

    assert ["no key is sent" in " ".join(notes) for notes in (local, distant, keyed)] == [False, True, False]


def test_check_points_out_what_only_looks_like_a_field(tmp_path: Path) -> None:
    config = config_of(tmp_path, rows(1))
    body = {"model": "m", "system": "{{ rules }}", "prompt": "{prompt}"}
    report = check(replace(config, request=RequestConfig(url="/v1/chat/completions", body=body)))

    assert "system has {{ rules }}, which is no field here; write {rules}" in report.notes


@pytest.mark.parametrize(
    "limits, name, seconds",
    [
        (LimitsConfig(requests_per_second=10), "requests_per_second", 6.0),
        (LimitsConfig(requests_per_second=10, requests_per_minute=60), "requests_per_minute", 60.0),
        (LimitsConfig(requests_per_second=10, tokens_per_minute=1000), "tokens_per_minute", None),
        (LimitsConfig(), None, None),
    ],
)
def test_check_names_the_limit_that_binds(tmp_path: Path, limits: LimitsConfig, name: str | None, seconds: float | None) -> None:
    report = check(config_of(tmp_path, rows(60), limits))

    assert report.limited_by == name
    if seconds is not None:
        assert report.duration_seconds == seconds
    elif name is not None:
        assert report.duration_seconds == pytest.approx(report.estimated_tokens / 1000 * 60, abs=0.001)
    assert (name or "no limit is set") in report_text(report)


def test_check_says_when_the_slots_would_bind(tmp_path: Path) -> None:
    report = check(config_of(tmp_path, rows(60), LimitsConfig(requests_per_second=10, max_in_flight=5)))

    assert report.in_flight_binds_above_seconds == 0.5


def with_lanes(config: Config, *lanes: LaneConfig) -> Config:
    return replace(config, provider=None, providers=lanes)


def lane(name: str, **limits: float | None) -> LaneConfig:
    return LaneConfig(name=name, base_url="http://127.0.0.1:9/v1", limits=LimitsConfig(**limits) if limits else None)  # type: ignore[arg-type]


def test_check_says_what_each_lane_allows_and_what_will_hold_it_back(tmp_path: Path) -> None:
    """Lanes that each have another limit: no limit is common to all, and yet the run cannot be faster than their sum."""
    config = with_lanes(config_of(tmp_path, rows(60)), lane("a", requests_per_second=3, max_in_flight=6), lane("b", tokens_per_minute=6600))
    report = check(config)
    first, second = report.lanes

    tokens_a_row = report.estimated_tokens / 60
    assert (first.allowed_per_second, first.limited_by, first.in_flight_binds_above_seconds) == (3, "requests_per_second", 2.0)
    assert second.allowed_per_second == pytest.approx(110 / tokens_a_row, rel=1e-4)
    assert second.limited_by == "tokens_per_minute"
    assert (first.share or 0) + (second.share or 0) == pytest.approx(1.0, abs=1e-3)
    assert report.seconds_by_limit == {}
    assert report.duration_seconds == pytest.approx(60 / (3 + 110 / tokens_a_row), abs=0.01)
    assert report.limited_by == "requests_per_second"
    assert "  a: 3 rows a second (requests_per_second; max_in_flight above 2.0 s)" in report_text(report)


def test_check_promises_no_time_where_a_lane_has_no_limit(tmp_path: Path) -> None:
    report = check(with_lanes(config_of(tmp_path, rows(60)), lane("a", requests_per_second=3), lane("b")))

    assert report.duration_seconds is None
    assert [each.share for each in report.lanes] == [None, None]
    assert "  b: no limit is set" in report_text(report)


@pytest.mark.parametrize(
    "budget, said",
    [
        (BudgetConfig(requests=20), "budget.requests: 20 end the run before all 60 requests have left"),
        (BudgetConfig(tokens=100), "budget.tokens: 100 may be used up"),
        (BudgetConfig(cost=0.001), "budget.cost: 0.00"),
        (BudgetConfig(seconds=5), "budget.seconds: 5.0 s end the run before its limits let all rows through, in 30 s"),
        (BudgetConfig(requests=60, tokens=10**6, cost=1.0, seconds=31), None),
    ],
)
def test_check_says_which_budget_will_hold(tmp_path: Path, budget: BudgetConfig, said: str | None) -> None:
    config = config_of(tmp_path, rows(60), LimitsConfig(requests_per_second=2), PricesConfig(prompt_per_million=1, output_per_million=10))
    report = check(replace(config, budget=budget))

    assert [note for note in report.notes if note.startswith("budget")] == [] if said is None else said in "".join(report.notes)


def test_check_counts_rows_over_the_token_budget_apart(tmp_path: Path) -> None:
    report = check(config_of(tmp_path, [*rows(2), json.dumps({"prompt": "x" * 9000})], LimitsConfig(tokens_per_minute=500)))

    assert (report.requests, report.too_large) == (2, 1)
    assert "too_large" in report_text(report)


def test_check_estimates_the_cost_of_prompts_and_longest_answers(tmp_path: Path) -> None:
    report = check(config_of(tmp_path, rows(10), prices=PricesConfig(prompt_per_million=1, output_per_million=10)))

    assert report.estimated_tokens == report.estimated_prompt_tokens + 10 * 100
    assert report.cost == pytest.approx((report.estimated_prompt_tokens + 10 * 1000) / 1e6)
    assert "cost" in report_text(report)


def test_check_writes_nothing_and_notes_what_stands_in_the_way(tmp_path: Path) -> None:
    config = config_of(tmp_path, [])
    before = sorted(tmp_path.iterdir())

    empty = check(config)
    after = sorted(tmp_path.iterdir())
    (tmp_path / "out.jsonl").touch()

    assert before == after
    assert empty.notes == ("the input has no rows",)
    assert any("exists" in note for note in check(config).notes)
    assert any("no row can be sent" in note for note in check(config_of(tmp_path, ["{"])).notes)


def test_check_refuses_an_input_that_is_not_there(tmp_path: Path) -> None:
    config = config_of(tmp_path, [])
    (tmp_path / "in.jsonl").unlink()

    with pytest.raises(InputError, match="no such file"):
        check(config)


def test_report_without_trouble_is_short() -> None:
    report = CheckReport(
        rows=1,
        bad_rows=0,
        bad_row_examples=(),
        requests=1,
        too_large=0,
        estimated_prompt_tokens=5,
        estimated_tokens=10,
        seconds_by_limit={},
        limited_by=None,
        duration_seconds=None,
        in_flight_binds_above_seconds=None,
        cost=None,
        first_request_url=None,
        first_request_body=None,
        notes=(),
    )

    assert len(report_text(report).splitlines()) == 3


@pytest.mark.parametrize("bound, said", [({"max_tokens": 50}, "at most "), ({}, "answers not counted: no max_tokens bounds them")])
def test_check_promises_no_bound_for_answers_that_have_none(tmp_path: Path, bound: dict[str, int], said: str) -> None:
    line = {"url": "/v1/chat/completions", "body": {"model": "m", "messages": [{"role": "user", "content": "hello"}], **bound}}

    assert said in report_text(check(config_of(tmp_path, [json.dumps(line)])))


def noted(folder: Path, body: dict[str, Any], url: str = CHAT, base_url: str = NOWHERE, **changes: Any) -> str:
    config = config_of(folder, ['{"prompt": "hi"}'])
    request = RequestConfig(url=url, body={"model": "m", "prompt": "{prompt}", **body})
    return " ".join(check(replace(config, request=request, provider=ProviderConfig(base_url=base_url), **changes)).notes)


@pytest.mark.parametrize(
    "body, url, base_url, said",
    [
        ({"stream": True}, CHAT, NOWHERE, "include_usage"),
        ({"stream": True, "stream_options": {"include_usage": True}}, CHAT, NOWHERE, ""),
        ({"stream": False}, CHAT, NOWHERE, ""),
        ({"stream": True}, "/v1/messages", NOWHERE, ""),
        ({"stream": True}, CHAT, "https://api.mistral.ai/v1", ""),
        ({"stream": True, "stream_options": {"include_usage": True}}, CHAT, "https://api.mistral.ai/v1", "Mistral refuses"),
        ({}, "/v1beta/models/g:streamGenerateContent", NOWHERE, "alt=sse"),
        ({}, "/v1beta/models/g:streamGenerateContent?alt=sse", NOWHERE, ""),
    ],
)
def test_check_notes_a_stream_whose_tokens_will_not_be_known(
    tmp_path: Path, body: dict[str, object], url: str, base_url: str, said: str
) -> None:
    notes = noted(tmp_path, body, url, base_url)

    assert said in notes
    assert bool(said) is any(word in notes for word in ("include_usage", "Mistral", "alt=sse"))


@pytest.mark.parametrize(
    "temperature, answers, said",
    [
        (0, AnswersConfig(expect=ExpectConfig(json=True), asks=3), True),
        (0.7, AnswersConfig(expect=ExpectConfig(json=True), asks=3), False),
        (0, AnswersConfig(expect=ExpectConfig(json=True), asks=3, feedback=Feedback.REASON), False),
        (0, AnswersConfig(expect=ExpectConfig(json=True)), False),
    ],
)
def test_check_notes_that_the_same_question_brings_the_same_answer(
    tmp_path: Path, temperature: float, answers: AnswersConfig, *, said: bool
) -> None:
    assert ("at temperature 0" in noted(tmp_path, {"temperature": temperature}, answers=answers)) is said


@pytest.mark.parametrize("model, said", [("gpt-4o", False), ("my-deployment", True)])
def test_check_notes_where_prices_are_from_and_a_model_without_one(tmp_path: Path, model: str, *, said: bool) -> None:
    notes = noted(tmp_path, {"model": model}, prices=PricesConfig(table=PriceSource.BUILTIN))

    assert "genai-prices" in notes
    assert ("no price is known" in notes) is said
