"""The provider without its socket: a request in, an exchange out. Everything that it decides is decided here.

No clock and no socket: `now` and `wall` are arguments.
"""

from __future__ import annotations

import hmac
from collections import deque
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import asdict

from pipeline.simulate.answers import PATH, BadRequest, Call, answer, parse_call
from pipeline.simulate.faults import QUIRKS, Fault
from pipeline.simulate.headers import limit_headers
from pipeline.simulate.limits import PARALLEL, Admission, Charge, Limits
from pipeline.simulate.plan import Plan, Planner, digest_of
from pipeline.simulate.refusals import throttled, too_many_in_flight
from pipeline.simulate.replies import faulty
from pipeline.simulate.reply import Headers, Reply, error_reply, json_reply
from pipeline.simulate.tally import Tally

if TYPE_CHECKING:
    from pipeline.simulate.config import SimulateConfig
    from pipeline.simulate.tally import Statistics

SILENT = frozenset({Fault.RESET_BEFORE, Fault.CLOSE_BEFORE, Fault.STALL, Fault.GARBAGE})  # no status ever leaves
OWN = "/_simulate/"


class Request(Struct, frozen=True, eq=False):
    """A whole request. target: path and query. headers: names in lower case."""

    method: str
    target: str
    headers: list[tuple[bytes, bytes]]
    body: bytes

    def header(self, name: bytes) -> str:
        """The first value of a header, "" if it has none."""
        return next((value.decode("latin-1") for key, value in self.headers if key == name), "")


class Exchange(Struct, frozen=True):
    """What a request gets. wait_seconds: before the first byte. counted: it is one of the tally's requests. limits: those it holds."""

    reply: Reply
    fault: Fault | None = None
    wait_seconds: float = 0.0
    counted: bool = True
    limits: Limits | None = None


class Provider:
    """A simulated provider: its limits, its plan and what it has seen."""

    def __init__(self, config: SimulateConfig) -> None:
        self.config = config
        self.tally = Tally(deque(maxlen=config.ledger_length))
        self._planner = Planner(config)
        self._limits: Limits | None = None

    def statistics(self) -> Statistics:
        """What it has seen so far."""
        return self.tally.statistics()

    def start(self, now: float) -> None:
        """Begin the schedules of the config. The first request does it where nobody did."""
        self._limits = self._limits or Limits(self.config.limits, now)

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
        if not self._may_enter(request):
            return Exchange(error_reply(401, "invalid_request_error", "Incorrect API key provided", "invalid_api_key")), 0
        call = self._understand(request, path)
        if isinstance(call, Reply):
            return Exchange(call), 0
        body, output_tokens = answer(call, digest, self.config.answer_characters)
        charge = Charge(call.charge, call.prompt_tokens, output_tokens)
        self.tally.charged(charge.tokens, now)
        assert self._limits is not None
        admission = self._limits.admit(charge, now)
        headers = limit_headers(self.config.limits.dialect, admission, wall)
        if not admission.admitted:
            return Exchange(self._refuse(admission, headers, wall)), 0
        plan = self._planner.plan(digest, call.shown)
        return self._answer(call, json_reply(200, body, headers), output_tokens, plan, wall), plan.attempt

    def _may_enter(self, request: Request) -> bool:
        key = self.config.api_key
        if key is None:
            return True
        shown = (request.header(b"authorization").removeprefix("Bearer "), request.header(b"api-key"), request.header(b"x-api-key"))
        return any(hmac.compare_digest(given.encode(), key.encode()) for given in shown)

    def _understand(self, request: Request, path: str) -> Call | Reply:
        match = PATH.fullmatch(path)
        if match is None:
            return error_reply(404, "invalid_request_error", f"Invalid URL ({request.method} {path})")
        wanted = "GET" if match["endpoint"] == "models" else "POST"
        if request.method != wanted:
            return error_reply(405, "invalid_request_error", f"Not allowed to {request.method} on {path} (HTTP POST)")
        if wanted == "GET":
            return json_reply(200, _models(self.config.models))
        try:
            return parse_call(match["endpoint"], match["deployment"], request.body)
        except BadRequest as error:
            return error_reply(400, "invalid_request_error", str(error), param=error.param)

    def _refuse(self, admission: Admission, headers: Headers, wall: float) -> Reply:
        self.tally.refused += 1
        limits = self.config.limits
        if admission.bound == PARALLEL:
            return too_many_in_flight(limits, wall)
        return throttled(limits, admission.bound, admission.wait_seconds, headers, wall)

    def _answer(self, call: Call, right: Reply, output_tokens: int, plan: Plan, wall: float) -> Exchange:
        latency = self.config.latency
        wait = min(plan.wait_seconds + latency.per_token_seconds * output_tokens, max(plan.wait_seconds, latency.max_seconds))
        if plan.fault is None or plan.fault in QUIRKS:
            self.tally.prompt_tokens += call.prompt_tokens
            self.tally.output_tokens += output_tokens
        reply = right if plan.fault is None else faulty(plan.fault, right, self.config, wall)
        return Exchange(reply, plan.fault, wait, limits=self._limits)

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


def _models(names: tuple[str, ...]) -> dict[str, object]:
    made = [{"id": name, "object": "model", "created": 1_700_000_000, "owned_by": "headrace"} for name in names]
    return {"object": "list", "data": made}
