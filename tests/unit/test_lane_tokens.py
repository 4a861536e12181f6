"""What a lane charges for a prompt before its tokens are known: the estimate, as its model's answers have corrected it."""

from __future__ import annotations

from random import Random

import pytest

from pipeline.core.pacing.lane import Lane
from pipeline.core.pacing.lane_state import LaneState
from pipeline.messages import Ticket
from pipeline.records import Job, Usage

# Real tokens for one that is estimated, by language and kind of text (o200k)
FACTORS = {"hex": 1 / 0.52, "English": 1 / 1.42, "Japanese": 1 / 1.28, "Russian": 1 / 2.09, "Hindi": 1 / 2.5, "code": 1 / 1.06}


def state_of(tokens_per_minute: float | None = 1e9) -> LaneState:
    state = LaneState(Lane.from_limits(tokens_per_minute=tokens_per_minute), 1000)
    state.look(0.0)
    return state


def job_of(prompt: int, answer: int = 0, model: str = "m") -> Job:
    return Job(0, "r", "POST", "/v1/x", b"{}", prompt + answer, 1, answer, model=model)


def charged(state: LaneState, job: Job, now: float) -> int:
    state.look(now)
    ticket = Ticket(job, 1, None)
    assert state.admit(now, ticket) is None
    return ticket.charged


@pytest.mark.parametrize("language", FACTORS)
def test_after_100_answers_the_charges_are_right_in_sum_for_every_language(language: str) -> None:
    state, random = state_of(), Random(5)
    estimates = [random.randint(50, 3000) for _ in range(400)]
    reals = [max(1, round(estimate * FACTORS[language] * random.uniform(0.8, 1.2))) for estimate in estimates]
    sums = [0, 0]
    for number, (estimate, real) in enumerate(zip(estimates, reals, strict=True)):
        job = job_of(estimate, 100)
        charge = charged(state, job, number * 60.0) - 100
        if number >= 100:
            sums = [sums[0] + charge, sums[1] + real]
        state.limits.in_flight -= 1
        state.learn(job, Usage(real, 10, real + 10))

    assert 0.95 <= sums[0] / sums[1] <= 1.05


def test_each_model_has_a_factor_of_its_own() -> None:
    state = state_of()
    for _ in range(100):
        state.learn(job_of(100, model="a"), Usage(200, 1, 201))
        state.learn(job_of(100, model="b"), Usage(50, 1, 51))

    assert charged(state, job_of(100, model="a"), 1.0) == pytest.approx(200, abs=5)
    assert charged(state, job_of(100, model="b"), 2.0) == pytest.approx(50, abs=5)
    assert charged(state, job_of(100, model="new"), 3.0) == 100


def test_a_row_that_passes_by_its_estimate_is_never_charged_more_than_can_pass() -> None:
    state = state_of(1000)
    for _ in range(50):
        state.learn(job_of(100), Usage(300, 1, 301))

    assert state.refuses(job_of(900)) is None
    assert charged(state, job_of(900, 50), 100.0) == 1000


def test_a_row_that_is_too_large_by_its_estimate_passes_if_answers_show_that_it_is_not() -> None:
    state = state_of(1000)

    assert state.refuses(job_of(1500)) is not None
    for _ in range(50):
        state.learn(job_of(100), Usage(50, 1, 51))
    assert state.refuses(job_of(1500)) is None


def test_an_answer_that_says_no_usage_teaches_nothing() -> None:
    state = state_of()

    state.learn(job_of(100), Usage())

    assert state.calibrations == {}
