"""Every endpoint answers in the shape that it promises, and what is no answer looks like one."""

from __future__ import annotations

import json
from functools import reduce
from typing import Any

import pytest

from pipeline.simulate import Exchange, Fault, Provider, Request, SimulateConfig, expected_answer, expected_vector
from pipeline.simulate.answers import REFUSAL, expected_score

SAID = "What is 6 times 7?"
MESSAGES: list[dict[str, Any]] = [{"role": "user", "content": SAID}]
PARTS = {"parts": [{"text": SAID}]}
GEMINI = "/v1beta/models/gemini-2.5-pro:{}"

# target, body, where the content stands, where the tokens of prompt and answer stand
CHATS: dict[str, tuple[str, dict[str, Any], str, str, str]] = {
    "chat": ("/v1/chat/completions", {"model": "m", "messages": MESSAGES}, "choices/0/message/content",
             "usage/prompt_tokens", "usage/completion_tokens"),
    "completions": ("/v1/completions", {"model": "m", "prompt": SAID}, "choices/0/text",
                    "usage/prompt_tokens", "usage/completion_tokens"),
    "responses": ("/v1/responses", {"model": "m", "input": MESSAGES}, "output/0/content/0/text",
                  "usage/input_tokens", "usage/output_tokens"),
    "responses-text": ("/v1/responses", {"model": "m", "input": SAID}, "output/0/content/0/text",
                       "usage/input_tokens", "usage/output_tokens"),
    "messages": ("/v1/messages", {"model": "m", "messages": MESSAGES, "max_tokens": 9}, "content/0/text",
                 "usage/input_tokens", "usage/output_tokens"),
    "gemini": (GEMINI.format("generateContent"), {"contents": [PARTS]}, "candidates/0/content/parts/0/text",
               "usageMetadata/promptTokenCount", "usageMetadata/candidatesTokenCount"),
    "gemini-behind-v1": ("/v1" + GEMINI.format("generateContent"), {"contents": [PARTS]}, "candidates/0/content/parts/0/text",
                         "usageMetadata/promptTokenCount", "usageMetadata/candidatesTokenCount"),
    "cohere": ("/v2/chat", {"model": "m", "messages": MESSAGES}, "message/content/0/text",
               "usage/tokens/input_tokens", "usage/tokens/output_tokens"),
    "ollama-chat": ("/api/chat", {"model": "m", "messages": MESSAGES, "stream": False}, "message/content",
                    "prompt_eval_count", "eval_count"),
    "ollama-generate": ("/api/generate", {"model": "m", "prompt": SAID, "stream": False}, "response", "prompt_eval_count", "eval_count"),
}  # fmt: skip


def post(target: str, body: Any, config: SimulateConfig | None = None) -> Exchange:
    request = Request("POST", target, [], json.dumps(body).encode())
    return Provider(config or SimulateConfig()).receive(request, now=0.0, wall=0.0)


def answered(target: str, body: Any, config: SimulateConfig | None = None) -> Any:
    return json.loads(post(target, body, config).reply.body)


def at(path: str, value: Any) -> Any:
    return reduce(lambda inner, step: inner[int(step) if step.isdigit() else step], path.split("/"), value)


@pytest.mark.parametrize("name", sorted(CHATS))
def test_content_and_tokens_stand_where_the_shape_puts_them(name: str) -> None:
    target, body, content, prompt_tokens, output_tokens = CHATS[name]

    got = answered(target, body)

    assert at(content, got) == expected_answer(body)
    assert at(prompt_tokens, got) == 5
    assert at(output_tokens, got) == (len(expected_answer(body)) + 3) // 4


@pytest.mark.parametrize("target, body, vectors", [
    ("/v1/embeddings", {"model": "m", "input": ["a", "b"]}, "data/{}/embedding"),
    (GEMINI.format("batchEmbedContents"), {"requests": [{"content": {"parts": [{"text": text}]}} for text in "ab"]},
     "embeddings/{}/values"),
    ("/api/embed", {"model": "m", "input": ["a", "b"]}, "embeddings/{}"),
])  # fmt: skip
def test_embeddings_of_every_shape_are_the_vectors_of_their_texts(target: str, body: Any, vectors: str) -> None:
    got = answered(target, body)

    assert [at(vectors.format(number), got) for number in range(2)] == [expected_vector("a"), expected_vector("b")]


def test_one_embedding_of_gemini_is_no_list() -> None:
    assert answered(GEMINI.format("embedContent"), {"content": PARTS})["embedding"]["values"] == expected_vector(SAID)


