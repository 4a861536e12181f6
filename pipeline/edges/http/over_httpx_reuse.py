"""The one connection of an httpx transport that only one sender uses: when it is renewed, and whether its answers are its own.

httpcore looks for unexpected bytes before it uses a connection again, but does not report what they were, and accepts every answer.
So this looks as well, through the network stream that a response shows, and asks `pairing` what to believe.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import httpcore
import trio

from pipeline.edges.http.pairing import Doubt, Pairing, fingerprint

if TYPE_CHECKING:
    import httpx

    from pipeline.edges.http.pairing import Trust
    from pipeline.records import Answer

CLOSE_SECONDS = 1.0
LOOK_SECONDS = 0.001  # for bytes that are there already
_SURPLUS_BYTES = 65536


class ReusedConnection:
    """Owns no connection: the transport does. lifetime: seconds that a connection is used. address: for messages."""

    def __init__(self, transport: httpx.AsyncBaseTransport, trust: Trust, lifetime: float, address: str) -> None:
        self._transport = transport
        self._trust = trust
        self._lifetime = lifetime
        self._address = address
        self._stream: Any = None  # of the last response, where it was HTTP/1.1
        self._pairing = Pairing(trust, trio.current_time())
        self._retire_at = math.inf
        self._waited = 0.0  # seconds for which the body of this answer waited for room

    async def prepare(self, custom_id: str) -> float:
        """Look at the connection before a request for a row, and renew it where it may not be used again. Gives the clock."""
        now = trio.current_time()
        if self._pairing.has_carried:
            surplus = await self._surplus()
            if surplus:
                self._pairing.judge(surplus, self._address)
            if surplus is not None or now >= self._retire_at or self._pairing.is_spent:
                await self.renew()
        if not self._pairing.has_carried:
            self._retire_at = now + self._lifetime
        self._pairing.rows.append(custom_id)
        self._waited = 0.0
        return now

    def note_wait(self, seconds: float) -> None:
        """Note that an answer took so much longer because there was no room for it here."""
        self._waited += seconds

    async def look(self, response: httpx.Response) -> bytes:
        """What has come behind a response. Call it before the response is closed: httpcore then closes a connection that is readable."""
        numbered = response.extensions.get("http_version") not in (b"HTTP/1.1", b"HTTP/1.0")  # HTTP/2 numbers its responses
        self._stream = None if numbered else response.extensions.get("network_stream")
        return await self._surplus() or b""

    async def is_own(self, answer: Answer, client_request_id: str, asked_at: float, surplus: bytes) -> bool:
        """Whether an answer belongs to its request, as far as anybody can know. Its connection is renewed if not.

        surplus: what came behind it.
        """
        if self._stream is None or not 200 <= answer.status < 300:
            return True
        now = trio.current_time()
        self._trust.took(now - asked_at - self._waited)
        pairing = self._pairing
        key = fingerprint(answer.body)
        repeat = key in (pairing.last, pairing.before) and self._trust.minds_repeat()
        pairing.before, pairing.last = pairing.last, key
        if pairing.echoes_another(answer.headers, client_request_id):
            self._trust.lose(f"{self._address} sent an answer with the id of another request; its row is sent again")
            own = False
        elif surplus:
            own = pairing.judge(surplus, self._address, Doubt.REPEAT if repeat else Doubt.LOOK)
        elif repeat or pairing.rest_is_due(now):
            own = await self._rest(Doubt.REPEAT if repeat else Doubt.REST_IS_DUE)
        else:
            own = not pairing.doubts_all
        if not own:
            await self.renew()
        return own

    async def renew(self) -> None:
        """Close the connection; the transport opens another when it is used again."""
        with trio.CancelScope(shield=True, deadline=trio.current_time() + CLOSE_SECONDS):
            await self._transport.aclose()
        self._pairing = Pairing(self._trust, trio.current_time())
        self._retire_at = math.inf
        self._stream = None

    async def _rest(self, doubt: Doubt) -> bool:
        await trio.sleep(self._trust.rest_seconds)
        surplus = await self._surplus()
        if surplus is None:
            self._pairing.note_clean(trio.current_time())
            return not self._pairing.doubts_all
        if not surplus:
            # Closed, perhaps by httpcore, because something came; what it was, nobody can tell any more.
            return doubt is not Doubt.REPEAT
        return self._pairing.judge(surplus, self._address, doubt)

    async def _surplus(self) -> bytes | None:
        """As `Connection.surplus`."""
        if not self._is_readable():
            return None
        try:
            data: bytes = await self._stream.read(_SURPLUS_BYTES, timeout=LOOK_SECONDS)
        except httpcore.ReadTimeout:
            return None  # of TLS's own
        except (httpcore.NetworkError, httpcore.ProtocolError):
            return b""
        return data

    def _is_readable(self) -> bool:
        if self._stream is None:
            return False
        try:
            return bool(self._stream.get_extra_info("is_readable"))
        except (ValueError, OSError):
            return True  # httpcore has closed it, which a read will say


def behind(response: httpx.Response) -> tuple[httpcore.AsyncConnectionInterface | None, bytes]:
    """The connection of a response, and the bytes behind it that nobody asked for.

    httpcore would take them for the next response: a doubled answer would become the next row's (httpcore 1.0.9,
    `_async/http11.py`). It does not show them, so this looks inside; another transport has no such inside.
    """
    connection: Any = response.stream
    for name in ("_httpcore_stream", "_stream", "_connection"):
        connection = getattr(connection, name, None)
    state = getattr(connection, "_h11_state", None)
    return (None, b"") if state is None else (connection, bytes(state.trailing_data[0]))
