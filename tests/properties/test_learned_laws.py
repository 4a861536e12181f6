"""Laws of the learned pace, on virtual time: whatever the kind of limit, most of it is used and little is refused."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest
from attrs import evolve

from benchmarks.hidden_limits import Bucket, Fixed, Flaky, InFlight, Plan, Sliding
from benchmarks.virtual_run import Book, World, as_enforced, drive, per_minute
from pipeline.core.pacing.lane import Lane

if TYPE_CHECKING:
    from benchmarks.hidden_limits import Server

RATE = 12.0  # a second; the constants were not tuned at this rate
MEAN_LATENCY = 4.8
SLOTS = 230
SHORT = ["fixed 1", "sliding 1", "bucket 0.2", "bucket 1", "fixed 10", "sliding 10"]
MINUTES = ["fixed 60", "sliding 60"]


def server_of(kind: str, seed: int = 0, *, rate: float = RATE, refused_count: bool = False, plan: Plan = Plan()) -> Server:  # noqa: B008  a frozen value
    name, _, seconds = kind.partition(" ")
    if name == "fixed":
        return Fixed(rate, float(seconds), phase=0.37 * float(seconds) * (seed + 1), refused_count=refused_count, plan=plan)
    if name == "sliding":
        return Sliding(rate, float(seconds), refused_count, plan)
    if name == "bucket":
        return Bucket(rate, float(seconds), refused_count, plan)
    return InFlight(rate * MEAN_LATENCY, MEAN_LATENCY, plan)


def run(server: Server, *, learn: bool = True, world: World | None = None, **limits: float) -> tuple[Lane, Book]:
    world = world or World(seconds=120.0, slots=SLOTS)
    lane = Lane.from_limits(learn=learn, max_in_flight=world.slots, **limits)
    return lane, drive(lane, server, world)


@pytest.mark.parametrize("waits", ["whole", "exact", "none"])
@pytest.mark.parametrize("kind", [*SHORT, "bucket 10"])
def test_unknown_limit_of_ten_seconds_or_less_is_found_within_twenty(kind: str, waits: str) -> None:
    server = server_of(kind)

    _, book = run(server, world=World(seconds=120.0, slots=SLOTS, seed=5, waits=waits))

    assert book.attained(server, 20, 120) >= 0.9
    assert book.refused_share() <= (0.03 if kind == "bucket 10" else 0.025)  # a deep bucket lets a search run far beyond its rate


@pytest.mark.parametrize("waits", ["whole", "none"])
@pytest.mark.parametrize("kind", MINUTES)
def test_unknown_limit_of_a_minute_is_used_up_and_found(kind: str, waits: str) -> None:
    server = server_of(kind)

    _, book = run(server, world=World(seconds=300.0, slots=SLOTS, seed=6, waits=waits))

    assert book.attained(server, 0, 60) >= 0.95
    assert book.attained(server, 0, 300) >= 0.95
    assert book.refused_share() <= 0.012


@pytest.mark.parametrize("kind", [*SHORT, "sliding 60"])
def test_refused_requests_may_count_against_the_limit(kind: str) -> None:
    server = server_of(kind, refused_count=True)

    _, book = run(server, world=World(seconds=180.0, slots=SLOTS, seed=7, waits="none"))

    assert book.attained(server, 0, 180) >= 0.85
    assert book.refused_share() <= 0.025


@pytest.mark.parametrize("seed", [1, 2])
def test_cap_on_attempts_at_once_is_found_and_pauses_nobody(seed: int) -> None:
    server = server_of("in flight")

    lane, book = run(server, world=World(seconds=120.0, slots=SLOTS, seed=seed, waits="none"))

    assert book.attained(server, 20, 120) >= 0.9
    assert book.refused_share() <= 0.03
    assert lane.concurrency <= 1.05 * RATE * MEAN_LATENCY


def test_provider_that_speaks_of_parallel_requests_is_believed_at_once() -> None:
    server = InFlight(20, MEAN_LATENCY)

    lane, book = run(server, world=World(seconds=60.0, slots=SLOTS, parallel=True))

    assert book.attained(server, 10, 60) >= 0.9
    assert len(book.refused) <= 20
    assert lane.concurrency <= 21


@pytest.mark.parametrize("kind", ["fixed 60", "sliding 60", "fixed 1", "sliding 1", "bucket 0.2", "bucket 1"])
def test_announced_limit_of_a_minute_is_used_whatever_is_enforced(kind: str) -> None:
    server = server_of(kind)

    lane, book = run(server, world=World(seconds=120.0, slots=SLOTS, seed=3, speak=per_minute(server)))

    assert book.attained(server, 20, 120) >= (0.97 if kind.endswith("60") else 0.93)
    assert book.refused_share() <= 0.01
    assert lane.learned is not None


@pytest.mark.parametrize("kind", ["fixed 10", "sliding 10", "bucket 10", "fixed 1", "fixed 60", "sliding 60"])
def test_period_of_an_announced_limit_is_inferred(kind: str) -> None:
    """Azure says 20 for 120 a minute, as it counts in windows of ten seconds: taken for a minute's, a sixth would be used."""
    server = server_of(kind)

    _, book = run(server, world=World(seconds=120.0, slots=SLOTS, seed=4, speak=as_enforced))

    assert book.attained(server, 25, 120) >= 0.95
    assert book.refused_share() <= 0.01


