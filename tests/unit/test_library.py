"""The calls for scripts and notebooks: frames in and out, small reprs, a journal, a card in a notebook, and misuse in words."""

from __future__ import annotations

import datetime as dt
import json
import sys
from decimal import Decimal
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import pandas as pd
import polars as pl
import pytest

import pipeline
from pipeline.cli.view import Facts, Watcher
from pipeline.library.showing import Card, runs_in_kernel
from pipeline.records import NO_USAGE, Failure, FailureKind, Success
from pipeline.summaries import FailedRow, FailureGroup, Progress
from tests.fakes.runs import write_config

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pipeline import Config


async def echo(request: httpx.Request) -> httpx.Response:
    content = json.loads(request.content)["messages"][0]["content"]
    return httpx.Response(200, json={"choices": [{"message": {"role": "assistant", "content": content}, "finish_reason": "stop"}]})


def config_for(folder: Path, content: str) -> Config:
    body = {"model": "m", "messages": [{"role": "user", "content": content}]}
    return pipeline.load_config(write_config(folder, "http://provider.test", request={"url": "/v1/chat/completions", "body": body}))


def answers(prompts: Any, config: Config, **more: Any) -> pipeline.Outcomes:
    return pipeline.run_batch(prompts, config, transport=httpx.MockTransport(echo), **more)


@pytest.mark.parametrize(
    "column", [pd.Series(["a", "b"]), pl.Series(["a", "b"]), np.array(["a", "b"], dtype=object)], ids=["pandas", "polars", "numpy"]
)
def test_a_column_is_a_list_of_prompts(tmp_path: Path, column: object) -> None:
    assert answers(column, config_for(tmp_path, "{prompt}")).contents == ["a", "b"]


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame], ids=["pandas", "polars"])
def test_the_columns_of_a_frame_are_the_fields_of_a_template(tmp_path: Path, make: Callable[[Any], Any]) -> None:
    frame = make({"name": ["weir", "sluice"], "size": [3, 4], "when": [dt.date(2026, 1, 2)] * 2})

    assert answers(frame, config_for(tmp_path, "{name} {size} {when}")).contents == ["weir 3 2026-01-02", "sluice 4 2026-01-02"]


def test_a_missing_value_of_pandas_is_no_value(tmp_path: Path) -> None:
    frame = pd.DataFrame({"name": ["weir", None, "x"], "size": [1.5, 2.0, float("nan")], "when": [pd.NaT, pd.NaT, pd.NaT]})

    first, second, third = answers(frame, config_for(tmp_path, "{name} {size}"))

    assert first.content == "weir 1.5"
    assert second.error is not None
    assert "name" in second.error
    assert third.error is not None
    assert "size" in third.error


@pytest.mark.parametrize(
    "value, shown",
    [
        (np.int64(3), "3"),
        (np.float32(0.5), "0.5"),
        (np.bool_(True), "true"),
        (np.array([1, 2]), "[1,2]"),
        (dt.datetime(2026, 1, 2, 3, 4, tzinfo=dt.UTC), "2026-01-02T03:04:00Z"),
        (pd.Timestamp("2026-01-02 03:04"), "2026-01-02T03:04:00"),
        (Decimal("1.10"), "1.10"),
    ],
)
def test_numbers_of_numpy_and_times_are_written_as_what_they_are(tmp_path: Path, value: object, shown: str) -> None:
    (outcome,) = answers([{"text": value}], config_for(tmp_path, "{text!s}"))

    assert outcome.content == shown


@pytest.mark.parametrize("value", [np.array([1.0, float("nan")]), np.float64("inf"), object()])
def test_what_json_cannot_say_is_a_bad_row(tmp_path: Path, value: object) -> None:
    (outcome,) = answers([{"text": value}], config_for(tmp_path, "{text!s}"))

    assert (outcome.ok, outcome.error_code) == (False, "invalid_row")


def test_outcomes_become_frames(tmp_path: Path) -> None:
    outcomes = answers(["a", {"no": "prompt"}], config_for(tmp_path, "{prompt}"))

    for frame in (outcomes.to_pandas(), pl.DataFrame(outcomes.to_polars()).to_pandas(use_pyarrow_extension_array=False)):
        assert list(frame["custom_id"]) == ["row-0", "row-1"]
        assert list(frame["ok"]) == [True, False]
        assert frame["content"][0] == "a"
        assert "prompt" in frame["error"][1]


def test_outcomes_show_themselves_in_a_few_words(tmp_path: Path) -> None:
    outcomes = answers(["a" * 500, {"no": "prompt"}], config_for(tmp_path, "{prompt}"))

    assert repr(outcomes) == "<2 outcomes, 1 failed: 1 × invalid_row>"
    assert repr(pipeline.Outcomes(outcomes[:1])) == "<1 outcome>"
    assert max(len(repr(outcome)) for outcome in outcomes) < 110
    assert outcomes.failed == [outcomes[1]]


def test_an_outcome_says_whether_it_is_one() -> None:
    good = Success(0, "a", 200, None, b'{"choices":[{"message":{"content":"hi"}}]}', NO_USAGE, 1, 0.1)
    bad = Failure(1, "b", FailureKind.HTTP, "no", status_code=400)

    assert (good.ok, good.content, good.error, good.error_code) == (True, "hi", None, None)
    assert (bad.ok, bad.content, bad.error, bad.error_code) == (False, None, "http_400: no", "http_400")


