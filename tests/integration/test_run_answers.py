"""Answers that must fit, in whole runs: what is asked again and how, what is written, what is counted as paid."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import trio

import pipeline
from pipeline import AnswersConfig, Config, ExpectConfig, LimitsConfig, ProviderConfig, RequestConfig, RunAborted, SinkConfig, SourceConfig
from pipeline.config.answers import Feedback, Length

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pipeline.core.rows.templates import JSON

LABEL: dict[str, JSON] = {"type": "object", "properties": {"label": {"enum": ["yes", "no"]}}, "required": ["label"]}


def config_of(folder: Path, answers: AnswersConfig, rows: int = 1, shape: str = "flat") -> Config:
    (folder / "in.jsonl").write_text("".join(json.dumps({"prompt": f"q{row}"}) + "\n" for row in range(rows)))
    body: dict[str, JSON] = {"model": "m", "max_tokens": 100, "messages": [{"role": "user", "content": "{prompt}"}]}
    return Config(
        source=SourceConfig(path=str(folder / "in.jsonl")),
        request=RequestConfig(url="/v1/chat/completions", body=body),
        provider=ProviderConfig(base_url="http://provider.invalid/v1"),
        limits=LimitsConfig(max_in_flight=4),
        sink=SinkConfig(path=str(folder / "out.jsonl"), shape=type(SinkConfig(path="x").shape)(shape)),
        answers=answers,
    )


class Model:
    """Gives one answer after the other: (content, finish_reason). Keeps the requests."""

    def __init__(self, *answers: tuple[str, str]) -> None:
        self.answers = list(answers)
        self.requests: list[dict[str, Any]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(json.loads(request.content))
        content, end = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        choice = {"index": 0, "finish_reason": end, "message": {"role": "assistant", "content": content}}
        usage = {"prompt_tokens": 10, "completion_tokens": 3, "total_tokens": 13}
        return httpx.Response(200, json={"object": "chat.completion", "choices": [choice], "usage": usage})


def go(config: Config, model: Callable[[httpx.Request], httpx.Response]) -> pipeline.Summary:
    async def main() -> pipeline.Summary:
        return await pipeline.run(config, transport=httpx.MockTransport(model))

    return trio.run(main)


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()]


def test_a_row_is_asked_again_until_its_answer_fits_and_all_answers_are_paid(tmp_path: Path) -> None:
    model = Model(("maybe", "stop"), ('{"label": "who knows"}', "stop"), ('{"label": "yes"}', "stop"))
    answers = AnswersConfig(expect=ExpectConfig(schema=LABEL), asks=3)

    summary = go(config_of(tmp_path, answers), model)

    (line,) = lines(tmp_path)
    assert (line["status"], line["content"], line["attempts"]) == ("success", '{"label": "yes"}', 3)
    assert (summary.succeeded, summary.rejected, summary.prompt_tokens, summary.output_tokens) == (1, 2, 30, 9)
    assert [request["messages"] for request in model.requests] == [model.requests[0]["messages"]] * 3


def test_feedback_shows_the_last_bad_answer_and_no_earlier_one(tmp_path: Path) -> None:
    model = Model(("first", "stop"), ("second", "stop"), ('{"label": "no"}', "stop"))
    answers = AnswersConfig(expect=ExpectConfig(schema=LABEL), asks=3, feedback=Feedback.REASON)

    go(config_of(tmp_path, answers), model)

    assert [len(request["messages"]) for request in model.requests] == [1, 3, 3]
    assert model.requests[2]["messages"][1] == {"role": "assistant", "content": "second"}
    assert "is not JSON" in model.requests[2]["messages"][2]["content"]


@pytest.mark.parametrize("shape", ["flat", "batch"])
def test_a_row_whose_answers_never_fit_fails_and_keeps_the_last_one(tmp_path: Path, shape: str) -> None:
    model = Model(("maybe", "stop"))
    answers = AnswersConfig(expect=ExpectConfig(regex="^(yes|no)$"), asks=2)

    summary = go(config_of(tmp_path, answers, shape=shape), model)

    (line,) = lines(tmp_path)
    kept = line["response"] if shape == "flat" else line["response"]["body"]
    assert kept["choices"][0]["message"]["content"] == "maybe"
    assert line["error"]["code"] == "unexpected_answer"
    assert line["error"]["message"] == "does not match ^(yes|no)$ (after 2 answers)"
    assert len(model.requests) == 2
    assert (summary.failed, summary.rejected, summary.prompt_tokens) == (1, 2, 20)
    assert summary.failures["unexpected_answer"].count == 1


@pytest.mark.parametrize(
    "length, asked, code", [(Length.FAIL, [100], "truncated"), (Length.ACCEPT, [100], None), (Length.GROW, [100, 200, 300], "truncated")]
)
def test_a_cut_answer_fails_or_counts_or_grows(tmp_path: Path, length: Length, asked: list[int], code: str | None) -> None:
    model = Model(("so far", "length"))
    answers = AnswersConfig(expect=ExpectConfig(), asks=5, length=length, max_tokens=300)

    go(config_of(tmp_path, answers), model)

    (line,) = lines(tmp_path)
    assert [request["max_tokens"] for request in model.requests] == asked
    assert (line["error"] or {}).get("code") == code


def test_many_rows_that_do_not_fit_stop_nobody(tmp_path: Path) -> None:
    def model(request: httpx.Request) -> httpx.Response:
        return Model(("", "stop"))(request)

    summary = go(config_of(tmp_path, AnswersConfig(expect=ExpectConfig()), rows=60), model)

    assert (summary.failed, summary.failures["empty_answer"].count) == (60, 60)


def test_a_check_that_breaks_stops_the_run_and_costs_no_row(tmp_path: Path) -> None:
    (tmp_path / "checks.py").write_text("def label(value, request):\n    return value['missing']\n")
    answers = AnswersConfig(expect=ExpectConfig(check=f"{tmp_path / 'checks.py'}:label"))

    with pytest.raises(RunAborted, match=r"answers\.expect\.check raised TypeError"):
        go(config_of(tmp_path, answers, rows=30), Model(("text", "stop")))

    assert lines(tmp_path) == []


def test_a_check_sees_the_value_and_the_request(tmp_path: Path) -> None:
    (tmp_path / "checks.py").write_text(
        "def label(value, request):\n"
        "    prompt = request['body']['messages'][0]['content']\n"
        "    return None if value == {'of': prompt} and request['custom_id'] == 'row-0' else f'got {value} for {prompt}'\n"
    )
    answers = AnswersConfig(expect=ExpectConfig(json=True, check=f"{tmp_path / 'checks.py'}:label"))

    summary = go(config_of(tmp_path, answers), Model(('```json\n{"of": "q0"}\n```', "stop")))

    assert summary.succeeded == 1


def test_nothing_expected_takes_every_answer(tmp_path: Path) -> None:
    summary = go(config_of(tmp_path, AnswersConfig(asks=3)), Model(("", "length")))

    assert (summary.succeeded, summary.rejected) == (1, 0)
