"""Chat completions under status 200 as providers, servers and relays really send them, and what they send in their place."""

from __future__ import annotations

import json
from typing import Any

from tests.fakes.odd_bodies import body, chat
from tests.fakes.odd_streams import COUNTED, USED, Case, Fails, Says

CALLS = [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
RUN = "/ai/run/@cf/m"


def message(content: Any, finish: str = "stop", **more: Any) -> bytes:
    return body(
        {"choices": [{"index": 0, "message": {"role": "assistant", "content": content, **more}, "finish_reason": finish}], "usage": USED}
    )


CHATS: dict[str, Case] = {
    "a balance that is used up": Case(
        "MiniMax: base_resp 1008, choices null",
        body({"choices": None, "base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}}),
        Fails("insufficient balance", "quota", retryable=False),
    ),
    "a rate limit in base_resp": Case(
        "MiniMax: base_resp 1002",
        body({"choices": None, "base_resp": {"status_code": 1002, "status_msg": "rate limit"}}),
        Fails("rate limit", "throttle"),
    ),
    "a base_resp that is well": Case(
        "MiniMax: base_resp 0", body(chat(base_resp={"status_code": 0, "status_msg": ""}, input_sensitive=False)), COUNTED
    ),
    "a code of success": Case(
        "iFlytek Spark: code 0, message Success, no finish_reason",
        body(
            {
                "code": 0,
                "message": "Success",
                "sid": "s",
                "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}}],
                "usage": USED,
            }
        ),
        Says("Hello", None, (3, 2)),
    ),
    "a code of failure": Case(
        "iFlytek Spark: 10013", body({"code": 10013, "message": "input content audit failed", "sid": "s"}), Fails("audit failed")
    ),
    "a queue that is full": Case(
        "Baidu: error_code 18",
        body({"error_code": 18, "error_msg": "Open api qps request limit reached"}),
        Fails("request limit reached", "throttle"),
    ),
    "a result as a text": Case(
        "Baidu ERNIE's own API",
        body({"id": "a", "object": "chat.completion", "result": "Hello", "is_truncated": False, "finish_reason": "normal", "usage": USED}),
        Says("Hello", "normal", (3, 2)),
    ),
    "an answer in an envelope": Case(
        "Cloudflare Workers AI: result, success, errors",
        body({"result": {"response": "Hello", "usage": USED}, "success": True, "errors": [], "messages": []}),
        Says("Hello", None, (3, 2)),
        RUN,
    ),
    "a completion in an envelope": Case(
        "Cloudflare Workers AI with newer models", body({"result": chat(), "success": True, "errors": []}), COUNTED, RUN
    ),
    "a failure in an envelope": Case(
        "Cloudflare Workers AI",
        body({"result": None, "success": False, "errors": [{"code": 7009, "message": "Upstream service unavailable"}]}),
        Fails("Upstream service unavailable"),
        RUN,
    ),
    "an envelope of a relay": Case("relays: code, msg and data", body({"code": 200, "msg": "success", "data": chat()}), COUNTED),
    "a failure in an envelope of a relay": Case(
        "relays: code 500 under status 200", body({"code": 500, "msg": "no available channel", "data": None}), Fails("no available channel")
    ),
    "a list of one completion": Case("proxies that collect answers", body([chat()]), COUNTED),
    "a list of one error": Case(
        "Google's OpenAI mode",
        body([{"error": {"code": 429, "message": "Resource exhausted", "status": "RESOURCE_EXHAUSTED"}}]),
        Fails("Resource exhausted", "throttle"),
    ),
    "calls beside an empty text": Case(
        "Mistral, Ollama /v1: an empty text with tool_calls",
        message("", "tool_calls", tool_calls=CALLS),
        Says(body(CALLS).decode(), "tool_calls", (3, 2)),
    ),
    "an empty text beside reasoning": Case(
        "DeepSeek R1, cut: an empty text", message("", "length", reasoning_content="hm"), Says("", "length", (3, 2))
    ),
    "a refusal beside an empty text": Case(
        "relays that write an empty text beside a refusal", message("", refusal="No."), Says("No.", "stop", (3, 2))
    ),
    "an empty list of calls": Case(
        "vLLM: tool_calls [] in every message", message("Hello", tool_calls=[], reasoning_content=None), COUNTED
    ),
    "parts without a type": Case("DashScope's multimodal form behind relays", message([{"text": "Hel"}, {"text": "lo"}]), COUNTED),
    "an error object of vLLM": Case(
        "vLLM, FastChat under 200",
        body(
            {
                "object": "error",
                "message": "This model's maximum context length is 8192 tokens.",
                "type": "BadRequestError",
                "param": None,
                "code": 400,
            }
        ),
        Fails("maximum context length", retryable=False),
    ),
    "an error as a text": Case("LM Studio, Ollama", body({"error": "Model unloaded."}), Fails("Model unloaded")),
    "a detail": Case("FastAPI", body({"detail": "CUDA error: device-side assert triggered"}), Fails("CUDA error")),
    "a status of failure": Case(
        "gateways: status error", body({"status": "error", "message": "backend is down"}), Fails("backend is down")
    ),
    "a bare message": Case("AWS API Gateway: message alone", body({"message": "Endpoint request timed out"}), Fails("timed out")),
    "a model that is loading": Case(
        "Hugging Face under 200",
        body({"error": "Model m is currently loading", "estimated_time": 20.0}),
        Fails("currently loading", "server"),
    ),
    "usage in the choice": Case(
        "Moonshot's relays, not streamed",
        body({"choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop", "usage": USED}]}),
        COUNTED,
    ),
    "usage of Groq alone": Case("Groq: x_groq.usage", body({"choices": chat()["choices"], "x_groq": {"id": "r", "usage": USED}}), COUNTED),
    "tokens as texts": Case(
        "relays that write numbers as text", body(chat(usage={"prompt_tokens": "3", "completion_tokens": "2"})), COUNTED
    ),
    "blank lines first": Case("DeepSeek keeps connections open so", b"\n" * 300 + body(chat()), COUNTED),
    "comments first": Case("OpenRouter", b": OPENROUTER PROCESSING\n\n" * 9 + body(chat()), COUNTED),
    "[DONE] last": Case("relays that end every answer so", body(chat()) + b"\n\ndata: [DONE]\n\n", COUNTED),
    "a mark and blanks": Case("servers on Windows", b"\xef\xbb\xbf\r\n" + body(chat()) + b"\r\n", COUNTED),
    "zeros behind the end": Case("servers that send their whole buffer", body(chat()) + b"\0" * 7, COUNTED),
    "an answer as a JSON text": Case("functions behind API Gateway: the JSON is encoded twice", body(json.dumps(chat())), COUNTED),
    "the end is missing": Case("a proxy that cuts at its buffer", body(chat())[:-9], Fails("not JSON")),
    "two answers": Case("a proxy that answers twice", body(chat()) + body(chat("No")), Fails("not JSON")),
    "a page": Case("captive portals", b"<!DOCTYPE html><html><title>Sign in</title></html>", Fails("not JSON")),
    "an end that is a breakdown": Case(
        "OpenRouter: finish_reason error",
        body(
            {
                "choices": [
                    {
                        "index": 0,
                        "message": {"role": "assistant", "content": "Hel"},
                        "finish_reason": "error",
                        "error": {"code": 502, "message": "Upstream error"},
                    }
                ]
            }
        ),
        Fails("Upstream error"),
    ),
    "three choices": Case(
        "OpenAI, n = 3",
        body(
            {
                "choices": [
                    {"index": at, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
                    for at, text in ((2, "c"), (0, "a"), (1, "b"))
                ],
                "usage": USED,
            }
        ),
        Says(["a", "b", "c"], "stop", (3, 2)),
    ),
}
