"""Streams of Ollama, llama.cpp, Text Generation Inference, DashScope, Bedrock, Cloudflare and Cohere; see `odd_streams`."""

from __future__ import annotations

from tests.fakes.odd_streams import COUNTED, DONE, HELLO, USED, Case, Fails, Says, call, lines, sse

OTHERS: dict[str, Case] = {
    "thoughts of Ollama's generate": Case(
        "Ollama /api/generate: thinking in pieces",
        lines(
            {"model": "l", "response": "", "thinking": "h", "done": False},
            {"model": "l", "response": "", "thinking": "m", "done": False},
            {"model": "l", "response": "Hello", "done": False},
            {"model": "l", "response": "", "done": True, "done_reason": "stop", "prompt_eval_count": 3, "eval_count": 2},
        ),
        Says(
            "Hello",
            tokens=(3, 2),
            body={
                "model": "l",
                "thinking": "hm",
                "response": "Hello",
                "done": True,
                "done_reason": "stop",
                "prompt_eval_count": 3,
                "eval_count": 2,
            },
        ),
        "/api/generate",
    ),
    "log probabilities of Ollama": Case(
        "Ollama: logprobs in every line",
        lines(
            {"message": {"role": "assistant", "content": "Hel"}, "logprobs": [{"token": "Hel"}], "done": False},
            {"message": {"role": "assistant", "content": "lo"}, "logprobs": [{"token": "lo"}], "done": False},
            {"message": {"role": "assistant", "content": ""}, "done": True, "done_reason": "stop"},
        ),
        Says(
            "Hello",
            body={
                "message": {"role": "assistant", "content": "Hello"},
                "logprobs": [{"token": "Hel"}, {"token": "lo"}],
                "done": True,
                "done_reason": "stop",
            },
        ),
        "/api/chat",
    ),
    "calls of Ollama in two lines": Case(
        "Ollama /api/chat: each call whole, in a line of its own",
        lines(
            {
                "message": {"role": "assistant", "content": "", "tool_calls": [{"function": {"index": 0, "name": "f", "arguments": {}}}]},
                "done": False,
            },
            {
                "message": {"role": "assistant", "content": "", "tool_calls": [{"function": {"index": 1, "name": "g", "arguments": {}}}]},
                "done": False,
            },
            {"message": {"role": "assistant", "content": ""}, "done": True, "done_reason": "stop"},
        ),
        Says('[{"function":{"index":0,"name":"f","arguments":{}}},{"function":{"index":1,"name":"g","arguments":{}}}]', "tool_calls"),
        "/api/chat",
    ),
    "lines with CRLF and blanks": Case(
        "proxies before Ollama",
        lines({"response": "Hel", "done": False}, {"response": "lo", "done": False}, {"response": "", "done": True}).replace(
            b"\n", b"\r\n\r\n"
        ),
        Says("Hello", None),
        "/api/generate",
    ),
    "an error of Ollama in the middle": Case(
        "Ollama: an error line",
        lines({"response": "Hel", "done": False}, {"error": "an error was encountered while running the model: unexpected EOF"}),
        Fails("unexpected EOF"),
        "/api/generate",
    ),
    "probabilities of llama.cpp": Case(
        "llama.cpp /completion with n_probs",
        sse(
            {"content": "Hel", "completion_probabilities": [{"token": "Hel"}], "tokens": [1], "stop": False},
            {"content": "lo", "completion_probabilities": [{"token": "lo"}], "tokens": [2], "stop": False},
            {"content": "", "stop": True, "stop_type": "eos", "tokens": [], "tokens_predicted": 2, "tokens_evaluated": 3},
        ),
        Says(
            "Hello",
            tokens=(3, 2),
            body={
                "content": "Hello",
                "completion_probabilities": [{"token": "Hel"}, {"token": "lo"}],
                "tokens": [1, 2],
                "stop": True,
                "stop_type": "eos",
                "tokens_predicted": 2,
                "tokens_evaluated": 3,
            },
        ),
        "/completion",
    ),
    "several prompts of llama.cpp": Case(
        "llama.cpp /completion: a list of prompts, told apart by index",
        sse(
            {"index": 0, "content": "He", "stop": False},
            {"index": 1, "content": "By", "stop": False},
            {"index": 1, "content": "e", "stop": True, "stop_type": "eos"},
            {"index": 0, "content": "llo", "stop": True, "stop_type": "eos"},
        ),
        Says(["Hello", "Bye"]),
        "/completion",
    ),
    "tokens of TGI": Case(
        "TGI generate_stream: each token with its probability",
        b"data:"
        + sse({"index": 1, "token": {"id": 1, "text": "Hel", "logprob": -0.1}, "generated_text": None, "details": None})[6:]
        + sse(
            {
                "index": 2,
                "token": {"id": 2, "text": "lo", "logprob": -0.2},
                "generated_text": "Hello",
                "details": {"finish_reason": "eos_token", "generated_tokens": 2},
            }
        ),
        Says(
            "Hello",
            tokens=(0, 2),
            body={
                "generated_text": "Hello",
                "details": {
                    "finish_reason": "eos_token",
                    "generated_tokens": 2,
                    "tokens": [{"id": 1, "text": "Hel", "logprob": -0.1}, {"id": 2, "text": "lo", "logprob": -0.2}],
                },
            },
        ),
        "/generate_stream",
    ),
    "an error of TGI": Case(
        "TGI: error and error_type",
        sse(
            {"token": {"text": "Hel"}, "generated_text": None},
            {"error": "Request failed during generation: Server error", "error_type": "generation"},
        ),
        Fails("Request failed during generation"),
        "/generate_stream",
    ),
    "pictures and words of DashScope": Case(
        "DashScope multimodal, incremental: content is a list of parts",
        sse(
            {"output": {"choices": [{"message": {"role": "assistant", "content": [{"text": "Hel"}]}, "finish_reason": "null"}]}},
            {
                "output": {"choices": [{"message": {"role": "assistant", "content": [{"text": "lo"}]}, "finish_reason": "stop"}]},
                "usage": {"input_tokens": 3, "output_tokens": 2},
            },
        ),
        COUNTED,
        "/api/v1/services/aigc/multimodal-generation/generation",
    ),
    "the same told as a whole each time": Case(
        "DashScope multimodal, the default",
        sse(
            {"output": {"choices": [{"message": {"role": "assistant", "content": [{"text": "Hel"}]}, "finish_reason": "null"}]}},
            {"output": {"choices": [{"message": {"role": "assistant", "content": [{"text": "Hello"}]}, "finish_reason": "stop"}]}},
        ),
        HELLO,
        "/api/v1/services/aigc/multimodal-generation/generation",
    ),
    "calls of DashScope in pieces": Case(
        "DashScope with incremental_output",
        sse(
            *(
                {
                    "output": {
                        "choices": [
                            {"message": {"role": "assistant", "content": "", "tool_calls": [call(0, text, **names)]}, "finish_reason": end}
                        ]
                    }
                }
                for text, names, end in (("{", {"id": "a", "name": "f"}, "null"), ("}", {"id": ""}, "tool_calls"))
            )
        ),
        Says('[{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}}]', "tool_calls"),
        "/api/v1/services/aigc/text-generation/generation",
    ),
    "an error of DashScope in the middle": Case(
        "DashScope: code and message, no name of an event",
        sse(
            {"output": {"text": "Hel", "finish_reason": "null"}},
            {"code": "DataInspectionFailed", "message": "Output data may contain inappropriate content.", "request_id": "r"},
        ),
        Fails("inappropriate content", retryable=False),
        "/api/v1/services/aigc/text-generation/generation",
    ),
    "an error of DashScope by its name": Case(
        "DashScope: event: error with HTTP_STATUS in a comment",
        b'id:1\nevent:error\n:HTTP_STATUS/429\ndata:{"code":"Throttling.RateQuota","message":"Requests rate limit exceeded"}\n\n',
        Fails("rate limit exceeded", "throttle"),
        "/api/v1/services/aigc/text-generation/generation",
    ),
    "events of Bedrock in JSON": Case(
        "relays of ConverseStream: one key an event",
        sse(
            {"messageStart": {"role": "assistant"}},
            {"contentBlockDelta": {"delta": {"text": "Hel"}, "contentBlockIndex": 0}},
            {"contentBlockDelta": {"delta": {"text": "lo"}, "contentBlockIndex": 0}},
            {"contentBlockStop": {"contentBlockIndex": 0}},
            {"messageStop": {"stopReason": "end_turn"}},
            {"metadata": {"usage": {"inputTokens": 3, "outputTokens": 2, "totalTokens": 5}, "metrics": {"latencyMs": 9}}},
        ),
        COUNTED,
        "/model/m/converse-stream",
    ),
    "an exception of Bedrock": Case(
        "relays of ConverseStream: modelStreamErrorException",
        sse(
            {"messageStart": {"role": "assistant"}},
            {"contentBlockDelta": {"delta": {"text": "Hel"}, "contentBlockIndex": 0}},
            {"modelStreamErrorException": {"message": "Model stream error.", "originalStatusCode": 500}},
        ),
        Fails("Model stream error"),
        "/model/m/converse-stream",
    ),
    "pieces of Cloudflare": Case(
        "Cloudflare Workers AI: response in pieces, usage in the last",
        sse({"response": "Hel", "p": "abc"}, {"response": "lo", "p": "ab"}, {"response": "", "usage": USED}, DONE),
        Says("Hello", None, (3, 2)),
        "/ai/run/@cf/m",
    ),
    "pieces of Cloudflare, cut": Case(
        "the same, broken off", sse({"response": "Hel", "p": "abc"}, {"response": "lo", "p": "ab"}), Fails("too early"), "/ai/run/@cf/m"
    ),
    "a chat of Cohere's first version": Case(
        "Cohere v1: stream-end says the whole",
        lines(
            {"is_finished": False, "event_type": "stream-start", "generation_id": "g"},
            {"is_finished": False, "event_type": "text-generation", "text": "Hel"},
            {"is_finished": False, "event_type": "text-generation", "text": "lo"},
            {
                "is_finished": True,
                "event_type": "stream-end",
                "finish_reason": "COMPLETE",
                "response": {
                    "response_id": "r",
                    "text": "Hello",
                    "finish_reason": "COMPLETE",
                    "meta": {"billed_units": {"input_tokens": 3, "output_tokens": 2}},
                },
            },
        ),
        COUNTED,
        "/v1/chat",
    ),
    "a chat of Cohere that broke": Case(
        "Cohere v1: finish_reason ERROR",
        lines(
            {"is_finished": False, "event_type": "text-generation", "text": "Hel"},
            {
                "is_finished": True,
                "event_type": "stream-end",
                "finish_reason": "ERROR",
                "response": {"text": "Hel", "finish_reason": "ERROR"},
            },
        ),
        Fails("ERROR"),
        "/v1/chat",
    ),
    "probabilities of Cohere": Case(
        "Cohere v2 with logprobs",
        sse(
            {"type": "message-start", "id": "c", "delta": {"message": {"role": "assistant"}}},
            *(
                {
                    "type": "content-delta",
                    "index": 0,
                    "delta": {"message": {"content": {"text": text}}},
                    "logprobs": {"text": text, "token_ids": [1], "logprobs": [-0.1]},
                }
                for text in ("Hel", "lo")
            ),
            {"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": {"tokens": {"input_tokens": 3, "output_tokens": 2}}}},
        ),
        Says(
            "Hello",
            tokens=(3, 2),
            body={
                "id": "c",
                "finish_reason": "COMPLETE",
                "usage": {"tokens": {"input_tokens": 3, "output_tokens": 2}},
                "logprobs": [{"text": "Hel", "token_ids": [1], "logprobs": [-0.1]}, {"text": "lo", "token_ids": [1], "logprobs": [-0.1]}],
                "message": {"role": "assistant", "content": [{"text": "Hello"}]},
            },
        ),
        "/v2/chat",
    ),
}
