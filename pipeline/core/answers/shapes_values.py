"""The shapes of replies that are values and not texts: embeddings, scores, classes, rankings, moderations, images.

Transcriptions stand here too, because their reply is as plain.
"""

from __future__ import annotations

import msgspec

from pipeline.core.answers.parts import (
    BROKEN_OFF,
    NULL,
    Object,
    Reading,
    as_json,
    finish,
    first_byte,
    has_more_than,
    head_of,
    is_list,
    is_object,
    is_text,
    items_of,
    object_of,
    one_or_list,
    place_of,
    present,
    says_more,
)

BY_INDEX = ("embedding", "score", "data")  # OpenAI; vLLM's scores; vLLM's pooling
MOST_ELEMENTS = 100_000  # a list of more is taken as it came: an object costs 200 bytes and more, so 20 million of them gigabytes
HEAD_BYTES = 100  # of a list, in which its first element begins
NUMBERS = frozenset(bytes([code]) for code in b"-0123456789[n")  # how the first of a vector begins; null is looked at later
PLAIN_ITEM = frozenset({"index", "stop", "stop_type", "tokens_evaluated", "tokens_predicted", "id_slot", "model", "timings"})
AS_THEY_ARE = ("relevance_score", "label", "probs", "b64_json", "url")  # Voyage's rankings; vLLM's classes; images


def read_data(reply: Object) -> Reading:
    """OpenAI's lists under `data`: embeddings, vLLM's scores and classes, images."""
    if has_too_many(reply["data"]):
        return Reading(reply["data"], complete=False)
    elements = items_of(reply["data"])
    items = [object_of(item) for item in elements if is_object(item)]
    count = len(elements)
    if not items and count:
        return Reading(reply["data"])  # a bare list under a name of ours
    for key in (*BY_INDEX, *AS_THEY_ARE):
        there = [item for item in items if _is_value(key, item.get(key))]
        if there:
            if key not in BY_INDEX:
                return Reading(reply["data"], complete=len(there) == count)
            values = [item.get(key, NULL) for item in sorted(items, key=_index)]
            if all(_has_gaps(item[key]) for item in there):
                return Reading(problem=f"no {key} that is numbers throughout")
            return Reading(one_or_list(values), complete=len(there) == count, count=count)
    return Reading(problem="data without any value")


def _is_value(key: str, value: msgspec.Raw | None) -> bool:
    """Whether a value is there, and of a type that its name promises."""
    if value is None or not present(value):
        return False
    if key == "embedding":
        return is_vector(value)
    return is_text(value) if key in ("b64_json", "url") else True


def is_vector(value: msgspec.Raw) -> bool:
    """Whether a value is a text, which holds numbers in base64, or a list that begins with a number or a list."""
    return is_text(value) or (is_list(value) and bytes(value)[1:HEAD_BYTES].lstrip()[:1] in NUMBERS)


def _has_gaps(vector: msgspec.Raw) -> bool:
    """Whether a vector has something in it that is no number: `NaN`, which was read as null."""
    return is_list(vector) and b"n" in (text := bytes(vector)) and b"null" in text  # the search for one byte is the fastest


def has_too_many(data: msgspec.Raw) -> bool:
    """Whether a list may have more elements than are worth building. Vectors have many numbers in few elements."""
    if len(memoryview(data)) <= MOST_ELEMENTS or not is_list(data):
        return False
    text = bytes(data)
    if text[1:HEAD_BYTES].lstrip().startswith(b"{"):
        return has_more_than(MOST_ELEMENTS, b"{", text)
    return text.count(b",") > MOST_ELEMENTS


def _index(item: Object) -> int:
    return place_of(item.get("index") or item.get("text_index"))


def read_results(reply: Object) -> Reading:
    """Moderations, and the rankings of Cohere, Jina and vLLM (sorted by the server already)."""
    first = head_of(reply["results"]).first
    return Reading(problem="no results") if not memoryview(first) or first == NULL else Reading(reply["results"])