@pytest.mark.parametrize("kind", ["sliding 1", "bucket 1"])
def test_header_that_promises_more_than_is_kept_is_only_a_ceiling(kind: str) -> None:
    """Sixty a minute by its words, and one a second in truth: two refusals that nothing explains end the trust."""
    server = server_of(kind, rate=1.0)

    _, book = run(server, world=World(seconds=240.0, slots=20, speak=per_minute(server)))

    assert book.attained(server, 60, 240) >= 0.9
    assert len(book.refused) <= 12


@pytest.mark.parametrize("waits", ["whole", "none"])
@pytest.mark.parametrize("kind", ["fixed 1", "sliding 1", "bucket 1", "sliding 10", "in flight"])
def test_limit_that_halves_and_doubles_is_followed(kind: str, waits: str) -> None:
    server = server_of(kind, plan=Plan(((60.0, 0.5), (120.0, 1.0))))

    _, book = run(server, world=World(seconds=220.0, slots=SLOTS, seed=2, waits=waits))

    assert book.attained(server, 75, 120) >= 0.75
    assert book.attained(server, 185, 220) >= 0.8
    assert book.refused_share() <= 0.035


def test_announced_limit_that_halves_and_doubles_is_followed_at_once() -> None:
    server = server_of("bucket 1", plan=Plan(((60.0, 0.5), (120.0, 1.0))))

    _, book = run(server, world=World(seconds=180.0, slots=SLOTS, speak=per_minute(server)))

    assert book.attained(server, 63, 120) >= 0.93
    assert book.attained(server, 135, 180) >= 0.95
    assert book.refused_share() <= 0.02


@pytest.mark.parametrize("kind", ["sliding 60", "bucket 1"])
def test_neighbour_on_the_same_key_gets_its_share_and_takes_no_more(kind: str) -> None:
    server = server_of(kind)

    _, book = run(server, world=World(seconds=240.0, slots=SLOTS, neighbour=lambda now: 0.4 * RATE if now % 60 < 30 else 0.0))

    assert book.attained(server, 60, 240) >= 0.68
    assert book.refused_share() <= 0.035  # a neighbour that comes may look like a cap for a while


