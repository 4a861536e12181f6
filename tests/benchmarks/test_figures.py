from __future__ import annotations

import pytest
from attrs import evolve

from benchmarks.compare import changes
from benchmarks.figures import derive, figure, paired_ratio, summarise
from benchmarks.latency import latency_table, mean_latency
from benchmarks.peers.task import judge
from benchmarks.scenarios import SCENARIOS
from benchmarks.simulated import passing

RUN = {
    "rows": 1_000, "right": 1_000, "misplaced": 0, "lost": 0, "started": 9.5, "wall_seconds": 4.0, "cpu_seconds": 0.1, "peak_rss_mb": 40.0,
    "seen_first_arrival": 10.0, "seen_last_arrival": 12.9, "seen_last_reply": 13.0, "seen_accepted": 50, "seen_most_in_flight": 50,
    "seen_cpu_seconds": 0.3, "seen_requests": 1_000, "seen_refused": 0, "seen_most_in_a_second": 400, "seen_steady_per_second": 400.0,
}  # fmt: skip
SCENARIO = evolve(SCENARIOS["in-flight-50"], rows=1_000, latency="fixed:0.1")


def test_figure_is_median_with_half_range_as_spread() -> None:
    found = figure([9.0, 10.0, 12.0])

    assert (found.median, found.noisy) == (10.0, True)
    assert found.spread == pytest.approx(0.15)


def test_derived_cost_subtracts_nothing() -> None:
    assert derive(SCENARIO, RUN)["cpu_us_per_row"] == pytest.approx(100.0)


def test_derived_pace_counts_from_first_arrival_to_last_reply() -> None:
    found = derive(SCENARIO, RUN)

    assert found["achieved_of_ideal"] == pytest.approx(2.0 / 3.0)
    assert found["steady_of_ideal"] == pytest.approx(0.8)
    assert found["start_seconds"] == pytest.approx(0.5)


def test_derived_pace_is_held_against_what_the_limit_allows() -> None:
    found = derive(evolve(SCENARIO, rate=400.0), RUN)

    assert found["achieved_of_ideal"] == pytest.approx(2.5 / 3.0)
    assert found["steady_of_ideal"] == pytest.approx(1.0)


def test_server_that_keeps_no_times_still_tells_its_share() -> None:
    found = derive(SCENARIO, {key: value for key, value in RUN.items() if key != "seen_last_reply"})

    assert found["server_cpu_share"] == pytest.approx(0.3 / 4.0)
    assert "achieved_of_ideal" not in found


def test_limit_that_was_found_is_held_against_what_is_allowed() -> None:
    seen = {"seen_passed_per_second": 40.0, "seen_later_passed_per_second": 45.0, "seen_refused": 100}
    run = {key: value for key, value in {**RUN, **seen}.items() if key != "seen_last_reply"}

    figures = derive(evolve(SCENARIO, allowed=50.0, rows=1_000), run)

    assert (figures["attained"], figures["attained_later"], figures["refused_share"]) == (0.8, 0.9, 0.1)
    assert figures["wall_of_ideal"] == pytest.approx(4.0 / 20)


def test_pace_of_a_search_leaves_out_its_end_and_its_first_ten_seconds() -> None:
    slow, fast = [(at / 2, True) for at in range(20)], [(10 + at / 10, at % 2 == 0) for at in range(400)]

    found = passing([*slow, *fast])

    assert found["later_passed_per_second"] == pytest.approx(5, rel=0.01)
    assert found["passed_per_second"] == pytest.approx(209 / (209 - 20) * 189 / 47.8, rel=0.01)
    assert passing([(0.0, False), (1.0, True)]) == {}


def test_lost_rows_are_not_paid_for_with_a_better_cost() -> None:
    assert derive(SCENARIO, {**RUN, "lost": 500})["cpu_us_per_row"] == pytest.approx(200.0)


def test_attained_is_what_passed_of_what_was_allowed() -> None:
    found = derive(evolve(SCENARIO, rate=400.0), {**RUN, "seen_refused": 10})

    assert found["attained"] == pytest.approx(989 / 2.9 / 400)


def test_ratio_is_taken_round_by_round() -> None:
    ours, theirs = [{"cpu": 1.0}, {"cpu": 10.0}], [{"cpu": 2.0}, {"cpu": 20.0}]

    found = paired_ratio("cpu", ours, theirs)

    assert found is not None
    assert (found.median, found.spread) == (0.5, 0.0)


def test_summary_keeps_only_what_every_run_has() -> None:
    assert set(summarise([{"a": 1.0, "b": 2.0}, {"a": 3.0}])) == {"a"}


@pytest.mark.parametrize("spec", ["fixed:0.1", "uniform:0.1:0.3", "lognormal:0.05:1.2:10"])
def test_latency_depends_on_the_row_alone(spec: str) -> None:
    assert latency_table(spec) == latency_table(spec)
    assert mean_latency(spec, 10_000) == pytest.approx(mean_latency(spec, 4_096), rel=0.1)


def test_latency_refuses_what_it_does_not_know() -> None:
    with pytest.raises(ValueError, match="got 'fixed'"):
        latency_table("fixed")


def test_judge_tells_misplaced_from_lost() -> None:
    prompts = ["row-0000000 a", "row-0000001 b", "row-0000002 c"]

    verdict = judge(prompts, ["answer to row-0000000", "answer to row-0000002", None])

    assert verdict == {"rows": 3, "right": 1, "misplaced": 1, "lost": 1}


def test_compare_marks_what_lies_within_the_spread() -> None:
    def result(median: float) -> dict[str, object]:
        figures = {"cpu_us_per_row": {"median": median, "spread": 0.06}}
        subjects = {"headrace": {"figures": figures, "headrace_cpu_ratio": None}}
        return {"conditions": {"cpu": "x", "python": "y"}, "scenarios": {"in-flight-50": {"subjects": subjects}}}

    (noise,) = changes(result(100.0), result(110.0))
    (change,) = changes(result(100.0), result(80.0))

    assert noise.endswith("(within the spread)")
    assert change.endswith("-20.0%")