@pytest.mark.parametrize("target", ["/v1/rerank", "/v2/rerank"])
def test_reranked_documents_come_by_their_score(target: str) -> None:
    documents = ["weir", "sluice", {"text": "tail"}]

    results = answered(target, {"model": "m", "query": "mill", "documents": documents})["results"]

    assert sorted(one["index"] for one in results) == [0, 1, 2]
    assert [one["relevance_score"] for one in results] == sorted(
        (expected_score("mill", text) for text in ("weir", "sluice", "tail")), reverse=True
    )


def test_moderation_has_a_result_for_each_text() -> None:
    results = answered("/v1/moderations", {"input": ["a", "b", "c"]})["results"]

    assert [one["flagged"] for one in results] == [one["category_scores"]["violence"] > 0.5 for one in results]
    assert len(results) == 3


def test_system_prompt_beside_the_messages_changes_the_answer() -> None:
    body = {"model": "m", "max_tokens": 9, "messages": MESSAGES}

    assert expected_answer({**body, "system": "be brief"}) != expected_answer(body)
    assert at("content/0/text", answered("/v1/messages", {**body, "system": "be brief"})) == expected_answer({**body, "system": "be brief"})


@pytest.mark.parametrize("target, body, param", [
    ("/v1/messages", {"model": "m", "messages": []}, "messages"),
    ("/v1/responses", {"model": "m"}, "input"),
    (GEMINI.format("generateContent"), {"contents": []}, "contents"),
    (GEMINI.format("generateContent"), {"contents": [{"parts": []}]}, "parts"),
    ("/v2/rerank", {"model": "m", "query": "", "documents": ["a"]}, "query"),
    ("/v2/chat", {"model": "m", "messages": MESSAGES, "stream": True}, "stream"),
])  # fmt: skip
def test_wrong_request_of_any_shape_gets_a_400(target: str, body: Any, param: str) -> None:
    refused = post(target, body)

    assert refused.reply.status == 400
    assert json.loads(refused.reply.body)["error"]["param"] == param


@pytest.mark.parametrize("name", sorted(CHATS))
@pytest.mark.parametrize(
    "fault", ["empty_object", "choices_null", "choices_empty", "status_failed", "base_resp", "object_error", "choice_error"]
)
def test_200_that_is_no_answer_holds_no_content(name: str, fault: str) -> None:
    target, body, *_ = CHATS[name]

    exchange = post(target, body, SimulateConfig(faults={fault: 1.0}))

    assert exchange.reply.status == 200
    assert expected_answer(body) not in exchange.reply.body.decode()


def test_error_stands_inside_the_choice() -> None:
    target, body, *_ = CHATS["chat"]

    choice = answered(target, body, SimulateConfig(faults={"choice_error": 1.0}))["choices"][0]

    assert (choice["finish_reason"], choice["error"]["code"]) == ("error", 502)


@pytest.mark.parametrize("fault, name, path, value", [
    ("truncated", "chat", "choices/0/finish_reason", "length"),
    ("truncated", "messages", "stop_reason", "max_tokens"),
    ("truncated", "gemini", "candidates/0/finishReason", "MAX_TOKENS"),
    ("truncated", "responses", "incomplete_details/reason", "max_output_tokens"),
    ("truncated", "cohere", "finish_reason", "MAX_TOKENS"),
    ("truncated", "ollama-chat", "done_reason", "length"),
    ("content_filter", "chat", "choices/0/finish_reason", "content_filter"),
    ("content_filter", "responses", "incomplete_details/reason", "content_filter"),
    ("content_filter", "gemini", "candidates/0/finishReason", "SAFETY"),
    ("declined", "chat", "choices/0/message/refusal", REFUSAL),
    ("declined", "responses", "output/0/content/0/refusal", REFUSAL),
    ("declined", "messages", "stop_reason", "refusal"),
    ("declined", "gemini", "promptFeedback/blockReason", "PROHIBITED_CONTENT"),
    ("empty_answer", "chat", "choices/0/message/content", ""),
    ("empty_answer", "completions", "choices/0/text", ""),
])  # fmt: skip
def test_answer_ends_as_the_fault_says(fault: str, name: str, path: str, value: str) -> None:
    target, body, *_ = CHATS[name]

    assert at(path, answered(target, body, SimulateConfig(faults={fault: 1.0}))) == value


def test_truncated_answer_is_the_start_of_the_right_one() -> None:
    target, body, content, *_ = CHATS["chat"]

    got = at(content, answered(target, body, SimulateConfig(faults={"truncated": 1.0})))

    assert 0 < len(got) < len(expected_answer(body))
    assert expected_answer(body).startswith(got)


@pytest.mark.parametrize("name", sorted(CHATS))
def test_right_answer_can_have_an_empty_error_and_floats_for_usage(name: str) -> None:
    target, body, content, *_ = CHATS[name]

    for quirk in (Fault.EMPTY_ERROR, Fault.FLOAT_USAGE):
        assert at(content, answered(target, body, SimulateConfig(faults={quirk.value: 1.0}))) == expected_answer(body)