def read_rankings(reply: Object) -> Reading:
    """NVIDIA's rankings."""
    return Reading(reply["rankings"]) if present(reply["rankings"]) else Reading(problem="no rankings")


def read_predictions(reply: Object) -> Reading:
    """What a model of one's own predicts (Vertex, Databricks). Vertex gives vectors with their counts beside them."""
    items = [] if has_too_many(reply["predictions"]) else items_of(reply["predictions"])
    vectors = [object_of(object_of(item).get("embeddings")).get("values", NULL) if is_object(item) else NULL for item in items]
    if items and all(map(present, vectors)):
        return Reading(one_or_list(vectors), complete=False)
    return Reading(reply["predictions"]) if present(reply["predictions"]) else Reading(problem="no predictions")


def by_index(value: msgspec.Raw) -> msgspec.Raw | None:
    """The vectors in a list of objects, in the order of what was asked; None if they are something else."""
    items = [] if has_too_many(value) else [object_of(item) for item in items_of(value) if is_object(item)]
    if not items or not all(_is_value("embedding", item.get("embedding")) for item in items):
        return None
    return one_or_list([item["embedding"] for item in sorted(items, key=_index)])


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
    vectors = [object_of(item).get("values", NULL) if is_object(item) else item for item in items]
    if not any(present(vector) and not _has_gaps(vector) for vector in vectors):
        return Reading(problem="no embedding that is numbers throughout" if items else "no embeddings")
    return Reading(one_or_list(vectors))


def read_embedding(reply: Object) -> Reading:
    """Google's embedContent, and Ollama's and llama.cpp's single vectors."""
    value = reply["embedding"]
    content = object_of(value).get("values", NULL) if is_object(value) else value
    if not present(content):
        return Reading(problem="an empty embedding")
    return Reading(problem="no embedding that is numbers throughout") if _has_gaps(content) else Reading(content)


def read_transcription(reply: Object) -> Reading:
    """Transcriptions and translations of speech; Cohere's first chat has its text there too."""
    if (reason := finish(reply.get("finish_reason"))) in BROKEN_OFF:
        return Reading(problem=f'finish_reason "{reason}"')
    return Reading(reply["text"], finish_reason=reason)


def _texts_of(first: Object, raw: msgspec.Raw) -> Reading | None:
    """A list with an answer to each of several prompts (llama.cpp), or with several answers (Hugging Face)."""
    key = next((key for key in ("generated_text", "content") if is_text(first.get(key, NULL)) or is_list(first.get(key, NULL))), None)
    if key is None or (key == "content" and "stop" not in first):
        return None
    items = [object_of(item) for item in items_of(raw)]
    content = one_or_list([item.get(key, NULL) for item in items])
    whole = not any(says_more(item, PLAIN_ITEM, key) for item in items)
    return Reading(content, whole, finish(first.get("stop_type")), key=key)


def read_list(body: bytes) -> Reading:
    """A bare list: vectors (Text Embeddings Inference), rankings, classes, generated texts (Hugging Face)."""
    raw, head = msgspec.Raw(body), head_of(body)
    if not memoryview(head.first):
        return Reading(problem="an empty list")
    first = object_of(head.first) if is_object(head.first) else {}
    if "generated_text" in first and not (is_text(first["generated_text"]) or is_list(first["generated_text"])):
        return Reading(problem="a generated text that is none")
    if not has_too_many(raw) and (texts := _texts_of(first, raw)) is not None:
        return texts
    if "candidates" in first:
        return Reading(problem="pieces of an answer")
    if "embedding" in first and (vectors := by_index(raw)) is not None:
        return Reading(vectors, key="[]")
    if first_byte(head.first) == ord("n"):
        return Reading(problem="a list of nothing")
    if not first and _has_gaps(raw) and (not is_list(head.first) or has_too_many(raw) or all(map(_has_gaps, items_of(raw)))):
        return Reading(problem="no embedding that is numbers throughout")
    return Reading(raw, key="[]")
