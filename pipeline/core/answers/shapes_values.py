"""The shapes of replies that are values and not texts: embeddings, scores, classes, rankings, moderations, images.

Transcriptions stand here too, because their reply is as plain.
"""

from __future__ import annotations

import msgspec

from pipeline.core.answers.parts import (
    NULL,
    Object,
    Reading,
    as_json,
    first_byte,
    is_list,
    is_object,
    items_of,
    object_of,
    objects_of,
    one_or_list,
    present,
)

BY_INDEX = ("embedding", "score", "data")  # OpenAI; vLLM's scores; vLLM's pooling
AS_THEY_ARE = ("label", "probs", "b64_json", "url")  # vLLM's classes; images


def read_data(reply: Object) -> Reading:
    """OpenAI's lists under `data`: embeddings, vLLM's scores and classes, images."""
    items = objects_of(reply["data"])
    count = len(items_of(reply["data"]))
    if not items and count:
        return Reading(reply["data"])  # a bare list under a name of ours
    for key in (*BY_INDEX, *AS_THEY_ARE):
        there = [item for item in items if present(item.get(key))]
        if there:
            content = one_or_list([item[key] for item in sorted(there, key=_index)]) if key in BY_INDEX else reply["data"]
            return Reading(content, complete=len(there) == count)
    return Reading(problem="data without any value")


def _index(item: Object) -> int:
    text = bytes(item.get("index", NULL))
    return int(text) if text.isdigit() else 0


def read_results(reply: Object) -> Reading:
    """Moderations, and the rankings of Cohere, Jina and vLLM (sorted by the server already)."""
    return Reading(reply["results"]) if is_list(reply["results"]) else Reading(problem="no results")


def read_embeddings(reply: Object) -> Reading:
    """Google's and Ollama's batches, Cohere's lists (in its second version by type)."""
    value = reply["embeddings"]
    if is_object(value):  # Cohere: {"float": [[…]]}
        by_type = {kind: vectors for kind, vectors in object_of(value).items() if present(vectors)}
        if not by_type:
            return Reading(problem="no embeddings")
        vectors = [one_or_list(items_of(vectors)) for vectors in by_type.values()]
        return Reading(vectors[0] if len(vectors) == 1 else as_json(dict(zip(by_type, vectors, strict=True))))
    items = items_of(value)
    if not items:
        return Reading(problem="no embeddings")
    return Reading(one_or_list([object_of(item).get("values", item) if is_object(item) else item for item in items]))


def read_embedding(reply: Object) -> Reading:
    """Google's embedContent, and Ollama's and llama.cpp's single vectors."""
    value = reply["embedding"]
    content = object_of(value).get("values", NULL) if is_object(value) else value
    return Reading(content) if present(content) else Reading(problem="an empty embedding")


def read_transcription(reply: Object) -> Reading:
    """Transcriptions and translations of speech; Cohere's first chat has its text there too."""
    return Reading(reply["text"])


def read_list(body: bytes) -> Reading:
    """A bare list: vectors (Text Embeddings Inference), rankings, classes, generated texts (Hugging Face)."""
    raw = msgspec.Raw(body)
    items = items_of(raw)
    objects = objects_of(raw)
    if len(items) == 1 and objects and "generated_text" in objects[0]:
        return Reading(objects[0]["generated_text"])
    if objects and "candidates" in objects[0]:
        return Reading(problem="pieces of an answer")
    if not items or first_byte(items[0]) == ord("n"):
        return Reading(problem="an empty list" if not items else "a list of nothing")
    return Reading(raw)
