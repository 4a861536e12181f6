"""Ways to say no: statuses and advice that pass, last words on a row, and words on the key."""

from __future__ import annotations

import json
import time
from email.utils import formatdate

from tests.fakes.hostile_request import LASTING, PASSING, Request, error_of, framed, way

STATUSES = ("408", "409", "425", "429", "500", "502", "503", "504", "529", "599")
WAITS = ("retry-after=0.05", "retry-after=0", "retry-after=-1", "retry-after=nan", "retry-after=soon", "retry-after=1e9",
         "retry-after=1000000000", "retry-after-ms=30", "retry-after=")  # fmt: skip
ADVISED = ("503:retry-after=0.03", "529:retry-after=0.02", "400:x-should-retry=true", "404:x-should-retry=true")


@way(PASSING, *STATUSES, *(f"429:{wait}" for wait in WAITS), *ADVISED)
async def status(request: Request) -> None:
    """status:CODE, status:CODE:NAME=VALUE for a header."""
    code, _, header = request.argument.partition(":")
    line = header.replace("=", ": ", 1).encode() + b"\r\n" if header else b""
    await request.finish(framed(error_of(request), f"{code} Some Reason", b"content-type: application/json\r\n" + line))


@way(PASSING, "502", "503")
async def html(request: Request) -> None:
    page = b"<html>\n<h1>%s</h1>\n<p>no answer to %s</p></html>" % (request.argument.encode(), request.name.encode())
    await request.finish(framed(page, f"{request.argument} Bad", b"content-type: text/html\r\n"))


@way(PASSING)
async def retry_after_date(request: Request) -> None:
    request.argument = f"429:retry-after={formatdate(time.time() + 0.5, usegmt=True)}"
    await status(request)


@way(PASSING, "500:rate_limit", "429:rate_limit_exceeded")
async def code(request: Request) -> None:
    """code:STATUS:CODE."""
    number, _, name = request.argument.partition(":")
    await request.finish(framed(error_of(request, name, name), f"{number} Error"))


@way(PASSING)
async def retry_after_in_message(request: Request) -> None:
    error = {"error": {"message": f"Rate limit exceeded for {request.name}. Retry-After: 0.02 seconds. Current: 120/min, Limit: 100/min"}}
    await request.finish(framed(json.dumps(error).encode(), "429 Too Many Requests"))


@way(LASTING, "400", "404", "405", "410", "413", "415", "422", "451", "500:x-should-retry=false", "429:x-should-retry=false")
async def refuse(request: Request) -> None:
    request.argument, _, header = request.argument.partition(":")
    line = header.replace("=", ": ", 1).encode() + b"\r\n" if header else b""
    await request.finish(framed(error_of(request, "bad_thing"), f"{request.argument} No", line))


@way(LASTING, "400", "404", "413")
async def refuse_in_html(request: Request) -> None:
    await html(request)


@way(LASTING, "400", "404")
async def refuse_without_words(request: Request) -> None:
    await request.finish(framed(b"", f"{request.argument} No"))


@way(LASTING, "301", "302", "303", "307", "308")
async def redirect(request: Request) -> None:
    """To another host, which must never see a key."""
    head = f"HTTP/1.1 {request.argument} Moved\r\nlocation: http://127.0.0.2:9/v1/chat/completions\r\ncontent-length: 0\r\n\r\n"
    await request.finish(head.encode())


@way([])
async def key(request: Request) -> None:
    """key:STATUS[:CODE] as a provider says it of credentials or money."""
    number, _, name = request.argument.partition(":")
    await request.finish(framed(error_of(request, name or None, name or "invalid_request_error"), f"{number} No"))
