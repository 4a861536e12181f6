"""Law 14: spent plus reserved never exceeds a budget, whatever leaves, ends and is cut, and over any number of processes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pipeline.core.pacing.budget import PICO, Budget, BudgetBound, BudgetLimits, Refusal
from pipeline.messages import NOTHING, Spending

amounts = st.integers(0, 50)
spendings = st.builds(Spending, cost=amounts.map(lambda cost: cost * PICO // 10), tokens=amounts, requests=st.just(1))
limits = st.builds(
    BudgetLimits,
    cost=st.none() | st.floats(0.1, 20),
    tokens=st.none() | st.integers(1, 200),
    requests=st.none() | st.integers(1, 20),
    seconds=st.none() | st.floats(0.1, 100),
)


class Life(RuleBasedStateMachine):
    """A run with a budget, resumed and retuned at will. Attempts never cost more than their worst case here."""

    def __init__(self) -> None:
        super().__init__()
        self.limits = BudgetLimits(cost=10.0, tokens=100, requests=10, seconds=50.0)
        self.now = 0.0
        self.budget = Budget(self.limits, started=0.0)
        self.in_flight: list[Spending] = []

    @rule(worst=spendings)
    def leave(self, worst: Spending) -> None:
        before = self.budget.reserved
        refusal = self.budget.admit(worst, self.now)
        if refusal is None:
            self.in_flight.append(worst)
        else:
            assert self.budget.reserved == before
            assert refusal.final or self.in_flight, "an attempt may wait only for something that can come back"

    @precondition(lambda self: self.in_flight)
    @rule(share=st.floats(0, 1), data=st.data())
    def end(self, share: float, data: st.DataObject) -> None:
        worst = self.in_flight.pop(data.draw(st.integers(0, len(self.in_flight) - 1)))
        real = Spending(int(worst.cost * share), int(worst.tokens * share), worst.requests)
        self.budget.settle(worst, min(real, worst, key=lambda spending: spending.cost))

    @rule(seconds=st.floats(0, 30))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def resume(self) -> None:
        """A kill: what was in flight may have been billed, so it counts as spent."""
        spent = self.budget.spent
        for worst in self.in_flight:
            spent += worst
        self.in_flight.clear()
        self.budget = Budget(self.limits, started=self.now, spent=spent)

    @invariant()
    def nothing_is_exceeded(self) -> None:
        total = self.budget.spent + self.budget.reserved
        assert total.cost <= round(10.0 * PICO)
        assert total.tokens <= 100
        assert total.requests <= 10
        assert self.budget.overdrawn() is None


TestLife = Life.TestCase


@given(limits, st.lists(spendings, max_size=30))
def test_a_final_refusal_stays_final_and_another_one_is_decided_in_the_end(limits: BudgetLimits, wanted: list[Spending]) -> None:
    budget = Budget(limits, started=0.0)
    in_flight = [worst for worst in wanted if budget.admit(worst, 0.0) is None]
    before = [budget.refuses(worst, 0.0) for worst in wanted]

    for worst in in_flight:
        budget.settle(worst, NOTHING)
    after = [budget.refuses(worst, 0.0) for worst in wanted]

    assert all(then is not None for now, then in zip(before, after, strict=True) if now is not None and now.final)
    assert all(then is None or then.final for then in after)


@given(spendings)
def test_a_budget_without_limits_refuses_nothing(worst: Spending) -> None:
    assert Budget(BudgetLimits(), started=0.0).admit(worst, 1e9) is None


def test_seconds_count_over_processes() -> None:
    budget = Budget(BudgetLimits(seconds=10), started=100.0, seconds_spent=4.0)

    assert budget.admit(NOTHING, 105.9) is None
    assert budget.admit(NOTHING, 106.0) == Refusal(BudgetBound.SECONDS, final=True)


def test_a_raised_limit_lets_attempts_leave_again() -> None:
    budget = Budget(BudgetLimits(requests=1), started=0.0, spent=Spending(requests=1))
    assert budget.admit(Spending(requests=1), 0.0) == Refusal(BudgetBound.REQUESTS, final=True)

    budget.retune(BudgetLimits(requests=2), started=0.0)

    assert budget.admit(Spending(requests=1), 0.0) is None


def test_an_attempt_that_does_not_fit_yet_may_wait_for_what_is_in_flight() -> None:
    budget = Budget(BudgetLimits(tokens=100), started=0.0)
    assert budget.admit(Spending(tokens=80), 0.0) is None

    assert budget.admit(Spending(tokens=30), 0.0) == Refusal(BudgetBound.TOKENS, final=False)
    budget.settle(Spending(tokens=80), Spending(tokens=10))

    assert budget.admit(Spending(tokens=30), 0.0) is None


def test_a_provider_that_charges_more_than_the_worst_case_is_told() -> None:
    budget = Budget(BudgetLimits(tokens=100), started=0.0)
    budget.admit(Spending(tokens=60), 0.0)

    budget.settle(Spending(tokens=60), Spending(tokens=101))

    assert budget.overdrawn() is BudgetBound.TOKENS
    assert budget.admit(Spending(tokens=1), 0.0) == Refusal(BudgetBound.TOKENS, final=True)
