"""One lane of a run: its limits, its workers, its health, and what this run knows about it. Pure: `now` is an argument."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from msgspec import Struct

from pipeline.core.answers.retry import RetryPolicy
from pipeline.core.pacing.health import Health, State
from pipeline.core.pacing.lane import Wait
from pipeline.core.pacing.refusals import Refusals
from pipeline.core.pacing.waits import Allowance, Waits
from pipeline.core.rows.asked import counted
from pipeline.core.rows.estimate import Calibration
from pipeline.messages import Ticket

if TYPE_CHECKING:
    from collections import deque

    from pipeline.core.pacing.account import Account
    from pipeline.core.pacing.budget import Refusal
    from pipeline.core.pacing.lane import Lane
    from pipeline.records import Job, Usage

IN_FLIGHT = "in_flight"
LANE_OUT = "lane_out"
MODELS = 64  # of which the tokens are learned; a file names a handful
RATED_SECONDS = 5.0  # a lane's rate is taken over so long


class Hold(Struct, frozen=True, eq=False):
    """No lane lets the row leave now. wake: when to ask again, inf if only a report can change it. bound: what holds it back.

    avoided: it is only held because it is not to go to the lane that has just failed it. parked: no lane that works could ever take
    it, so others need not wait behind it. never: why no lane will ever let it leave.
    """

    wake: float
    bound: str
    avoided: bool = False
    parked: bool = False
    never: str | None = None


class LaneState:
    """One lane in use: its limits, and what this run knows about it.

    workers: attempts in flight at most. out: why it is used no longer, None while it may be. refused: why it takes no rows
    but a probe now and then, None while it takes them. host: and port, for messages, as are key (the variable, file or program with
    its key), key_setting (what names it) and setting (where the lane stands in the config). allowance: what its limits on
    requests allow. waits: what holds it back, of late and so far. account: its budget and the run's, None if there is none. unhandled:
    it has gone out of use, and nobody has acted on that yet. calibrations: how many tokens each model's prompts really have, for what is
    estimated.
    """

    __slots__ = (
        "_rated",
        "account",
        "allowance",
        "attempts",
        "calibrations",
        "free",
        "health",
        "held_since",
        "host",
        "index",
        "key",
        "key_setting",
        "limits",
        "name",
        "out",
        "out_seconds",
        "priority",
        "rate",
        "refusals",
        "refused",
        "setting",
        "succeeded",
        "throttled",
        "unhandled",
        "waits",
        "weight",
        "workers",
    )

    def __init__(
        self,
        limits: Lane,
        workers: int,
        *,
        index: int = 0,
        name: str = "",
        weight: float = 1.0,
        priority: int = 0,
        host: str = "the provider",
        key: str | None = None,
        key_setting: str = "api_key_env",
        setting: str = "provider",
        allowed: float | None = None,
        policy: RetryPolicy | None = None,
        account: Account | None = None,
    ) -> None:
        self.limits = limits
        self.workers = workers
        self.index, self.name, self.weight, self.priority = index, name, weight, priority
        self.host, self.key, self.key_setting, self.setting = host, key, key_setting, setting
        self.allowance = Allowance(allowed)
        self.waits = Waits()
        self.account = account
        self.calibrations: dict[str, Calibration] = {}
        policy = policy or RetryPolicy()
        self.health = Health(policy.patience_seconds)
        self.refusals = Refusals(workers, policy.stop_after)
        self.out: str | None = None
        self.unhandled = False
        self.refused: str | None = None
        self.held_since: float | None = None  # clock since when it has not worked
        self.out_seconds = 0.0  # for how long it did not work before
        self.free = 0  # attempts that may still leave, as of the last `look`
        self.attempts = self.succeeded = self.throttled = 0
        self.rate = 0.0  # results a second of late
        self._rated: tuple[float, int] | None = None

    @property
    def allowed(self) -> float | None:
        """Requests a second that its configured limits allow, None without such a limit."""
        return self.allowance.rate

    @property
    def usable(self) -> bool:
        """Whether rows may be sent here, now or when it has been probed."""
        return self.out is None

    @property
    def working(self) -> bool:
        """Whether the lane is in use and nothing is wrong with it."""
        return self.out is None and self.health.state is not State.HELD

    @property
    def in_doubt(self) -> bool:
        """Whether rows have failed since the last good answer, or a probe may leave now. As of the last `look`."""
        health = self.health
        return self.out is None and (self.free > 0 if health.state is State.HELD else health.in_doubt)

    def use_again(self) -> None:
        """Use a lane again that was out: its budget was raised, its account topped up, or it is in the config again."""
        self.out = self.refused = None
        self.unhandled = False

    def has_worked(self) -> None:
        """The lane has given results to others that use it with the same key."""
        self.health.has_worked()
        self.refusals.has_worked()

    def go_on_from(self, before: LaneState) -> None:
        """Go on with what an earlier flow of this process knows of the lane; both may be in use for a while, and learn together."""
        self.limits.go_on_from(before.limits)
        self.calibrations = before.calibrations
        self.health.latency.go_on_from(before.health.latency)
        if before.health.trouble.worked:
            self.has_worked()

    def hold(self, now: float, cause: str) -> None:
        """Hold the lane because others say that it does not work; it is probed as if its own attempts had failed."""
        self.health.hold(now, cause)
        if self.held_since is None:
            self.held_since = now

    def retire(self, reason: str) -> None:
        """Use the lane no longer; whoever looks at `unhandled` sends its rows elsewhere."""
        self.out, self.unhandled = reason, True

    def tick(self, now: float, others: float = inf) -> bool:
        """Look at the clock, about once a second; True if the lane has fallen silent and is held from now on.

        others: seconds that nearly all answers of other lanes took, inf if nothing is known.
        """
        if self._rated is None:
            self._rated = now, self.succeeded
        elif now - self._rated[0] >= RATED_SECONDS:
            self.rate = (self.succeeded - self._rated[1]) / (now - self._rated[0])
            self._rated = now, self.succeeded
        return self.health.tick(now, full=self.free <= 0, others=others)

    def look(self, now: float) -> None:
        """Count how many attempts may leave now."""
        if self.out is not None:
            self.free = 0
            return
        refusals, health = self.refusals, self.health
        free = min(health.slots(now, min(self.workers, self.limits.concurrency)), self.limits.at_once)
        if refusals.open:
            if refusals.frozen(now, health.flying):
                free = 0
            elif refusals.probing:
                free = min(free, 1 - len(health.flying))
        self.free = free

    def admit(self, now: float, ticket: Ticket) -> Hold | None:
        """Let a row's attempt leave, and fill in its ticket; or say what holds it back."""
        account, job = self.account, ticket.job
        if account is not None and self.out is None and (refusal := account.reserve(ticket, now)) is not None:
            return self._refused(account, refusal, job, now)
        if self.free <= 0:
            grant = None
        elif self.limits.counts_tokens:
            grant = self.limits.admit(now, *self.limits.passable(*self.charge(job)))
        else:
            grant = self.limits.admit(now, 0)
        if grant is None or isinstance(grant, Wait):
            if account is not None:
                account.release(ticket)
            return self._hold(now) if grant is None else Hold(grant.wake, grant.bound.value)
        self.free -= 1
        self.attempts += 1
        ticket.grant = grant
        ticket.charged = grant.tokens if self.limits.counts_tokens else 0
        ticket.left = now
        ticket.lane = self.index
        ticket.lane_name = self.name
        ticket.number = self.health.departed(now)
        return None

    @property
    def is_calm(self) -> bool:
        """Whether nothing is wrong or in question, so that answers need only be counted."""
        return self.held_since is None and not self.refusals.open and self.health.is_calm and self.limits.is_open

    @property
    def is_full(self) -> bool:
        """Whether only a report can let another attempt leave: the lane works, and has as many in flight as it may."""
        return self.free <= 0 and self.out is None and self.account is None and self.health.state is not State.HELD

    def admit_many(self, now: float, jobs: deque[Job], held_by: str) -> list[Ticket]:
        """Let new rows' attempts leave together, if `admit` would let them leave one by one; they are taken from `jobs`.

        It only knows the ordinary case. Where it lets fewer leave, or none, `admit` must be asked, and says why.
        held_by: for their tickets.
        """
        if self.free <= 0 or self.account is not None or self.health.state is State.HELD:
            return []
        grants = self.limits.admit_many(now, min(self.free, len(jobs)))
        if not grants:
            return []
        self.free -= len(grants)
        self.attempts += len(grants)
        take, index, name = jobs.popleft, self.index, self.name
        first = self.health.departed_together(len(grants), now)
        return [Ticket(take(), 1, grant, index, name, number, now, now, held_by) for number, grant in enumerate(grants, first)]

    def charge(self, job: Job) -> tuple[int, int]:
        """What an attempt is charged before its usage is known: all tokens, and the part of them that is the answer's."""
        calibration = self.calibrations.get(counted(job).model)
        if calibration is None:
            return job.tokens, job.output_tokens
        return calibration.expected(job.tokens - job.output_tokens) + job.output_tokens, job.output_tokens

    def refuses(self, job: Job) -> str | None:
        """Why a row could never pass the limits, or None if it will."""
        if not self.limits.counts_tokens:
            return None
        reason = self.limits.refuses(counted(job).tokens, job.output_tokens)
        return reason if reason is None or job.model not in self.calibrations else self.limits.refuses(*self.charge(job))

    def learn(self, job: Job, usage: Usage) -> None:
        """Take note of how many tokens a prompt really had. Only asked where a limit counts tokens."""
        if not usage.prompt_tokens:
            return
        calibration = self.calibrations.get(counted(job).model)
        if calibration is None:
            if len(self.calibrations) >= MODELS:
                return
            calibration = self.calibrations[job.model] = Calibration()
        calibration.learn(job.tokens - job.output_tokens, usage.prompt_tokens)

    def _refused(self, account: Account, refusal: Refusal, job: Job, now: float) -> Hold:
        """A budget does not allow the attempt: wait for what is in flight to turn out cheaper, or use the lane no longer."""
        if not refusal.final:
            return Hold(inf, refusal.bound)
        reason, is_own = account.exhausted(refusal, job, now)
        if is_own:
            self.retire(reason)
        return Hold(inf, refusal.bound, never=reason)

    def _hold(self, now: float) -> Hold:
        if self.out is None and self.health.state is not State.HELD:
            return Hold(inf, IN_FLIGHT)
        probe_at = inf if self.out is not None else self.health.next_probe()
        return Hold(probe_at if probe_at > now else inf, LANE_OUT)