@pytest.mark.parametrize("latency", [0.1, 1.0])
@pytest.mark.parametrize("share", [0.05, 0.1, 0.2])
def test_refusals_at_random_do_not_stop_the_lane(share: float, latency: float) -> None:
    random = Random(f"{share} {latency}")
    server = Flaky(share, [random.random() for _ in range(10_007)])
    world = World(slots=20, rows=300, latency=latency, sigma=0.2, shortest=latency / 2, network=0.005, jitter=0.005)

    _, book = run(server, world=world)

    assert book.answered == 300
    assert book.ended_at <= 1.5 * 300 * latency / 20 + (8 if share < 0.2 else 25)  # four of the first six may be refused


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("latency", [0.3, 1.0, 4.0])
def test_relay_that_fails_at_random_is_used_as_fast_as_by_a_semaphore(latency: float, late: bool) -> None:  # noqa: FBT001  a parameter
    """Over many seeds: a client whose holders of a semaphore sleep the second that they are told takes as long."""
    ratios = []
    for seed in range(20):
        draws = Random(seed)
        server = Flaky(0.1, [draws.random() for _ in range(10_007)], broken=0.1, wait=1.0, late=late)
        world = World(slots=20, rows=300, seed=seed, latency=latency, sigma=0.5, shortest=latency / 4, network=0.002, jitter=0.002)
        refusal = (latency * 1.13 if late else 0.0) + 0.02
        semaphore = 300 / 20 * (latency * 1.13 + 0.02 + 0.25 * (1.0 + refusal))

        _, book = run(server, world=evolve(world, seconds=3000.0))

        ratios.append(book.ended_at / semaphore)
    assert sorted(ratios)[10] <= 1.3
    assert sorted(ratios)[17] <= 2.0


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
@pytest.mark.parametrize("share", [0.04, 0.1])
@pytest.mark.parametrize("speaks", ["a minute", "what is enforced"])
def test_early_refusals_at_random_are_not_taken_for_a_limit_far_below_the_announced_one(speaks: str, share: float, seed: int) -> None:
    """A 429 right after the start made the pace fall to a fortieth of what the headers said, for half a minute."""
    draws = Random(seed)
    server = Flaky(share, [draws.random() for _ in range(10_007)], broken=share, behind=Bucket(55.0, 1.0), wait=0.2)
    speak = per_minute(server) if speaks == "a minute" else as_enforced
    world = World(slots=50, rows=300, seed=seed, latency=0.25, sigma=0.5, shortest=0.1, network=0.002, jitter=0.002, speak=speak)

    _, book = run(server, world=world)

    assert book.answered == 300
    assert book.ended_at <= 3.5 * 300 / 55


@pytest.mark.parametrize("kind", ["sliding 60", "fixed 60", "bucket 10", "sliding 10"])
def test_limit_on_tokens_is_found_by_counting_requests_although_rows_differ_threefold(kind: str) -> None:
    """Over the length of a window the sizes even out, so that a pace of requests is a pace of tokens, too."""

    def cost(draws: Random) -> tuple[int, int]:
        real = max(20, int(1000 * draws.lognormvariate(-0.245, 0.7)))
        return real, int(real * draws.lognormvariate(0.0, 0.15))

    server = server_of(kind, rate=20_000.0)

    _, book = run(server, world=World(seconds=240.0, slots=400, seed=2, cost=cost, by_tokens=True))

    assert book.attained(server, 60, 240) >= 0.9
    assert book.refused_share() <= 0.025


@pytest.mark.parametrize("factor", [1.1, 2.0])
@pytest.mark.parametrize("kind", SHORT)
def test_configured_limit_that_is_too_high_is_a_ceiling(kind: str, factor: float) -> None:
    server = server_of(kind, rate=20.0, refused_count=True)
    world = World(slots=50, rows=600, waits="none", latency=0.3, sigma=0.3, shortest=0.1, network=0.005, jitter=0.005)

    _, book = run(server, world=world, requests_per_second=20.0 * factor)

    assert book.answered == 600
    assert book.ended_at <= 1.4 * 30


@pytest.mark.parametrize("kind", SHORT)
def test_configured_limit_that_is_right_costs_nothing(kind: str) -> None:
    """The limit is kept by the meter, and what is learned adds no margin of its own."""
    server = server_of(kind, rate=20.0)
    world = World(seconds=60.0, slots=SLOTS, latency=1.0, shortest=0.2, network=0.001, jitter=0.001)

    _, learned = run(server, world=world, requests_per_second=20.0)
    _, plain = run(server_of(kind, rate=20.0), learn=False, world=world, requests_per_second=20.0)

    assert len(learned.refused) == len(plain.refused) == 0
    assert len(learned.let_in) == len(plain.let_in)


