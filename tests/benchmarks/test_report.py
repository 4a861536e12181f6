from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmarks.report import markdown
from benchmarks.scenarios import SCENARIOS
from benchmarks.tables import GROWTH, LIMITED, THROUGHPUT, winners
from tests.fakes.results import CONDITIONS, result, run

if TYPE_CHECKING:
    from pathlib import Path

EVERYWHERE = {
    "rows_per_second", "cpu_us_per_row", "cpu_spread", "peak_rss_mb", "achieved_of_ideal", "steady_of_ideal", "cpu_ratio_to_reference",
    "server_cpu_share", "right", "lost",
}  # fmt: skip


def page(**scenarios: dict[str, list[dict[str, float]]]) -> str:
    return markdown(result(**scenarios), [], "quick.json")


def row_of(text: str, start: str) -> list[str]:
    """The cells of the first table row that begins so."""
    return next([cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith(f"| {start}"))


@pytest.mark.parametrize("columns", [THROUGHPUT, LIMITED, GROWTH])
def test_no_table_leaves_out_what_every_scenario_tells(columns: tuple[object, ...]) -> None:
    assert {column.key for column in columns} >= EVERYWHERE  # type: ignore[attr-defined]


def test_page_tells_its_conditions() -> None:
    text = page(in_flight_50={"headrace": [run()]})

    assert all(
        word in text
        for word in ("a processor", "2 cores", "CPython 3", "trio 0.30", "revision abc", "load 0.50 → 1.50", "interleaved runs", "1 run.")
    )


def test_what_spreads_is_flagged_and_what_does_not_is_not() -> None:
    text = page(in_flight_50={"headrace": [run(cpu_us_per_row=80), run(cpu_us_per_row=120)], "aiohttp-gather": [run(), run()]})

    assert row_of(text, "headrace run")[2:4] == ["100.0~", "20%~"]
    assert row_of(text, "aiohttp gather + semaphore")[2:4] == ["100.0", "0%"]


def test_where_a_peer_wins_it_is_said_and_by_whom() -> None:
    text = page(in_flight_50={"headrace": [run()], "raw-sockets": [run(cpu_us_per_row=40)], "aiohttp-gather": [run(peak_rss_mb=90)]})

    assert "A peer is better in CPU µs/row (`raw-sockets` 40.0; headrace 100.0)." in text
    assert "**40.0**" in text


def test_a_win_is_told_with_the_rows_that_it_cost() -> None:
    text = page(faults={"headrace": [run()], "aiohttp-gather": [run(rows_per_second=2_000, right=90, lost=10)]})

    assert "rows/s (`aiohttp-gather` 2,000 with 10 rows lost; headrace 1,000)" in text


def test_where_nobody_wins_that_is_said() -> None:
    assert "No peer is better in any of these." in page(in_flight_50={"headrace": [run()], "aiohttp-gather": [run()]})


def test_nothing_is_said_of_winners_where_headrace_was_not_beside() -> None:
    assert winners(THROUGHPUT, {"raw-sockets": {}, "aiohttp-gather": {}}) == ""


def test_overrunning_a_limit_does_not_win() -> None:
    text = page(limit_sliding={"headrace": [run()], "aiohttp-limiter": [run(attained=1.2, achieved_of_ideal=1.5, steady_of_ideal=1.6)]})

    assert "No peer is better" in text


def test_growth_is_one_table_against_ten_thousand_rows() -> None:
    text = page(
        rows_1000={"headrace": [run(rows=1e3, cpu_us_per_row=300)], "aiohttp-gather": [run(rows=1e3)]},
        rows_10000={"headrace": [run(rows=1e4)], "aiohttp-gather": [run(rows=1e4)]},
        rows_1000000={"headrace": [run(rows=1e6, cpu_us_per_row=105, peak_rss_mb=55)]},
    )

    assert text.count("## The same load") == 1
    assert [line.split("|")[2].strip() for line in text.splitlines() if line.startswith("| headrace run")] == [
        "1,000",
        "10,000",
        "1,000,000",
    ]
    assert row_of(text, "headrace run (file, journal, order, file) | 1,000,000")[6:12] == [
        "1.050",
        "1,000",
        "0.900",
        "0.950",
        "55",
        "1.100",
    ]


def test_stages_are_told_without_their_start() -> None:
    text = page(stages={"stages": [run(sending_cpu_us_per_row=21.5)], "stages-durable": [run()]})

    assert row_of(text, "headrace's stages: no network")[2] == "21.5"
    assert "A peer" not in text.split("## headrace's stages")[1]


def test_bars_stand_where_they_are_measured_and_say_so_where_not() -> None:
    runs = {"headrace": [run(cpu_us_per_row=60)], "aiohttp-gather": [run()]}

    text = page(in_flight_50=runs, in_flight_1000=runs)

    assert row_of(text, "CPU per row ÷ aiohttp gather, 50 in flight")[1:] == ["0.6", "0%", "≤ 0.42", "≤ 0.33", "**no**"]
    assert row_of(text, "CPU per row ÷ aiohttp gather, 1,000 in flight")[1:] == ["0.6", "0%", "≤ 0.27", "≤ 0.2", "**no**"]
    assert row_of(text, "stages alone")[1:] == ["–", "–", "≤ 22", "≤ 14", "not measured"]


def test_every_section_says_how_many_runs_it_stands_on() -> None:
    text = page(in_flight_50={"headrace": [run()] * 5}, rows_1000={"headrace": [run()] * 5}, rows_10000={"headrace": [run()] * 2})

    assert "latency `uniform:0.0025:0.0075`. 5 runs." in text
    assert "2 to 5 runs." in text


def test_a_soak_is_told_with_what_grew() -> None:
    soaked = {
        "conditions": CONDITIONS, "rate": 1_000, "total": 600_000, "succeeded": 599_999, "failed": 1, "attempts": 600_100, "retries": 100,
        "duration_seconds": 601.2, "growth": {"rss_mb": {"early": 44.0, "late": 46.0, "ratio": 1.045}},
    }  # fmt: skip

    text = markdown(result(in_flight_50={"headrace": [run()]}), [], "r.json", soaked)

    assert "600,000 rows at 1,000/s for 601 s" in text
    assert row_of(text, "rss_mb") == ["rss_mb", "44", "46", "1.045"]


def test_no_bars_where_none_is_measured() -> None:
    assert "held to" not in page(heavy_tail={"headrace": [run()]})


def test_a_busy_server_is_warned_of() -> None:
    assert "busy to 95%" in page(in_flight_50={"headrace": [run(server_cpu_share=0.95)]})
    assert "busy to" not in page(in_flight_50={"headrace": [run()]})


def test_who_was_left_out_is_named() -> None:
    measured = result(in_flight_50={"headrace": [run()]})
    measured["scenarios"]["in-flight-50"]["skipped"] = {"litellm": "not installed: litellm"}

    assert "Left out: litellm.acompletion (not installed: litellm)." in markdown(measured, [], "quick.json")


def test_every_scenario_can_be_told() -> None:
    measured = {name.replace("-", "_"): {peer: [run()] for peer in scenario.peers} for name, scenario in SCENARIOS.items()}

    text = page(**measured)

    assert all(scenario.title in text for scenario in SCENARIOS.values() if scenario.family != "growth")


def test_every_plot_is_drawn_of_a_whole_result(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from benchmarks.plots import draw

    measured = result(**{name.replace("-", "_"): {peer: [run()] for peer in scenario.peers} for name, scenario in SCENARIOS.items()})

    plots = draw(measured, tmp_path)

    assert plots == ["cpu-per-row.svg", "cpu-in-flight.svg", "achieved.svg", "growth.svg", "attainment.svg"]
    assert all((tmp_path / name).read_bytes().startswith(b"<?xml") for name in plots)


def test_a_plot_bears_a_figure_that_nobody_has(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from benchmarks.plots import draw

    runs = {"headrace": [{key: value for key, value in run().items() if key != "steady_of_ideal"}]}

    assert "achieved.svg" in draw(result(in_flight_1000=runs, in_flight_5000=runs), tmp_path)


def test_no_plot_is_drawn_of_nothing(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from benchmarks.plots import draw

    assert draw(result(start_up={"headrace": [run()]}), tmp_path) == []
