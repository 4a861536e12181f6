"""The provider without its socket: a request in, an exchange out. Everything that it decides is decided here.

No clock and no socket: `now` and `wall` are arguments.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from msgspec.structs import asdict

from pipeline.simulate.accounts import Accounts
from pipeline.simulate.answers import Answered, compose
from pipeline.simulate.calls import BadRequest, Call, parse_call, route_of
from pipeline.simulate.exchange import Exchange, Request
from pipeline.simulate.faults import MOVED, QUIRKS, STREAMED, Fault
from pipeline.simulate.headers import limit_headers
from pipeline.simulate.limits import PARALLEL, Admission, Charge
from pipeline.simulate.plan import Planner, digest_of
from pipeline.simulate.refusals import throttled, too_many_in_flight
from pipeline.simulate.replies import Occasion, faulty
from pipeline.simulate.reply import Headers, Reply, error_reply, json_reply
from pipeline.simulate.respond import respond
from pipeline.simulate.schedule import Conditions, conditions_at
from pipeline.simulate.tally import Tally
from pipeline.simulate.vendors import in_words_of

if TYPE_CHECKING:
    from pipeline.simulate.accounts import Account
    from pipeline.simulate.config import SimulateConfig
    from pipeline.simulate.tally import Statistics

SILENT = frozenset({Fault.RESET_BEFORE, Fault.CLOSE_BEFORE, Fault.STALL, Fault.GARBAGE})  # no status ever leaves
OWN = "/_simulate/"


class Provider:
    """A simulated provider: its keys with their limits, its plan and what it has seen."""

    def __init__(self, config: SimulateConfig) -> None:
        self.config = config
        self.tally = Tally(deque(maxlen=config.ledger_length))
        self._planner = Planner(config)
        self._started: float | None = None
        self._accounts = Accounts(config, 0.0)

    def statistics(self) -> Statistics:
        """What it has seen so far."""
        return self.tally.statistics()

    def start(self, now: float) -> None:
        """Begin the schedules of the config. The first request does it where nobody did."""
        if self._started is None:
            self._started = now
            self._accounts = Accounts(self.config, now)

    def left(self, exchange: Exchange, *, abandoned: bool = False) -> None:
        """An exchange is over. abandoned: the client went before its answer."""
        self.tally.left()
        self.tally.abandoned += abandoned
        if exchange.limits is not None:
            exchange.limits.left()

    def receive(self, request: Request, *, now: float, wall: float) -> Exchange:
        """Decide what a request gets. now: seconds on a clock that never goes back. wall: seconds since 1970."""
        self.start(now)
        path = request.target.partition("?")[0]
        if path.startswith(OWN):
            return Exchange(self._own(path), counted=False)
        self.tally.arrived(now)
        digest = digest_of(request.body)
        exchange, attempt = self._serve(request, path, digest, now, wall)
        reply = exchange.reply
        if exchange.fault is not None:
            self.tally.faults[exchange.fault.value] += 1
        if exchange.fault not in SILENT:
            self.tally.answers[reply.status] += 1
        self._note(request, exchange, digest, attempt, now)
        reply.headers.append(("x-request-id", f"req_{digest.hex()}"))
        return exchange

    def _serve(self, request: Request, path: str, digest: bytes, now: float, wall: float) -> tuple[Exchange, int]:
        call = self._understand(request, path)
        occasion = Occasion(self.config, wall, request.target, call.model if isinstance(call, Call) else "")
        elapsed = now - (self._started or 0.0)
        everybody = conditions_at(self.config.outages, elapsed, path)
        if everybody.failure is not None:
            return self._fail(everybody.failure, call, digest, occasion), 0
        account = self._accounts.of(request.keys_shown())
        if account is None:
            return Exchange(in_words_of(self.config.vendor, Fault.WRONG_KEY)), 0
        if isinstance(call, Reply):
            return Exchange(call), 0
        own = conditions_at(account.outages, elapsed, path)
        unknown = Fault.MODEL_NOT_FOUND if self.config.only_models and call.model not in self.config.models else None
        if failure := own.failure or unknown or account.spent:
            return self._fail(failure, call, digest, occasion), 0
        return self._admit(call, account, digest, everybody.with_(own), occasion, now)

    def _fail(self, fault: Fault, call: Call | Reply, digest: bytes, occasion: Occasion) -> Exchange:
        """What a request gets that meets a fault by the time, or by what its key or model is."""
        if isinstance(call, Reply):
            return Exchange(faulty(fault, call, occasion), fault)
        reply, stream = respond(compose(call, digest, self.config.answer_characters), fault, occasion, [])
        return Exchange(reply, fault, stream)

    def _admit(
        self, call: Call, account: Account, digest: bytes, conditions: Conditions, occasion: Occasion, now: float
    ) -> tuple[Exchange, int]:
        """What a request gets that may enter: a refusal of a limit, or what the plan has for it."""
        answered = compose(call, digest, self.config.answer_characters)
        charge = Charge(call.charge, call.prompt_tokens, answered.output_tokens)
        self.tally.charged(charge.tokens, now)
        limits = account.limits(call.model)
        admission = limits.admit(charge, now)
        headers = limit_headers(limits.config.dialect, admission, occasion.wall)
        if not admission.admitted:
            self.tally.refused += 1
            return Exchange(_refusal(account, admission, headers, occasion.wall)), 0
        plan = self._planner.plan(digest, call.shown)
        fault = conditions.quirk or plan.fault
        moved = occasion.target.partition("?")[0].endswith("/")
        if (fault in MOVED and moved) or (fault in STREAMED and not call.stream):
            fault = None
        if fault is None or fault in QUIRKS:
            self.tally.answered(call.prompt_tokens, answered.output_tokens)
            account.spend(call.prompt_tokens + answered.output_tokens)
        reply, stream = respond(answered, fault, occasion, headers)
        wait, pause = self._times(plan.wait_seconds, answered, conditions.factor)
        return Exchange(reply, fault, stream, wait, pause, limits=limits), plan.attempt

    def _times(self, seconds: float, answered: Answered, factor: float) -> tuple[float, float]:
        """The time before the first byte, and between two writes of a stream. seconds: what the plan has drawn for the first byte."""
        latency, stream = self.config.latency, self.config.stream
        most = max(seconds, latency.max_seconds)
        if answered.call.stream:
            tokens = stream.event_characters * stream.events_at_once / 4
            return seconds * factor, latency.per_token_seconds * tokens * factor
        return min(seconds + latency.per_token_seconds * answered.output_tokens, most) * factor, 0.0

    def _understand(self, request: Request, path: str) -> Call | Reply:
        route = route_of(path)
        if route is None:
            return error_reply(404, "invalid_request_error", f"Invalid URL ({request.method} {path})")
        wanted = "GET" if route.endpoint == "models" else "POST"
        if request.method != wanted:
            return error_reply(405, "invalid_request_error", f"Not allowed to {request.method} on {path} (HTTP POST)")
        if wanted == "GET":
            return json_reply(200, _models(self.config.models))
        try:
            return parse_call(route, request.body, request.target.partition("?")[2])
        except BadRequest as error:
            return error_reply(400, "invalid_request_error", str(error), param=error.param)

    def _own(self, path: str) -> Reply:
        match path.removeprefix(OWN):
            case "statistics":
                return json_reply(200, asdict(self.statistics()))
            case "requests":
                return json_reply(200, {"requests": list(self.tally.ledger)})
            case _:
                return error_reply(404, "invalid_request_error", f"{OWN} has statistics and requests")

    def _note(self, request: Request, exchange: Exchange, digest: bytes, attempt: int, now: float) -> None:
        self.tally.ledger.append(
            {
                "number": self.tally.requests,
                "at": now,
                "method": request.method,
                "target": request.target,
                "digest": digest.hex(),
                "attempt": attempt,
                "fault": exchange.fault.value if exchange.fault else None,
                "status": None if exchange.fault in SILENT else exchange.reply.status,
                "client_request_id": request.header(b"x-client-request-id"),
            }
        )


def _refusal(account: Account, admission: Admission, headers: Headers, wall: float) -> Reply:
    """The 429 of a limit."""
    limits = account.limits_config
    if admission.bound == PARALLEL:
        return too_many_in_flight(limits, wall)
    return throttled(limits, admission.bound, admission.wait_seconds, headers, wall)


def _models(names: tuple[str, ...]) -> dict[str, object]:
    made = [{"id": name, "object": "model", "created": 1_700_000_000, "owned_by": "headrace"} for name in names]
    return {"object": "list", "data": made}
