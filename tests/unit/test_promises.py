"""Law 11: a 200 is a result only if it holds what its endpoint promises, in whatever shape it comes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pipeline.core.answers.classify import Result, Trouble, classify
from pipeline.records import Answer, FailureKind, Scope

CHAT, COMPLETIONS, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages"
GEMINI, OLLAMA, COHERE, BEDROCK = "/v1beta/models/g:generateContent", "/api/chat", "/v2/chat", "/model/x/converse"
EMBEDDINGS, MODERATIONS, RERANK, EMBED = "/v1/embeddings", "/v1/moderations", "/v1/rerank", "/embed"
EMPTY, MALFORMED = FailureKind.EMPTY_ANSWER, FailureKind.MALFORMED_RESPONSE


def chat(message: Any, reason: str | None = "stop", **more: Any) -> dict[str, Any]:
    return {"object": "chat.completion", "choices": [{"index": 0, "message": message, "finish_reason": reason}], **more}


def responses(*items: Any, status: str = "completed", **more: Any) -> dict[str, Any]:
    return {"object": "response", "status": status, "output": list(items), **more}


def anthropic(*blocks: Any, stop: str | None = "end_turn") -> dict[str, Any]:
    return {"type": "message", "role": "assistant", "content": list(blocks), "stop_reason": stop}


def gemini(candidate: Any) -> dict[str, Any]:
    return {"candidates": [candidate], "usageMetadata": {"promptTokenCount": 1}}


def data(*items: Any) -> dict[str, Any]:
    return {"object": "list", "data": list(items)}


def said(reply: Any, url: str, asked: Any = None, *, empty_fits: bool = False) -> Result | Trouble:
    body = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
    sent = b"" if asked is None else json.dumps(asked).encode()
    return classify(Answer(200, [], body), now_utc=0.0, url=url, asked=sent, empty_fits=empty_fits)


NOTHING_IN_IT: dict[str, tuple[str, Any]] = {
    "chat, null": (CHAT, chat({"role": "assistant", "content": None})),
    "chat, no content": (CHAT, chat({"role": "assistant"})),
    "chat, no parts": (CHAT, chat({"role": "assistant", "content": []})),
    "chat, no calls": (CHAT, chat({"role": "assistant", "content": None, "tool_calls": []}, "tool_calls")),
    "chat, a name and an id": (CHAT, chat({"role": "assistant", "id": "m", "type": "message", "content": None})),
    "responses, no items": (RESPONSES, responses()),
    "responses, thoughts alone": (RESPONSES, responses({"type": "reasoning", "summary": []})),
    "responses, an empty message": (RESPONSES, responses({"type": "message", "content": []})),
    "responses, an unknown status": (RESPONSES, responses(status="weird")),
    "Anthropic": (MESSAGES, anthropic()),
    "Gemini, no content": (GEMINI, gemini({"finishReason": "STOP"})),
    "Gemini, no parts": (GEMINI, gemini({"content": {"role": "model", "parts": []}, "finishReason": "STOP"})),
    "Gemini, a broken call": (GEMINI, gemini({"content": {}, "finishReason": "MALFORMED_FUNCTION_CALL"})),
    "Cohere": (COHERE, {"message": {"role": "assistant", "content": []}, "finish_reason": "COMPLETE"}),
    "Bedrock": (BEDROCK, {"output": {"message": {"role": "assistant", "content": []}}, "stopReason": "end_turn"}),
}


@pytest.mark.parametrize("name", NOTHING_IN_IT)
def test_an_answer_with_nothing_in_it_is_none_and_is_bought_twice_at_most(name: str) -> None:
    url, reply = NOTHING_IN_IT[name]

    meaning = said(reply, url)

    assert isinstance(meaning, Trouble), meaning
    assert (meaning.kind, meaning.retryable, meaning.bought, meaning.scope) == (EMPTY, True, True, Scope.ROW)
    assert meaning.body is not None
    assert json.loads(meaning.body) == reply


@pytest.mark.parametrize("name", NOTHING_IN_IT)
def test_an_empty_answer_is_left_to_whoever_judges_answers(name: str) -> None:
    url, reply = NOTHING_IN_IT[name]

    assert isinstance(said(reply, url, empty_fits=True), Result)


WORDLESS_OR_ODD: dict[str, tuple[str, Any, str | None]] = {
    "chat, an empty text": (CHAT, chat({"content": ""}), "stop"),
    "chat, all tokens used": (CHAT, chat({"content": None}, "length"), "length"),
    "chat, filtered": (CHAT, chat({"content": None}, "content_filter"), "content_filter"),
    "chat, a refusal": (CHAT, chat({"content": None, "refusal": "no"}), "stop"),
    "chat, calls": (CHAT, chat({"content": None, "tool_calls": [{"id": "1", "function": {"name": "f"}}]}, "tool_calls"), "tool_calls"),
    "chat, thoughts": (CHAT, chat({"content": None, "reasoning_content": "hm"}), "stop"),
    "chat, one odd choice of two": (
        CHAT,
        {"choices": [{"message": {"content": "a"}, "finish_reason": "stop"}, {"message": None, "finish_reason": None}]},
        "stop",
    ),
    "completions, an empty text": (COMPLETIONS, {"choices": [{"text": "", "finish_reason": "stop"}]}, "stop"),
    "responses, cut": (RESPONSES, responses(status="incomplete", incomplete_details={"reason": "max_output_tokens"}), "length"),
    "responses, a call": (RESPONSES, responses({"type": "function_call", "name": "f", "arguments": "{}"}), "tool_calls"),
    "responses, a refusal": (RESPONSES, responses({"type": "message", "content": [{"type": "refusal", "refusal": "no"}]}), "stop"),
    "Anthropic, cut": (MESSAGES, anthropic(stop="max_tokens"), "length"),
    "Anthropic, a stop sequence at once": (MESSAGES, anthropic(stop="stop_sequence"), "stop_sequence"),
    "Anthropic, a refusal": (MESSAGES, anthropic(stop="refusal"), "content_filter"),
    "Anthropic, thoughts": (MESSAGES, anthropic({"type": "thinking", "thinking": "hm", "signature": "s"}), "stop"),
    "Gemini, cut": (GEMINI, gemini({"content": {}, "finishReason": "MAX_TOKENS"}), "length"),
    "Gemini, filtered": (GEMINI, gemini({"finishReason": "SAFETY"}), "content_filter"),
    "Gemini, blocked": (GEMINI, {"promptFeedback": {"blockReason": "SAFETY"}}, "content_filter"),
    "responses where chat was asked for": (
        CHAT,
        responses({"type": "message", "content": [{"type": "output_text", "text": "hi"}]}),
        "stop",
    ),
    "embeddings, coded": (EMBEDDINGS, data({"embedding": "AACAPw==", "index": 0}), None),
    "embeddings, one of two is missing": (EMBEDDINGS, data({"embedding": [0.5], "index": 0}, {"embedding": None, "index": 1}), None),
    "scores of nothing": ("/score", data({"index": 0, "score": 0}), None),
    "vectors alone": (EMBED, [[0.5, 1.5]], None),
    "a transcription of silence": ("/v1/audio/transcriptions", {"text": ""}, None),
}


@pytest.mark.parametrize("name", WORDLESS_OR_ODD)
def test_an_answer_that_says_why_there_are_no_words_is_one(name: str) -> None:
    url, reply, reason = WORDLESS_OR_ODD[name]

    meaning = said(reply, url)

    assert isinstance(meaning, Result), meaning
    assert meaning.finish_reason == reason


NO_ANSWERS: dict[str, tuple[str, Any]] = {
    "a page": (CHAT, b"<html>502 Bad Gateway</html>"),
    "nothing": (CHAT, b""),
    "blanks": (CHAT, b" \n "),
    "null": (CHAT, None),
    "a text": (CHAT, "all is well"),
    "a number": (CHAT, 42),
    "an empty list": ("/my/own", []),
    "an empty object": ("/my/own", {}),
    "two answers": (CHAT, json.dumps(chat({"content": "a"})).encode() * 2),
    "a cut one": (CHAT, json.dumps(chat({"content": "a"})).encode()[:-3]),
    "UTF-16": (CHAT, json.dumps(chat({"content": "a"})).encode("utf-16")),
    "a message that is a text": (CHAT, chat("hi")),
    "a list of models": (CHAT, data({"id": "m", "object": "model"})),
    "a batch": (CHAT, {"object": "batch", "status": "validating"}),
    "a state of health": (CHAT, {"status": "ok"}),
    "broken off (OpenRouter)": (CHAT, chat({"content": "half"}, "error")),
    "broken off (DeepSeek)": (CHAT, chat({"content": "half"}, "insufficient_system_resource")),
    "broken off (vLLM)": (CHAT, chat({"content": "half"}, "abort")),
    "broken off (Cohere)": (COHERE, {"message": {"content": [{"type": "text", "text": "half"}]}, "finish_reason": "ERROR"}),
    "an answer beside an error": (CHAT, chat({"content": "half"}, error={"message": "gone", "code": 502})),
    "embeddings where a text was asked for": (CHAT, data({"embedding": [0.5], "index": 0})),
    "a ranking where a text was asked for": (MESSAGES, {"results": [{"index": 0, "relevance_score": 0.5}]}),
    "a text where embeddings were asked for": (EMBEDDINGS, chat({"content": "a"})),
    "embeddings of nothing": (EMBEDDINGS, data()),
    "embeddings, an empty vector": (EMBEDDINGS, data({"embedding": [], "index": 0})),
    "embeddings that are no numbers": (EMBEDDINGS, b'{"data":[{"embedding":[NaN,NaN],"index":0}]}'),
    "vectors that are no numbers": (EMBED, [[None, None]]),
    "a vector that is no numbers (Gemini)": ("/m:embedContent", {"embedding": {"values": [None]}}),
    "vectors that are no numbers (Ollama)": ("/api/embed", {"embeddings": [[None]]}),
    "a ranking of nothing": (RERANK, {"results": []}),
    "a moderation of nothing": (MODERATIONS, {"results": []}),
    "no images": ("/v1/images/generations", {"created": 1, "data": []}),
}


@pytest.mark.parametrize("name", NO_ANSWERS)
def test_what_is_no_answer_is_asked_for_again(name: str) -> None:
    url, reply = NO_ANSWERS[name]

    meaning = said(reply, url)

    assert isinstance(meaning, Trouble), meaning
    assert (meaning.kind, meaning.retryable) == (MALFORMED, True)


def test_a_model_that_was_only_loaded_answers_nothing_however_often_it_is_asked() -> None:
    meaning = said({"response": "", "done": True, "done_reason": "load"}, "/api/generate")

    assert isinstance(meaning, Trouble)
    assert not meaning.retryable


@pytest.mark.parametrize(
    "url, asked, reply, enough",
    [
        (EMBEDDINGS, {"input": ["a", "b"]}, data({"embedding": [1], "index": 0}), False),
        (EMBEDDINGS, {"input": ["a", "b"]}, data({"embedding": [1], "index": 0}, {"embedding": [1], "index": 1}), True),
        (EMBEDDINGS, {"input": "a"}, data({"embedding": [1], "index": 0}), True),
        (EMBEDDINGS, {"input": [1, 2, 3]}, data({"embedding": [1], "index": 0}), True),
        (EMBEDDINGS, {"input": [[1], [2]]}, data({"embedding": [1], "index": 0}), False),
        (EMBEDDINGS, {"inputs": ["a"]}, data({"embedding": [1], "index": 0}), True),
        ("/api/embed", {"input": ["a", "b"]}, {"embeddings": [[1]]}, False),
        ("/v2/embed", {"texts": ["a", "b"]}, {"embeddings": {"float": [[1], [2]]}}, True),
        ("/m:batchEmbedContents", {"requests": [{}, {}]}, {"embeddings": [{"values": [1]}]}, False),
        (EMBED, {"inputs": ["a", "b"]}, [[1]], False),
        (MODERATIONS, {"input": ["a", "b"]}, {"results": [{"flagged": False}]}, False),
        (RERANK, {"documents": ["a", "b"], "top_n": 1}, {"results": [{"index": 0, "relevance_score": 1}]}, True),
    ],
)
def test_who_sends_several_inputs_is_promised_as_many_values(url: str, asked: Any, reply: Any, *, enough: bool) -> None:
    assert isinstance(said(reply, url, asked), Result) is enough
