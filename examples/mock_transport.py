"""Any httpx transport in place of headrace's own: here httpx.MockTransport, to run a pipeline in a test without a socket."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import httpx
import trio

import pipeline
from pipeline import ProviderConfig, RequestConfig, SinkConfig, SourceConfig


def answer(request: httpx.Request) -> httpx.Response:
    """The whole provider: the vector of a text is its length."""
    text = json.loads(request.content)["input"]
    return httpx.Response(200, json={"data": [{"index": 0, "embedding": [len(text)]}]})


async def embed(source: Path, sink: Path) -> None:
    """From file to file, as `headrace run`. Nobody is at the base_url: the transport answers."""
    config = pipeline.Config(
        source=SourceConfig(path=str(source)),
        request=RequestConfig(url="/v1/embeddings", body={"model": "small", "input": "{prompt}"}),
        provider=ProviderConfig(base_url="http://provider.test/v1"),
        sink=SinkConfig(path=str(sink)),
    )
    async with httpx.MockTransport(answer) as transport:  # who opens a transport closes it
        await pipeline.run(config, transport=transport)


def main() -> None:
    """Embed three words without a network."""
    with tempfile.TemporaryDirectory() as folder:
        source, sink = Path(folder, "words.txt"), Path(folder, "vectors.jsonl")
        source.write_text("weir\nsluice\nspillway\n")
        trio.run(embed, source, sink)
        for line in sink.read_text().splitlines():
            result = json.loads(line)
            print(result["custom_id"], result["response"]["body"]["data"][0]["embedding"])


if __name__ == "__main__":
    main()
