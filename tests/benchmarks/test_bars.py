from __future__ import annotations

import pytest

from benchmarks.bars import BARS, Bar, Standing, measure
from benchmarks.figures import Figure
from benchmarks.scenarios import SCENARIOS
from benchmarks.subjects import SUBJECTS
from tests.fakes.results import result, run


@pytest.mark.parametrize("bar", BARS, ids=lambda bar: bar.name)
def test_every_bar_names_what_is_measured(bar: Bar) -> None:
    peers = SCENARIOS[bar.scenario].peers

    assert bar.subject in peers
    assert bar.reference is None or bar.reference in peers
    assert bar.base is None or bar.subject in SCENARIOS[bar.base].peers
    assert {bar.subject, bar.reference} - {None} <= set(SUBJECTS)


@pytest.mark.parametrize("bar", BARS, ids=lambda bar: bar.name)
def test_a_goal_is_never_easier_than_its_bar(bar: Bar) -> None:
    assert bar.goal >= bar.bar if bar.at_least else bar.goal <= bar.bar


@pytest.mark.parametrize(
    "bar, worse", [(Bar("", "", "", "", 0.7, 0.4), 0.8), (Bar("", "", "", "", 0.4, 0.7, at_least=True), 0.3)], ids=["at-most", "at-least"]
)
def test_what_reaches_the_mark_exactly_has_met_it(bar: Bar, worse: float) -> None:
    standings = [bar.standing(Figure(median, 0.0)) for median in (bar.goal, bar.bar, worse)]

    assert standings == [Standing.GOAL, Standing.BAR, Standing.MISSED]


def test_a_ratio_to_a_reference_is_taken_round_by_round() -> None:
    bar = Bar("", "in-flight-50", "headrace", "cpu_us_per_row", 0.7, 0.4, "aiohttp-gather")
    runs = {"headrace": [run(cpu_us_per_row=50), run(cpu_us_per_row=80)], "aiohttp-gather": [run(), run(cpu_us_per_row=160)]}

    assert measure(bar, result(in_flight_50=runs)["scenarios"]) == Figure(0.5, 0.0)


def test_a_reference_may_be_held_by_another_figure() -> None:
    bar = Bar("", "in-flight-50", "headrace", "cpu_us_per_row", 0.7, 0.4, "openai-sdk", "sending_cpu_us_per_row")
    runs = {"headrace": [run(cpu_us_per_row=40)], "openai-sdk": [run(cpu_us_per_row=1_000, sending_cpu_us_per_row=400)]}

    assert measure(bar, result(in_flight_50=runs)["scenarios"]) == Figure(0.1, 0.0)


def test_a_ratio_between_scenarios_bears_the_spreads_of_both() -> None:
    bar = Bar("", "rows-1000000", "headrace", "cpu_us_per_row", 1.1, 1.02, base="rows-10000")
    many = {"headrace": [run(cpu_us_per_row=value) for value in (108.0, 120.0, 132.0)]}
    few = {"headrace": [run(cpu_us_per_row=value) for value in (95.0, 100.0, 105.0)]}

    found = measure(bar, result(rows_1000000=many, rows_10000=few)["scenarios"])

    assert found is not None
    assert (found.median, found.spread) == pytest.approx((1.2, 0.15))


@pytest.mark.parametrize("missing", ["scenario", "subject", "figure"])
def test_a_bar_of_which_nothing_was_measured_is_not_met(missing: str) -> None:
    bar = Bar("", "in-flight-50", "headrace", "cpu_us_per_row", 0.7, 0.4, "aiohttp-gather")
    runs = {"headrace": [run()], "aiohttp-gather": [run()]}
    if missing == "subject":
        del runs["aiohttp-gather"]
    elif missing == "figure":
        del runs["headrace"][0]["cpu_us_per_row"]
        runs["headrace"].append(run())
    measured = {"scenarios": {}} if missing == "scenario" else {"scenarios": {"in-flight-50": {"subjects": _only_runs(runs)}}}

    found = measure(bar, measured["scenarios"])

    assert found is None
    assert bar.standing(found) is Standing.UNKNOWN


def _only_runs(runs: dict[str, list[dict[str, float]]]) -> dict[str, object]:
    return {name: {"runs": ones} for name, ones in runs.items()}