def test_a_call_with_a_journal_sends_only_what_has_no_answer_yet(tmp_path: Path) -> None:
    sent: list[str] = []

    async def counting(request: httpx.Request) -> httpx.Response:
        sent.append(json.loads(request.content)["messages"][0]["content"])
        return await echo(request) if sent[-1] != "p3" or sent.count("p3") > 1 else httpx.Response(400, json={"error": {"message": "no"}})

    config, prompts = config_for(tmp_path, "{prompt}"), [f"p{number}" for number in range(6)]
    journal, transport = tmp_path / "j", httpx.MockTransport(counting)
    pipeline.run_batch(prompts[:4], config, journal=journal, transport=transport)

    outcomes = pipeline.run_batch(prompts, config, journal=str(journal), transport=transport)

    assert outcomes.contents == prompts
    assert sorted(sent) == ["p0", "p1", "p2", "p3", "p3", "p4", "p5"]


def test_a_journal_beside_a_cache_is_refused(tmp_path: Path) -> None:
    config = pipeline.load_config(write_config(tmp_path, "http://x", cache={"path": "c"}))

    with pytest.raises(pipeline.UsageError, match="leave one of the two out"):
        pipeline.run_batch(["a"], config, journal="j")


@pytest.mark.parametrize(
    "prompts, said",
    [
        ("a", "put it into a list"),
        (b"a", "put it into a list"),
        ({"prompt": "a"}, "put it into a list"),
        ([pd.DataFrame({"a": [1]})], "give the frame itself"),
        ([pl.Series(["a"])], "give the frame itself"),
        (pl.LazyFrame({"a": [1]}), "collect()"),
        (3, "got int"),
        (None, "got NoneType"),
    ],
    ids=range(8),
)
def test_prompts_that_are_none_are_told_in_words(tmp_path: Path, prompts: Any, said: str) -> None:
    with pytest.raises(TypeError) as caught:
        pipeline.run_batch(prompts, config_for(tmp_path, "{prompt}"))

    assert said in str(caught.value)


@pytest.mark.parametrize("config, said", [(["a"], "the rows are the other argument"), ({"provider": {}}, "got a dict"), (None, "NoneType")])
def test_a_config_that_is_none_is_told_in_words(config: Any, said: str) -> None:
    with pytest.raises(TypeError) as caught:
        pipeline.run_batch(["a"], config)

    assert said in str(caught.value)


def test_a_text_for_a_config_is_the_path_of_one() -> None:
    with pytest.raises(pipeline.ConfigError, match=r"gpt-4o: cannot be read: No such file"):
        pipeline.run_batch(["a"], "gpt-4o")


async def test_a_stream_under_trio_takes_an_async_iterator(tmp_path: Path) -> None:
    async def rows() -> Any:
        for number in range(5):
            yield f"p{number}"

    async with pipeline.stream(config_for(tmp_path, "{prompt}"), rows(), transport=httpx.MockTransport(echo)) as outcomes:
        assert [outcome.content async for outcome in outcomes] == [f"p{number}" for number in range(5)]


class ZMQInteractiveShell:
    """What IPython's shell is called in a kernel."""


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    """A kernel: what its one display holds, state after state."""
    states: list[dict[str, str]] = []
    handle = SimpleNamespace(update=lambda bundle, raw: states.append(bundle))

    def display(bundle: dict[str, str], *, raw: bool, display_id: bool) -> object:
        assert raw
        assert display_id
        states.append(bundle)
        return handle

    ipython, shown = ModuleType("IPython"), ModuleType("IPython.display")
    ipython.get_ipython = ZMQInteractiveShell  # type: ignore[attr-defined]
    shown.display = display  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", shown)
    return states


def test_a_notebook_shows_one_display_that_ends_as_the_result(tmp_path: Path, kernel: list[dict[str, str]]) -> None:
    answers(["a", "b"], config_for(tmp_path, "{prompt}"))

    assert runs_in_kernel()
    assert kernel[-1]["text/plain"].startswith("2 rows in ")
    assert "held by" not in kernel[-1]["text/html"]
    assert all(set(state) == {"text/html", "text/plain"} for state in kernel)


def test_a_notebook_shows_nothing_if_that_is_wanted(tmp_path: Path, kernel: list[dict[str, str]]) -> None:
    answers(["a"], config_for(tmp_path, "{prompt}"), progress=False)

    assert kernel == []


def test_hostile_text_in_a_notebook_is_text(kernel: list[dict[str, str]]) -> None:
    row = FailedRow(0, "</div>", '<img src=x onerror="alert(1)">')
    card = Card(Watcher(Facts("<b>", "outcomes", None, None, 5)))

    card.show(Progress(1, 1, 1, 1, 1, 0, 0, 0, 0, 1.0, "", failures={"http_400": FailureGroup(1, row)}))
    card.finish()

    assert "<img" not in kernel[0]["text/html"] + kernel[-1]["text/html"]


def test_progress_may_be_a_function(tmp_path: Path) -> None:
    told: list[Progress] = []

    answers(["a"], config_for(tmp_path, "{prompt}"), progress=told.append)

    assert told[-1].rows_done == 1
    assert told[-1].rows_total == 1
