"""The live view as lines: never wider or taller than the terminal, and what matters least goes first."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from pipeline.cli.drawing import ASCII, TALLEST, WIDEST, Line, draw
from pipeline.cli.view import Facts, Watcher
from pipeline.core.output.words import columns
from pipeline.summaries import FailedRow, FailureGroup, LaneProgress, Progress, WorkersProgress
from tests.fakes.views import BUSY, FACTS, PLAIN_FACTS, START, at


def text_of(line: Line) -> str:
    return "".join(text for text, _ in line)


def drawn(progress: Progress = BUSY, width: int = 80, height: int = 24, facts: Facts = FACTS) -> list[str]:
    return [text_of(line).rstrip() for line in draw(Watcher(facts).look(progress), width, height)]


def test_view_at_80_columns() -> None:
    assert drawn() == [
        "prompts.jsonl → results.jsonl                                         2 min 10 s",
        "━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━╸─────────────────────────────────────  50%",
        "5,038 of ≈10,000 rows · 38.8/s · 30 failed                       2 min 08 s left",
        "",
        "requests   ━━━━━━━━━━━━━━━━━━━━━━───────────  40.8/s     of 60/s",
        "tokens     ━━━━━━━━━━━━━━━━━━━──────────────  1.15 M/min of 2.00 M/min",
        "in flight  ━━━━━━━━━━━━━━╸──────────────────  180        of 400; 7 wait to retry",
        "cost       2.82; about 5.60 in all",
        "",
        "held by    requests_per_minute  running at your limit",
        "retried    210 attempts · 45 × throttled (HTTP 429)",
        "failed     22 × HTTP 400 · 6 × invalid_row · 2 × too_large",
        "           row 5,054: content_policy_violation: blocked by our content  [31mpol…",
    ]


def test_workers_have_a_line() -> None:
    lines = drawn(replace(BUSY, workers=WorkersProgress(3, 4, 17, 40, again=2)))

    assert "workers    3/4 · shards 17/40; 2 begun again" in lines


def test_view_of_a_stream_without_limits_shows_figures_alone() -> None:
    lines = drawn(replace(at(10, 100), in_flight=5), facts=PLAIN_FACTS)

    assert lines == [
        "stdin → out.jsonl                                                           10 s",
        "────────────────────────────────────────────────────────────────────────────────",
        "100 rows · 10/s",
        "",
        "requests   0/s",
        "in flight  ━━━──────────────────────────────  5          of 50",
        "",
        "held by    nothing  as fast as answers come",
    ]


def test_narrow_terminals_get_figures_and_the_narrowest_two_lines() -> None:
    narrow, narrowest = drawn(width=60), drawn(width=40)

    assert "in flight  180  of 400; 7 wait to retry" in narrow
    assert narrowest == ["50% · 38.8/s · 2 min 08 s left", "30 failed · 2.82"]


def test_what_matters_least_goes_first_on_a_low_terminal() -> None:
    heights = [drawn(height=height) for height in (24, 16, 13, 10, 8, 3)]

    assert [len(lines) for lines in heights] == sorted((len(lines) for lines in heights), reverse=True)
    assert all("5,038 of ≈10,000 rows" in "\n".join(lines) for lines in heights)
    assert "" not in heights[2]
    assert not any(line.startswith("tokens") for line in heights[3])
    assert [line[:8] for line in heights[-1]] == ["━━━━━━━━", "5,038 of", "held by "]


def test_the_gauge_that_holds_has_a_bold_label() -> None:
    bold = [line[0][0].strip() for line in draw(Watcher(FACTS).look(BUSY), 80, 24) if line and line[0] == (line[0][0], "bold")]

    assert bold == ["prompts.jsonl → results.jsonl", "5,038 of ≈10,000 rows", "requests"]


def test_no_percentage_is_100_before_the_last_row() -> None:
    assert "99%" in drawn(at(10, 9999, total=10_000))[1]
    assert "100%" in drawn(at(10, 10_000, total=10_000))[1]


def test_ascii_terminals_get_ascii() -> None:
    lines = draw(Watcher(FACTS).look(replace(BUSY, failures={})), 80, 24, ASCII)

    assert all(text_of(line).isascii() for line in lines)
    assert "of ~10,000 rows" in text_of(lines[2])


printable = st.text(max_size=200)


@given(
    width=st.integers(1, 200),
    height=st.integers(1, 60),
    numbers=st.lists(st.integers(0, 10**12), min_size=8, max_size=8),
    message=printable,
    name=printable,
    bound=st.sampled_from(["", "input", "in_flight", "tokens_per_minute", "learned", "something_new_and_rather_long" * 5]),
    total=st.none() | st.integers(0, 10**9),
)
def test_no_line_is_wider_and_no_view_taller_than_the_terminal(
    width: int, height: int, numbers: list[int], message: str, name: str, bound: str, total: int | None
) -> None:
    failures = {code: FailureGroup(numbers[0] + 1, FailedRow(numbers[1], name, message)) for code in ("http_400", "timeout", name or "x")}
    progress = Progress(
        rows_read=numbers[0],
        rows_done=numbers[1],
        rows_failed=numbers[2],
        rows_total=total,
        attempts=numbers[3],
        retries=numbers[4],
        throttled=numbers[5],
        in_flight=numbers[6],
        waiting=numbers[7],
        elapsed_seconds=float(numbers[2]),
        bound=bound,
        cost=float(numbers[4]),
        failures=failures,
    )
    facts = Facts(
        source=name, sink=name, requests=float(numbers[5] + 1), tokens_per_minute=float(numbers[6] + 1), max_in_flight=numbers[7] + 1
    )

    lines = draw(Watcher(facts).look(progress), width, height)

    assert all(columns(text_of(line)) <= min(width, WIDEST) for line in lines)
    assert len(lines) <= max(3, min(height - 4, TALLEST))
    assert all(text_of(line).isprintable() for line in lines)


def test_a_start_without_anything_is_drawn() -> None:
    assert drawn(START)[2] == "0 rows · 0/s"


EU = LaneProgress("eu", 3000, 0, 100, 30.0, 30.0, bound="requests_per_second")
US = LaneProgress("us", 2300, 45, 80, 30.0, 19.0, bound="learned")
SEVERAL = replace(BUSY, lanes=(EU, US), latency_seconds={"p50": 2.5, "p95": 5.7}, first_token_seconds={"p50": 0.449})


def test_what_the_provider_allows_stands_on_the_gauge_of_requests() -> None:
    (requests,) = [line for line in drawn(SEVERAL) if line.startswith("requests")]

    assert "╂" in requests
    assert requests.endswith("of 60/s; 49/s allowed")


def test_lanes_are_a_line_at_80_columns_and_a_table_at_120() -> None:
    (line,) = [line for line in drawn(SEVERAL) if line.startswith("lanes")]
    wide = drawn(SEVERAL, 120, 40)

    assert line == "lanes      eu 23.1/s of 30/s · us 17.7/s of 30/s"
    assert [each.split() for each in wide if each.strip().startswith(("eu", "us"))] == [
        ["eu", "23.1/s", "30/s", "30/s", "100", "0", "requests_per_second"],
        ["us", "17.7/s", "30/s", "19/s", "80", "45", "the", "provider's", "limit"],
    ]


def test_one_lane_has_no_line_of_its_own() -> None:
    assert not [line for line in drawn(replace(BUSY, lanes=(EU,)), 120, 40) if line.startswith("lanes")]


def test_a_lane_that_is_out_is_named_with_its_time() -> None:
    progress = replace(SEVERAL, bound="lane_out", lanes=(replace(EU, out_seconds=12.0), US))

    assert "held by    out of reach: eu  for 12 s; its rows go to others" in drawn(progress)
    assert any("eu" in line and "out of reach for 12 s" in line for line in drawn(progress, 120, 40))
    assert any(line.startswith("lanes") and "eu out of reach" in line for line in drawn(progress))


def test_what_a_run_waits_for_names_the_lanes_that_are_out_meanwhile() -> None:
    progress = replace(SEVERAL, bound="requests_per_second", lanes=(replace(EU, out_seconds=12.0), US))

    assert "held by    requests_per_second  running at your limit; eu out of reach for 12 s" in drawn(progress)


def test_a_lane_that_is_used_no_longer_is_named_in_the_line_and_in_the_table() -> None:
    progress = replace(SEVERAL, lanes=(replace(EU, out="its key was refused"), US))

    assert "lanes      eu not used any more · us 17.7/s of 30/s" in drawn(progress)
    assert any("eu" in line and "not used any more" in line for line in drawn(progress, 120, 40))


def test_latency_and_first_token_are_shown_where_there_is_room() -> None:
    wide = drawn(SEVERAL, 120, 40)

    assert "latency    p50 2.5 s   p95 5.7 s" in wide
    assert "1st token  p50 0.4 s" in wide
    assert not [line for line in drawn(SEVERAL) if line.startswith("latency")]


def test_a_budget_is_a_gauge_with_the_forecast_on_it() -> None:
    (cost,) = [line for line in drawn(facts=Facts("a", "b", 60.0, None, 400, 8.0)) if line.startswith("cost")]

    assert cost.endswith("2.82       of 8.00; 5.60 in all")
    assert cost.index("╂") == 11 + int(5.60 / 8 * 33)
