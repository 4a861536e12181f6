"""An answer in the shape that its endpoint promises. Pure: an answer in, JSON out.

Source: API references of OpenAI, Anthropic, Google (Gemini), Cohere and Ollama.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pipeline.simulate.answers import REFUSAL, Answered, Finish, expected_score, expected_vector, packed

if TYPE_CHECKING:
    from collections.abc import Callable

JSON = dict[str, Any]

OPENAI_ENDS = {Finish.STOP: "stop", Finish.LENGTH: "length", Finish.FILTERED: "content_filter", Finish.REFUSED: "stop"}
ANTHROPIC_ENDS = {Finish.STOP: "end_turn", Finish.LENGTH: "max_tokens", Finish.FILTERED: "refusal", Finish.REFUSED: "refusal"}
GEMINI_ENDS = {Finish.STOP: "STOP", Finish.LENGTH: "MAX_TOKENS", Finish.FILTERED: "SAFETY", Finish.REFUSED: "PROHIBITED_CONTENT"}
COHERE_ENDS = {Finish.STOP: "COMPLETE", Finish.LENGTH: "MAX_TOKENS", Finish.FILTERED: "ERROR_TOXIC", Finish.REFUSED: "COMPLETE"}
OLLAMA_ENDS = {Finish.STOP: "stop", Finish.LENGTH: "length", Finish.FILTERED: "stop", Finish.REFUSED: "stop"}


def shape(answered: Answered) -> JSON:
    """The answer's JSON."""
    return SHAPES[answered.call.endpoint](answered)


def openai_usage(answered: Answered) -> JSON:
    """The usage of chat and completions."""
    prompt, output = answered.call.prompt_tokens, answered.output_tokens
    return {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output}


def chat(answered: Answered) -> JSON:
    """OpenAI's chat completion."""
    refusal = REFUSAL if answered.finish is Finish.REFUSED else None
    messages = [{"role": "assistant", "content": None, "refusal": refusal} if refusal else {"role": "assistant", "content": text}
                for text in answered.contents]  # fmt: skip
    return _openai(answered, "chatcmpl-", "chat.completion", [{"message": message} for message in messages])


def completions(answered: Answered) -> JSON:
    """OpenAI's text completion."""
    return _openai(answered, "cmpl-", "text_completion", [{"text": text} for text in answered.contents])


def _openai(answered: Answered, prefix: str, kind: str, said: list[JSON]) -> JSON:
    end = OPENAI_ENDS[answered.finish]
    return {
        "id": prefix + answered.name,
        "object": kind,
        "created": answered.created,
        "model": answered.call.model,
        "choices": [{"index": index, **one, "logprobs": None, "finish_reason": end} for index, one in enumerate(said)],
        "usage": openai_usage(answered),
    }


def embeddings(answered: Answered) -> JSON:
    """OpenAI's embeddings."""
    call = answered.call
    vectors = [expected_vector(prompt, call.dimensions) for prompt in call.prompts]
    return {
        "object": "list",
        "model": call.model,
        "data": [
            {"object": "embedding", "index": index, "embedding": packed(vector) if call.packed else vector}
            for index, vector in enumerate(vectors)
        ],
        "usage": {"prompt_tokens": call.prompt_tokens, "total_tokens": call.prompt_tokens},
    }


def responses(answered: Answered) -> JSON:
    """OpenAI's Responses object."""
    filtered, cut = answered.finish is Finish.FILTERED, answered.finish is Finish.LENGTH
    reason = "content_filter" if filtered else "max_output_tokens" if cut else None
    prompt, output = answered.call.prompt_tokens, answered.output_tokens
    return {
        "id": "resp_" + answered.name,
        "object": "response",
        "created_at": answered.created,
        "status": "incomplete" if reason else "completed",
        "error": None,
        "incomplete_details": {"reason": reason} if reason else None,
        "model": answered.call.model,
        "output": [response_item(answered)],
        "usage": {
            "input_tokens": prompt,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": output,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": prompt + output,
        },
    }


def response_item(answered: Answered) -> JSON:
    """The one message of a Responses object."""
    refused = answered.finish is Finish.REFUSED
    text = {"type": "output_text", "text": answered.contents[0], "annotations": []}
    part = {"type": "refusal", "refusal": REFUSAL} if refused else text
    return {"type": "message", "id": "msg_" + answered.name, "status": "completed", "role": "assistant", "content": [part]}


def messages(answered: Answered) -> JSON:
    """Anthropic's message."""
    refused = answered.finish in {Finish.REFUSED, Finish.FILTERED}
    return {
        "id": "msg_" + answered.name,
        "type": "message",
        "role": "assistant",
        "model": answered.call.model,
        "content": [] if refused else [{"type": "text", "text": answered.contents[0]}],
        "stop_reason": ANTHROPIC_ENDS[answered.finish],
        "stop_sequence": None,
        "usage": {
            "input_tokens": answered.call.prompt_tokens,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": answered.output_tokens,
        },
    }


