"""The harness in its quick mode: that it counts right, whoever is counted. No figure is asserted."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest
from attrs import evolve
from click.testing import CliRunner

from benchmarks.cli import main
from benchmarks.harness import measure
from benchmarks.report import markdown
from benchmarks.scenarios import SCENARIOS
from benchmarks.subjects import SUBJECTS, prepare

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="its server stands on uvloop")


def quick(name: str, *peers: str) -> dict[str, Any]:
    result = measure([SCENARIOS[name].quick()], peers, 1, warm_up=False, say=lambda _: None)
    scenario: dict[str, Any] = result["scenarios"][name]
    page = markdown(result, [], "quick.json")
    assert all(f"\n| {SUBJECTS[subject].title} |" in page for subject in scenario["subjects"])
    return {subject: found["runs"][0] for subject, found in scenario["subjects"].items()}


@pytest.mark.parametrize("name", ["in-flight-50", "in-flight-1000", "tls-50", "slow-head"])
def test_every_row_gets_its_own_answer_in_its_own_place(name: str) -> None:
    runs = quick(name, "headrace", "aiohttp-gather", "aiohttp-workers")

    assert set(runs) == {"headrace", "aiohttp-gather", "aiohttp-workers"}
    for run in runs.values():
        assert (run["right"], run["misplaced"], run["lost"]) == (run["rows"], 0, 0)


def test_stream_is_put_together_by_the_peer_that_it_is_held_against() -> None:
    run = quick("stream-50", "aiohttp-stream")["aiohttp-stream"]

    assert (run["right"], run["lost"]) == (run["rows"], 0)


def test_headrace_opens_no_more_connections_than_are_in_flight() -> None:
    run = quick("in-flight-1000", "headrace")["headrace"]

    assert run["most_in_flight"] <= run["connections"] <= 100


@pytest.mark.parametrize("window", ["fixed", "sliding", "bucket"])
def test_limited_server_answers_every_row_once(window: str) -> None:
    run = quick(f"limit-{window}", "headrace")["headrace"]

    assert (run["right"], run["requests"] - run["refused"]) == (run["rows"], run["rows"])


@pytest.mark.parametrize("name", ["transport-bytes", "transport-request", "transport-client", "raw-sockets"])
@pytest.mark.parametrize("scenario", ["in-flight-50", "tls-50"])
def test_transport_alone_loses_nothing(name: str, scenario: str) -> None:
    run = quick(scenario, name)[name]

    assert run["right"] == run["rows"]


def test_article_program_loses_three_rows_where_headrace_loses_none() -> None:
    runs = quick("article", "headrace", "async-semaphore")

    assert (runs["headrace"]["right"], runs["headrace"]["lost"]) == (100, 0)
    assert (runs["async-semaphore"]["right"], runs["async-semaphore"]["lost"]) == (97, 3)


@pytest.mark.parametrize("name", ["unknown-bucket", "flaky-relay", "heavy-bodies", "heavy-answers", "stream-50"])
def test_row_is_answered_whatever_the_limit_the_relay_or_its_size(name: str) -> None:
    run = quick(name, "headrace")["headrace"]

    assert (run["right"], run["misplaced"], run["lost"]) == (run["rows"], 0, 0)


@pytest.mark.parametrize("name", ["stages", "stages-durable"])
def test_stages_alone_lose_nothing_and_their_start_costs_them_nothing(name: str) -> None:
    run = quick("stages", name)[name]

    assert run["right"] == run["rows"]
    assert run["sending_cpu_us_per_row"] < run["cpu_us_per_row"]


def test_serve_answers_a_batch_and_only_its_process_counts() -> None:
    run = quick("serve", "headrace-serve")["headrace-serve"]

    assert (run["right"], run["lost"]) == (run["rows"], 0)
    assert run["cpu_us_per_row"] > 0


@pytest.mark.parametrize("program", ["hey", "wrk"])
def test_load_generator_offers_the_load_of_a_scenario(program: str, tmp_path: Path) -> None:
    command = prepare(SUBJECTS[program], SCENARIOS["in-flight-1000"], "http://127.0.0.1:1/v1", tmp_path)

    assert command[command.index("-c") + 1] == "1000"
    assert command[-1] == "http://127.0.0.1:1/v1/chat/completions"
    assert "row-0000000" in "".join(file.read_text() for file in tmp_path.iterdir())


def test_each_ratio_names_the_loop_that_it_is_taken_to() -> None:
    result = measure(
        [SCENARIOS["in-flight-50"].quick()], ["headrace", "aiohttp-gather", "aiohttp-workers"], 1, warm_up=False, say=lambda _: None
    )

    page = markdown(result, [], "quick.json")

    assert "| ÷ aiohttp gather | ÷ aiohttp workers |" in page
    assert "CPU per row ÷ aiohttp gather, 50 in flight" in page
    assert result["conditions"]["build"] in page


def test_subject_that_outlives_patience_is_left_out_with_a_word() -> None:
    scenario = evolve(SCENARIOS["in-flight-50"].quick(), latency="fixed:60", patience_seconds=0.5)

    found = measure([scenario], ["aiohttp-gather"], 1, warm_up=False, say=lambda _: None)["scenarios"]["in-flight-50"]

    assert found["subjects"] == {}
    assert found["skipped"] == {"aiohttp-gather": "did not end within 0.5 s"}


def test_every_scenario_names_known_subjects() -> None:
    assert {peer for scenario in SCENARIOS.values() for peer in scenario.peers} <= set(SUBJECTS)


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_scenario_is_an_ordinary_config(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline import load_config

    monkeypatch.setattr("benchmarks.cli.write_input", lambda path, rows, _: path.write_text(f"{rows}"))
    said = CliRunner().invoke(main, ["config", name, str(tmp_path)])

    assert said.exit_code == 0, said.output
    assert load_config(tmp_path / f"{name}.yaml").limits.max_in_flight == SCENARIOS[name].in_flight


def test_a_result_of_few_scenarios_gets_a_page_of_its_own(tmp_path: Path) -> None:
    out = tmp_path / "few.json"
    CliRunner().invoke(main, ["run", "start-up", "--quick", "--peers", "aiohttp-workers", "--out", str(out)])

    said = CliRunner().invoke(main, ["report", str(out), "--into", str(tmp_path), "--page", "few.md"])

    assert said.exit_code == 0, said.output
    assert "One row" in (tmp_path / "few.md").read_text()
    assert not (tmp_path / "README.md").exists()


def test_list_names_every_scenario() -> None:
    said = CliRunner().invoke(main, ["list"])

    assert all(name in said.output for name in SCENARIOS)


def test_result_is_json_with_its_conditions(tmp_path: Path) -> None:
    out = tmp_path / "result.json"
    said = CliRunner().invoke(main, ["run", "start-up", "--quick", "--peers", "aiohttp-gather", "--out", str(out)])

    result = json.loads(out.read_text())

    assert said.exit_code == 0
    assert {"cpu", "python", "build", "versions", "date", "load"} <= set(result["conditions"])
