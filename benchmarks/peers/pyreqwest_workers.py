"""The same workers on pyreqwest, whose HTTP is Rust's reqwest: from a file to a file. No retries, no order, no journal."""

from __future__ import annotations

import asyncio
import json
import os
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from pyreqwest.client import Client, ClientBuilder

from benchmarks.peers.task import body, from_file_to_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

    from benchmarks.peers.task import Task


def client_for(task: Task) -> Client:
    """A client that opens as many connections as it is asked for, and trusts the authority that the environment names."""
    builder = ClientBuilder().default_headers(task.headers).timeout(timedelta(seconds=task.timeout_seconds)).max_connections(None)
    if "SSL_CERT_FILE" in os.environ:
        builder = builder.add_root_certificate_pem(Path(os.environ["SSL_CERT_FILE"]).read_bytes())
    return builder.build()


async def run(task: Task, lines: Iterator[tuple[int, str]], output: TextIO) -> None:
    """Ask for every line."""
    async with client_for(task) as client:

        async def work() -> None:
            for index, line in lines:
                try:
                    response = await client.post(task.url).body_json(body(json.loads(line)["prompt"])).build().send()
                    output.write(json.dumps({"index": index, "body": await response.json()}) + "\n")
                except Exception as error:
                    print(error)

        await asyncio.gather(*[work() for _ in range(task.in_flight)])


if __name__ == "__main__":
    from_file_to_file(run)
