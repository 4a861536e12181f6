"""The floor: Trio sockets, requests made beforehand, responses read only as far as their length. Nothing on Trio can be cheaper."""

from __future__ import annotations

import json
import ssl
from urllib.parse import urlsplit

import trio

from benchmarks.peers.task import KEY, Task, body, cpu_seconds

HEAD = "POST {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\ncontent-length: "
LENGTH = b"content-length: "


async def exchange(sock: trio.socket.SocketType, request: bytes) -> bytes:
    """Send and read one response; its body."""
    await sock.send(request)
    data = await sock.recv(65_536)
    while True:
        end = data.find(b"\r\n\r\n")
        if end >= 0:
            start = data.index(LENGTH) + len(LENGTH)
            total = end + 4 + int(data[start : data.index(b"\r", start)])
            if len(data) >= total:
                return data[end + 4 : total]
        more = await sock.recv(65_536)
        if not more:
            raise ConnectionResetError("closed within a response")
        data += more


async def exchange_tls(stream: trio.SSLStream[trio.SocketStream], request: bytes) -> bytes:
    """The same over TLS; the server's answers are sent in one piece."""
    await stream.send_all(request)
    data = await stream.receive_some(65_536)
    return bytes(data[data.index(b"\r\n\r\n") + 4 :])


async def run(task: Task) -> tuple[list[str | None], float]:
    """As many workers as may be in flight, each with its own connection, sharing one iterator."""
    url = urlsplit(task.url)
    head = HEAD.format(path=url.path, host=url.netloc, key=KEY).encode()
    answers: list[str | None] = [None] * len(task.prompts)
    bodies = [json.dumps(body(prompt)).encode() for prompt in task.prompts]
    rows = iter([(index, head + b"%d\r\n\r\n" % len(content) + content) for index, content in enumerate(bodies)])

    async def plain() -> None:
        with trio.socket.socket() as sock:
            await sock.connect((url.hostname, url.port))
            for index, request in rows:
                answers[index] = (await exchange(sock, request)).decode()

    async def secure() -> None:
        stream = await trio.open_ssl_over_tcp_stream(url.hostname or "", url.port or 443, ssl_context=context)
        for index, request in rows:
            answers[index] = (await exchange_tls(stream, request)).decode()

    context = ssl.create_default_context()
    ready = cpu_seconds()
    async with trio.open_nursery() as nursery:
        for _ in range(min(task.in_flight, len(task.prompts))):
            nursery.start_soon(plain if url.scheme == "http" else secure)
    return answers, ready


if __name__ == "__main__":
    work = Task.load()
    kept, cpu_before = trio.run(run, work)
    work.finish(kept, ready=cpu_before)
