"""The settings of a simulated provider's limits: frozen values with their checks. Nothing here acts.

The annotations are read at run time, so they must stay real types.
"""

from attrs import field, frozen

from pipeline.simulate.checks import at_least_0, at_least_1_or_none, between, positive, positive_or_none
from pipeline.simulate.choices import Dialect, LimitKind, RetryAfter


@frozen(kw_only=True)
class SimulatedChange:
    """From a time on, all limits are the configured ones times a factor. at_seconds: since the provider started."""

    at_seconds: float = field(validator=at_least_0)
    factor: float = field(validator=positive)


@frozen(kw_only=True)
class SimulatedNeighbour:
    """Other users of the same key, who send evenly and take their share of each limit without asking how much is left.

    share: of the configured limits, while they send; 0 is nobody. They send for on_seconds, beginning at the start, then rest for
    off_seconds.
    """

    share: float = field(default=0.0, validator=between(0, 10))
    on_seconds: float = field(default=30.0, validator=positive)
    off_seconds: float = field(default=30.0, validator=at_least_0)

    def share_at(self, seconds: float) -> float:
        """The share that they try to take so long after the start."""
        return self.share if seconds % (self.on_seconds + self.off_seconds) < self.on_seconds else 0.0


@frozen(kw_only=True)
class SimulatedLimits:
    """The provider's own limits.

    window_seconds: the per-minute limits are enforced in proportion over windows of this length, as Azure does; None is
    the minute itself. burst_seconds: a token bucket holds what it fills in so long; None is its whole period. max_in_flight:
    more requests at once get the 429 by which a LiteLLM proxy refuses parallel requests. count_refused: a refused request
    uses up the requests limit as well, as at OpenAI. told_seconds: the headers describe a limit over this period, whatever
    is enforced; None is the enforced one. per_model: each model has counts of its own. changes: the last one that has come applies.
    """

    kind: LimitKind = LimitKind.SLIDING_WINDOW
    requests_per_second: float | None = field(default=None, validator=positive_or_none)
    requests_per_minute: float | None = field(default=None, validator=positive_or_none)
    requests_per_day: float | None = field(default=None, validator=positive_or_none)
    tokens_per_minute: float | None = field(default=None, validator=positive_or_none)
    input_tokens_per_minute: float | None = field(default=None, validator=positive_or_none)
    output_tokens_per_minute: float | None = field(default=None, validator=positive_or_none)
    window_seconds: float | None = field(default=None, validator=positive_or_none)
    burst_seconds: float | None = field(default=None, validator=positive_or_none)
    max_in_flight: int | None = field(default=None, validator=at_least_1_or_none)
    count_refused: bool = True
    per_model: bool = False
    dialect: Dialect = Dialect.OPENAI
    told_seconds: float | None = field(default=None, validator=positive_or_none)
    retry_after: RetryAfter = RetryAfter.HEADER
    changes: tuple[SimulatedChange, ...] = ()
    neighbour: SimulatedNeighbour = field(factory=SimulatedNeighbour)

    def __attrs_post_init__(self) -> None:
        """Only a bucket has a burst."""
        if self.burst_seconds is not None and self.kind is not LimitKind.TOKEN_BUCKET:
            raise ValueError(f"burst_seconds is what a token_bucket holds; a {self.kind.value} has none")

    def factor_at(self, seconds: float) -> float:
        """What the configured limits are multiplied with so long after the start."""
        reached = [change for change in self.changes if change.at_seconds <= seconds]
        return max(reached, key=lambda change: change.at_seconds).factor if reached else 1.0