@pytest.mark.parametrize("rate", [50.0, 100.0])
def test_fifty_waiters_who_are_told_the_exact_wait_do_not_come_back_at_once(rate: float) -> None:
    server = Bucket(rate, 1.0)
    world = World(slots=50, rows=3000, waits="exact", latency=0.2, sigma=0.3, shortest=0.1, network=0.003, jitter=0.003)

    _, book = run(server, world=world)

    assert book.answered == 3000
    assert len(book.refused) <= 0.02 * 3000
    assert book.ended_at <= 1.1 * 3000 / rate


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_exact_waits_of_milliseconds_do_not_close_a_lane_again_and_again(seed: int) -> None:
    """Requests under way are refused too and count, so that the wait which was told is no longer true when it is over."""
    server = Bucket(30.0, 1.0, refused_count=True)
    world = World(slots=100, rows=600, seed=seed, waits="exact", latency=0.8, sigma=0.5, shortest=0.1, network=0.001, jitter=0.004)

    _, book = run(server, world=world)

    assert book.ended_at <= 1.25 * 600 / 30
    assert len(book.refused) <= 30


@pytest.mark.parametrize("latency", [0.005, 0.05, 0.5])
def test_server_without_a_limit_is_soon_used_with_all_slots(latency: float) -> None:
    server = Flaky(0.0, [0.5])

    lane, book = run(
        server, world=World(slots=200, rows=5000, latency=latency, sigma=0.3, shortest=latency / 2, network=0.001, jitter=0.001)
    )

    assert book.ended_at <= 1.35 * 5000 * (1.05 * latency + 0.0025) / 200 + 0.1
    assert book.most_in_flight == 200
    assert lane.learned is None


@pytest.mark.parametrize("latency", [0.1, 1.0, 5.0])
def test_run_of_thousands_in_flight_takes_little_longer_than_with_a_semaphore(latency: float) -> None:
    rows, slots = 20_000, 5_000
    server = Flaky(0.0, [0.5])

    _, book = run(server, world=World(slots=slots, rows=rows, latency=latency, sigma=0.0, shortest=0.0, network=0.0, jitter=0.0))

    assert book.ended_at <= 1.02 * rows / slots * latency + 0.3
    assert book.most_in_flight == slots


@pytest.mark.parametrize("slots", [50, 1000, 5000])
def test_provider_that_refuses_everything_meets_little_of_the_first_second(slots: int) -> None:
    """Refusals come at once, so that the first one stops what has not left yet."""
    server = Flaky(1.0, [0.5], wait=1.0)

    _, book = run(server, world=World(slots=slots, seconds=1.0))

    assert len(book.refused) <= 20 + slots / 20


def test_slots_that_bind_do_not_let_the_pace_run_away() -> None:
    """Growth is bound to real departures: a limit that falls later must not meet a pace without bounds."""
    server = Sliding(100.0, 1.0, plan=Plan(((60.0, 0.05),)))

    _, book = run(server, world=World(seconds=150.0, slots=40))

    assert book.attained(server, 80, 150) >= 0.8
    assert len(book.refused) <= 40


def test_server_that_says_one_second_for_a_minute_is_not_asked_sixty_times() -> None:
    server = server_of("sliding 60")

    _, book = run(server, world=World(seconds=120.0, slots=SLOTS, waits="one"))

    assert len(book.refused) <= 30
    assert book.attained(server, 0, 120) >= 0.92


def test_pace_that_fell_as_low_as_it_can_comes_back() -> None:
    """Where so little leaves that no number of departures is ever reached, a test is due by time."""
    server = server_of("bucket 1", plan=Plan(((40.0, 0.005), (100.0, 1.0))))

    _, book = run(server, world=World(seconds=340.0, slots=SLOTS))

    assert book.attained(server, 280, 340) >= 0.8


def test_tests_leave_most_refusals_to_the_search() -> None:
    server = server_of("bucket 1")

    _, book = run(server, world=World(seconds=300.0, slots=SLOTS, seed=3))

    assert book.refused_share(60, 300) <= 0.01


@pytest.mark.parametrize("kind", [*SHORT, *MINUTES])
def test_rate_limit_is_not_taken_for_a_cap_in_the_end(kind: str) -> None:
    lane, _ = run(server_of(kind), world=World(seconds=200.0, slots=SLOTS, seed=8))

    assert lane.concurrency == SLOTS


@pytest.mark.parametrize("start", [0.0, 54_321.25])
def test_clock_may_begin_anywhere(start: float) -> None:
    server = Sliding(RATE, 1.0)

    _, book = run(server, world=World(seconds=60.0, slots=SLOTS, start=start))

    assert book.attained(server, start + 20, start + 60) >= 0.9
