"""Values under status 200 as they are really sent: vectors, rankings, classes, pictures, transcriptions."""

from __future__ import annotations

from tests.fakes.odd_bodies import body, chat
from tests.fakes.odd_streams import Case, Fails, Says

EMBED, RERANK = "/v1/embeddings", "/v1/rerank"

VALUES: dict[str, Case] = {
    "a ranking under data": Case(
        "Voyage rerank",
        body(
            {
                "object": "list",
                "data": [{"relevance_score": 0.9, "index": 1}, {"relevance_score": 0.1, "index": 0}],
                "model": "rerank-2",
                "usage": {"total_tokens": 3},
            }
        ),
        Says([{"relevance_score": 0.9, "index": 1}, {"relevance_score": 0.1, "index": 0}], None),
        RERANK,
    ),
    "a ranking of Jina": Case(
        "Jina rerank",
        body({"model": "j", "usage": {"total_tokens": 3}, "results": [{"index": 0, "relevance_score": 0.9, "document": {"text": "d"}}]}),
        Says([{"index": 0, "relevance_score": 0.9, "document": {"text": "d"}}], None),
        RERANK,
    ),
    "a ranking of DashScope": Case(
        "DashScope rerank",
        body({"output": {"results": [{"index": 0, "relevance_score": 0.9}]}, "usage": {"total_tokens": 3}, "request_id": "r"}),
        Says([{"index": 0, "relevance_score": 0.9}], None),
        "/api/v1/services/rerank/text-rerank/text-rerank",
    ),
    "a ranking of NVIDIA": Case(
        "NVIDIA NIM ranking",
        body({"rankings": [{"index": 0, "logit": 1.5}], "usage": {"prompt_tokens": 3, "total_tokens": 3}}),
        Says([{"index": 0, "logit": 1.5}], None, (3, 0)),
        "/v1/ranking",
    ),
    "vectors of DashScope": Case(
        "DashScope text embedding, out of order",
        body(
            {
                "output": {"embeddings": [{"text_index": 1, "embedding": [2.5]}, {"text_index": 0, "embedding": [1.5]}]},
                "usage": {"total_tokens": 3},
            }
        ),
        Says([[1.5], [2.5]], None),
        "/api/v1/services/embeddings/text-embedding/text-embedding",
    ),
    "vectors of Vertex": Case(
        "Vertex AI predict, text-embedding",
        body(
            {
                "predictions": [
                    {"embeddings": {"values": [1.5], "statistics": {"token_count": 3}}},
                    {"embeddings": {"values": [2.5], "statistics": {"token_count": 2}}},
                ]
            }
        ),
        Says([[1.5], [2.5]], None),
        "/v1/projects/p/locations/l/publishers/google/models/m:predict",
    ),
    "predictions of one's own": Case(
        "Databricks, Vertex custom models", body({"predictions": ["a", "b"]}), Says(["a", "b"], None), "/serving-endpoints/m/invocations"
    ),
    "vectors in a list": Case(
        "llama.cpp /embedding, out of order",
        body([{"index": 1, "embedding": [[2.5]]}, {"index": 0, "embedding": [[1.5]]}]),
        Says([[[1.5]], [[2.5]]], None),
        "/embedding",
    ),
    "a vector of Titan": Case(
        "Bedrock Titan embeddings",
        body({"embedding": [1.5, 2.5], "inputTextTokenCount": 3}),
        Says([1.5, 2.5], None, (3, 0)),
        "/model/m/invoke",
    ),
    "two kinds of vectors": Case(
        "Cohere v2 embed: float and int8",
        body({"embeddings": {"float": [[1.5]], "int8": [[2]]}, "texts": ["t"], "meta": {"billed_units": {"input_tokens": 3}}}),
        Says({"float": [1.5], "int8": [2]}, None, (3, 0)),
        "/v2/embed",
    ),
    "a vector with a gap": Case(
        "servers that overflow: NaN in a vector",
        b'{"data":[{"index":0,"embedding":[0.5,NaN]}],"usage":{"prompt_tokens":3,"total_tokens":3}}',
        Fails("numbers throughout"),
        EMBED,
    ),
    "fewer vectors than inputs": Case(
        "relays that drop what is too long", body({"data": [{"index": 0, "embedding": [0.5]}]}), Fails("1 values for 2 inputs"), EMBED
    ),
    "classes in lists": Case(
        "Text Embeddings Inference /predict",
        body([[{"label": "a", "score": 0.9}, {"label": "b", "score": 0.1}]]),
        Says([[{"label": "a", "score": 0.9}, {"label": "b", "score": 0.1}]], None),
        "/predict",
    ),
    "a moderation of Mistral": Case(
        "Mistral moderations",
        body({"id": "m", "model": "m", "results": [{"categories": {"pii": False}}, {"categories": {"pii": True}}]}),
        Says([{"categories": {"pii": False}}, {"categories": {"pii": True}}], None),
        "/v1/moderations",
    ),
    "a picture by its address": Case(
        "OpenAI images, dall-e-3",
        body({"created": 1, "data": [{"url": "https://x/y.png", "revised_prompt": "p"}]}),
        Says([{"url": "https://x/y.png", "revised_prompt": "p"}], None),
        "/v1/images/generations",
    ),
    "no picture": Case(
        "relays whose filter takes the picture out",
        body({"created": 1, "data": []}),
        Fails("data without any value"),
        "/v1/images/generations",
    ),
    "a transcription with words": Case(
        "OpenAI verbose_json, by seconds",
        body(
            {
                "task": "transcribe",
                "language": "english",
                "duration": 2.5,
                "text": "Hello",
                "segments": [{"id": 0, "text": "Hello"}],
                "usage": {"type": "duration", "seconds": 3},
            }
        ),
        Says("Hello", None),
        "/v1/audio/transcriptions",
    ),
    "a silent transcription": Case(
        "OpenAI: nothing was said",
        body({"text": "", "usage": {"type": "tokens", "input_tokens": 3, "output_tokens": 2}}),
        Says("", None, (3, 2)),
        "/v1/audio/transcriptions",
    ),
    "a text where a vector was asked for": Case("relays that send every request to a chat", body(chat()), Fails("another kind"), EMBED),
}