def gemini_usage(answered: Answered) -> JSON:
    """Google's usage."""
    prompt, output = answered.call.prompt_tokens, answered.output_tokens
    return {"promptTokenCount": prompt, "candidatesTokenCount": output, "totalTokenCount": prompt + output}


def gemini(answered: Answered) -> JSON:
    """Google's generateContent; a prompt that is refused has no candidates."""
    made: JSON = {"usageMetadata": gemini_usage(answered), "modelVersion": answered.call.model, "responseId": answered.name}
    if answered.finish is Finish.REFUSED:
        return {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, **made}
    end = GEMINI_ENDS[answered.finish]
    contents = [{"role": "model"} if answered.finish is Finish.FILTERED else {"parts": [{"text": text}], "role": "model"}
                for text in answered.contents]  # fmt: skip
    return {"candidates": [{"content": one, "finishReason": end, "index": index} for index, one in enumerate(contents)], **made}


def gemini_embedding(answered: Answered) -> JSON:
    """Google's embedContent, one vector, or batchEmbedContents, a list of them."""
    vectors = [{"values": expected_vector(prompt, answered.call.dimensions)} for prompt in answered.call.prompts]
    return {"embedding": vectors[0]} if answered.call.endpoint == "embedContent" else {"embeddings": vectors}


def cohere(answered: Answered) -> JSON:
    """Cohere's chat, version 2."""
    tokens = {"input_tokens": answered.call.prompt_tokens, "output_tokens": answered.output_tokens}
    return {
        "id": answered.name,
        "finish_reason": COHERE_ENDS[answered.finish],
        "message": {"role": "assistant", "content": [{"type": "text", "text": answered.contents[0]}]},
        "usage": {"billed_units": tokens, "tokens": tokens},
    }


def rerank(answered: Answered) -> JSON:
    """The documents by their score, best first, as Cohere and its kin write them."""
    scores = [(expected_score(answered.call.shown, document), index) for index, document in enumerate(answered.call.prompts)]
    results = [{"index": index, "relevance_score": score} for score, index in sorted(scores, key=lambda one: (-one[0], one[1]))]
    return {"id": answered.name, "results": results, "meta": {"billed_units": {"search_units": 1}}}


def moderations(answered: Answered) -> JSON:
    """OpenAI's moderation, which flags what its score says."""
    scores = [expected_score("moderation", prompt) for prompt in answered.call.prompts]
    results = [
        {"flagged": score > 0.5, "categories": {"violence": score > 0.5}, "category_scores": {"violence": score}} for score in scores
    ]
    return {"id": "modr-" + answered.name, "model": answered.call.model, "results": results}


def ollama_time(answered: Answered) -> str:
    """A time as Ollama writes it."""
    return f"{datetime.fromtimestamp(answered.created, UTC):%Y-%m-%dT%H:%M:%S.000000Z}"


def ollama_end(answered: Answered) -> JSON:
    """What the last, or only, object of an Ollama answer says besides its content."""
    return {
        "done": True,
        "done_reason": OLLAMA_ENDS[answered.finish],
        "total_duration": 1_000_000,
        "prompt_eval_count": answered.call.prompt_tokens,
        "eval_count": answered.output_tokens,
    }


def ollama_said(answered: Answered, text: str) -> JSON:
    """A content, or a piece of it, where Ollama puts it."""
    return {"message": {"role": "assistant", "content": text}} if answered.call.endpoint == "api/chat" else {"response": text}


def ollama(answered: Answered) -> JSON:
    """Ollama's chat or generate, whole."""
    said = ollama_said(answered, answered.contents[0])
    return {"model": answered.call.model, "created_at": ollama_time(answered), **said, **ollama_end(answered)}


def ollama_embeddings(answered: Answered) -> JSON:
    """Ollama's embed."""
    vectors = [expected_vector(prompt, answered.call.dimensions) for prompt in answered.call.prompts]
    return {"model": answered.call.model, "embeddings": vectors, "prompt_eval_count": answered.call.prompt_tokens}


SHAPES: dict[str, Callable[[Answered], JSON]] = {
    "chat/completions": chat,
    "completions": completions,
    "embeddings": embeddings,
    "responses": responses,
    "moderations": moderations,
    "messages": messages,
    "generateContent": gemini,
    "embedContent": gemini_embedding,
    "batchEmbedContents": gemini_embedding,
    "v2/chat": cohere,
    "rerank": rerank,
    "api/chat": ollama,
    "api/generate": ollama,
    "api/embed": ollama_embeddings,
}
