"""Answers under status 200 as providers, servers and relays really send them; each case as in `odd_streams`."""

from __future__ import annotations

import json
from typing import Any

from tests.fakes.odd_streams import COUNTED, USED, Case, Fails, Says


def body(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def chat(content: Any = "Hello", finish: str | None = "stop", **more: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": content}
    return {"choices": [{"index": 0, "message": message, "finish_reason": finish}], "usage": USED, **more}


TEXTS: dict[str, Case] = {
    "Llama on Bedrock": Case(
        "Bedrock InvokeModel, Meta",
        body({"generation": "Hello", "prompt_token_count": 3, "generation_token_count": 2, "stop_reason": "stop"}),
        COUNTED,
        "/model/m/invoke",
    ),
    "Mistral on Bedrock": Case(
        "Bedrock InvokeModel, Mistral", body({"outputs": [{"text": "Hello", "stop_reason": "stop"}]}), Says("Hello"), "/model/m/invoke"
    ),
    "Titan on Bedrock": Case(
        "Bedrock InvokeModel, Amazon Titan",
        body({"inputTextTokenCount": 3, "results": [{"tokenCount": 2, "outputText": "Hello", "completionReason": "FINISH"}]}),
        COUNTED,
        "/model/m/invoke",
    ),
    "Command on Bedrock": Case(
        "Bedrock InvokeModel, Cohere generate",
        body({"id": "a", "generations": [{"id": "b", "text": "Hello", "finish_reason": "COMPLETE"}], "prompt": "p"}),
        Says("Hello"),
        "/model/m/invoke",
    ),
    "an old Claude": Case(
        "Anthropic text completions, Bedrock",
        body({"type": "completion", "completion": "Hello", "stop_reason": "stop_sequence", "model": "claude-2.1"}),
        Says("Hello", "stop_sequence"),
        "/v1/complete",
    ),
    "watsonx": Case(
        "IBM watsonx text generation",
        body(
            {
                "model_id": "m",
                "results": [{"generated_text": "Hello", "generated_token_count": 2, "input_token_count": 3, "stop_reason": "eos_token"}],
            }
        ),
        COUNTED,
        "/ml/v1/text/generation",
    ),
    "Anthropic's content as a text": Case(
        "relays of Anthropic's API",
        body(
            {
                "type": "message",
                "role": "assistant",
                "content": "Hello",
                "stop_reason": "end_turn",
                "usage": {"input_tokens": 3, "output_tokens": 2},
            }
        ),
        COUNTED,
        "/v1/messages",
    ),
    "Anthropic that pauses": Case(
        "Anthropic: pause_turn with a server's tool",
        body(
            {
                "type": "message",
                "role": "assistant",
                "content": [{"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}],
                "stop_reason": "pause_turn",
                "usage": {"input_tokens": 3, "output_tokens": 2},
            }
        ),
        Says('[{"type":"server_tool_use","id":"s","name":"web_search","input":{}}]', "pause_turn", (3, 2)),
        "/v1/messages",
    ),
    "Anthropic's error under 200": Case(
        "relays that lose the status",
        body({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}),
        Fails("Overloaded"),
        "/v1/messages",
    ),
    "Replicate": Case(
        "Replicate: output is a list of pieces",
        body({"id": "p", "status": "succeeded", "output": ["Hel", "lo"], "error": None}),
        Says("Hello", None),
        "/v1/models/o/m/predictions",
    ),
    "Replicate, one text": Case(
        "Replicate: output is a text",
        body({"id": "p", "status": "succeeded", "output": "Hello", "error": None}),
        Says("Hello", None),
        "/v1/models/o/m/predictions",
    ),
    "an output of another form": Case(
        "RunPod: output holds what the user's code gives",
        body({"id": "j", "status": "COMPLETED", "output": [{"choices": [{"tokens": ["Hello"]}]}]}),
        Says(None, None),
        "/v2/e/runsync",
    ),
    "several prompts of llama.cpp": Case(
        "llama.cpp /completion with a list of prompts",
        body(
            [
                {"index": 0, "content": "Hello", "stop": True, "stop_type": "eos", "tokens_predicted": 1},
                {"index": 1, "content": "Bye", "stop": True, "stop_type": "eos", "tokens_predicted": 1},
            ]
        ),
        Says(["Hello", "Bye"]),
        "/completion",
    ),
    "several texts of Hugging Face": Case(
        "Hugging Face: num_return_sequences",
        body([{"generated_text": "Hello"}, {"generated_text": "Bye"}]),
        Says(["Hello", "Bye"], None),
        "/generate",
    ),
    "Gemini without parts": Case(
        "Gemini: content with a role alone",
        body(
            {"candidates": [{"content": {"role": "model"}, "finishReason": "STOP", "index": 0}], "usageMetadata": {"promptTokenCount": 3}}
        ),
        Fails("nothing in them"),
        "/v1beta/models/g:generateContent",
    ),
    "Gemini with a picture": Case(
        "Gemini: inlineData",
        body(
            {
                "candidates": [
                    {
                        "content": {
                            "parts": [{"text": "Hello"}, {"inlineData": {"mimeType": "image/png", "data": "AA=="}}],
                            "role": "model",
                        },
                        "finishReason": "STOP",
                    }
                ],
                "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 2, "totalTokenCount": 5},
            }
        ),
        COUNTED,
        "/v1beta/models/g:generateContent",
    ),
    "Ollama that only loaded": Case(
        "Ollama: an empty prompt",
        body({"model": "l", "response": "", "done": True, "done_reason": "load"}),
        Fails("load", retryable=False),
        "/api/generate",
    ),
    "a response in the background": Case(
        "OpenAI Responses: background",
        body({"id": "r", "object": "response", "status": "queued", "output": []}),
        Fails("queued", retryable=False),
        "/v1/responses",
    ),
    "a response with a picture": Case(
        "OpenAI Responses: image_generation_call",
        body(
            {
                "id": "r",
                "object": "response",
                "status": "completed",
                "output": [{"type": "image_generation_call", "id": "i", "status": "completed", "result": "AA=="}],
                "usage": {"input_tokens": 3, "output_tokens": 2},
            }
        ),
        Says('[{"type":"image_generation_call","id":"i","status":"completed","result":"AA=="}]', "stop", (3, 2)),
        "/v1/responses",
    ),
    "Cohere with thoughts": Case(
        "Cohere v2 reasoning",
        body(
            {
                "id": "c",
                "finish_reason": "COMPLETE",
                "message": {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "Hello"}]},
                "usage": {"tokens": {"input_tokens": 3, "output_tokens": 2}},
            }
        ),
        COUNTED,
        "/v2/chat",
    ),
}
