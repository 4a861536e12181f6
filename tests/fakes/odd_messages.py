"""What messages and calls of tools in streamed completions really look like, and errors between them; see `odd_streams`."""

from __future__ import annotations

import json

from tests.fakes.odd_bodies import chat
from tests.fakes.odd_streams import (
    CALLS_END,
    COUNTED,
    DONE,
    HEL,
    HELLO,
    LO,
    ROLE,
    STOP,
    USED,
    Case,
    Fails,
    Says,
    call,
    chunk,
    lines,
    says_calls,
    sse,
    tools,
)

CHAT_MESSAGES: dict[str, Case] = {
    "citations said in every chunk": Case(
        "Perplexity: citations and search_results repeat",
        sse(*({**each, "citations": ["u", "v"]} for each in (ROLE, HEL, LO, STOP)), DONE),
        Says("Hello", message={"role": "assistant", "content": "Hello"}),
    ),
    "annotations in pieces": Case(
        "OpenRouter, OpenAI web search: each delta brings more",
        sse(
            ROLE,
            HEL,
            chunk({"annotations": [{"type": "url_citation", "url_citation": {"url": "u"}}]}),
            chunk({"content": "lo", "annotations": [{"type": "url_citation", "url_citation": {"url": "v"}}]}),
            STOP,
        ),
        Says(
            "Hello",
            message={
                "role": "assistant",
                "content": "Hello",
                "annotations": [
                    {"type": "url_citation", "url_citation": {"url": "u"}},
                    {"type": "url_citation", "url_citation": {"url": "v"}},
                ],
            },
        ),
    ),
    "reasoning details by index": Case(
        "OpenRouter with Claude (agno#8861): the signature comes last, without a text",
        sse(
            ROLE,
            *(
                chunk({"reasoning_details": [{"type": "reasoning.text", "index": 0, **more}]})
                for more in ({"text": "h"}, {"text": "m"}, {"signature": "s"})
            ),
            HEL,
            LO,
            STOP,
        ),
        Says(
            "Hello",
            message={
                "role": "assistant",
                "content": "Hello",
                "reasoning_details": [{"type": "reasoning.text", "index": 0, "text": "hm", "signature": "s"}],
            },
        ),
    ),
    "two kinds under one index": Case(
        "OpenRouter with OpenAI; langchainjs#10692: index is counted for each kind",
        sse(
            ROLE,
            chunk({"reasoning_details": [{"type": "reasoning.summary", "index": 0, "summary": "h"}]}),
            chunk({"reasoning_details": [{"type": "reasoning.encrypted", "index": 0, "data": "X"}]}),
            chunk({"reasoning_details": [{"type": "reasoning.summary", "index": 0, "summary": "m"}]}),
            HEL,
            LO,
            STOP,
        ),
        Says(
            "Hello",
            message={
                "role": "assistant",
                "content": "Hello",
                "reasoning_details": [
                    {"type": "reasoning.summary", "index": 0, "summary": "hm"},
                    {"type": "reasoning.encrypted", "index": 0, "data": "X"},
                ],
            },
        ),
    ),
    "sound in pieces with padding": Case(
        "OpenAI audio: each piece is base64 by itself",
        sse(
            chunk({"role": "assistant", "audio": {"id": "a", "data": "AA==", "transcript": "Hel"}}),
            chunk({"audio": {"data": "AQI=", "transcript": "lo"}}),
            chunk({"audio": {"expires_at": 9}}, "stop"),
            DONE,
        ),
        Says(
            "Hello",
            message={"role": "assistant", "content": None, "audio": {"id": "a", "data": "AAEC", "transcript": "Hello", "expires_at": 9}},
        ),
    ),
    "log probabilities of a plain completion": Case(
        "vLLM, OpenAI completions: lists beside each other",
        sse(
            *(
                {
                    "id": "c",
                    "object": "text_completion",
                    "choices": [{"index": 0, "text": text, "logprobs": {"tokens": [text], "token_logprobs": [-0.5]}, "finish_reason": end}],
                }
                for text, end in (("Hel", None), ("lo", "stop"))
            )
        ),
        Says(
            "Hello",
            body={
                "id": "c",
                "object": "text_completion",
                "choices": [
                    {
                        "index": 0,
                        "text": "Hello",
                        "logprobs": {"tokens": ["Hel", "lo"], "token_logprobs": [-0.5, -0.5]},
                        "finish_reason": "stop",
                    }
                ],
            },
        ),
        "/v1/completions",
    ),
    "a refusal in pieces": Case(
        "OpenAI: delta.refusal",
        sse(
            chunk({"role": "assistant", "content": None, "refusal": ""}), chunk({"refusal": "I can"}), chunk({"refusal": "not"}), STOP, DONE
        ),
        Says("I cannot", message={"role": "assistant", "content": None, "refusal": "I cannot"}),
    ),
    "calls by id alone, interleaved": Case(
        "Databricks (goose#10023), bifrost#1829: no index, fragments of two calls in turn",
        sse(
            ROLE,
            *tools(call(None, "{", id="a", name="f"), call(None, "[", id="b", name="g"), call(None, "}", id="a"), call(None, "]", id="b")),
            CALLS_END,
            DONE,
        ),
        says_calls(("a", "f", "{}"), ("b", "g", "[]")),
    ),
    "index first, then id": Case(
        "gateways that leave the index out after the first fragment",
        sse(
            ROLE,
            *tools(call(0, "{", id="a", name="f"), call(1, "[", id="b", name="g"), call(None, "}", id="a"), call(None, "]", id="b")),
            CALLS_END,
            DONE,
        ),
        says_calls(("a", "f", "{}"), ("b", "g", "[]")),
    ),
    "one index, no id, another name": Case(
        "MiniMax by Ollama (ml-intern#341): all calls have index 0",
        sse(ROLE, *tools(call(0, "{}", name="f"), call(0, "[]", name="g")), CALLS_END, DONE),
        says_calls((None, "f", "{}"), (None, "g", "[]")),
    ),
    "one index, another id, fragments after it": Case(
        "eino#962, amplio#3: fragments without id belong to the last call of that index",
        sse(ROLE, *tools(call(0, "{", id="a", name="f"), call(0, "}"), call(0, "[", id="b", name="g"), call(0, "]")), CALLS_END, DONE),
        says_calls(("a", "f", "{}"), ("b", "g", "[]")),
    ),
    "an empty id in later fragments": Case(
        'maka#1995: "" and null mean no id',
        sse(ROLE, *tools(call(0, "{", id="a", name="f"), call(0, "}", id="", name="")), CALLS_END, DONE),
        says_calls(("a", "f", "{}")),
    ),
    "arguments as an object": Case(
        "Ollama's and llama.cpp's own form behind relays: arguments are no text",
        sse(ROLE, chunk({"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": {"x": 1}}}]}), CALLS_END),
        Says('[{"id":"a","function":{"name":"f","arguments":{"x":1}}}]', "tool_calls"),
    ),
    "an error in the middle with a code of its own": Case(
        "Cerebras, FastAPI servers: a bare message and code",
        sse(ROLE, HEL, {"message": "Encountered a server error, please try again.", "type": "server_error", "param": "", "code": ""}),
        Fails("Encountered a server error"),
    ),
    "an error as a detail": Case("FastAPI behind a stream", sse(ROLE, HEL, {"detail": "CUDA out of memory"}), Fails("CUDA out of memory")),
    "an error in a list": Case(
        "Cloudflare: errors and success",
        sse(ROLE, HEL, {"success": False, "errors": [{"code": 3040, "message": "Capacity temporarily exceeded"}]}),
        Fails("Capacity temporarily exceeded"),
    ),
    "an error of the balance in the middle": Case(
        "MiniMax base_resp 1008",
        sse(ROLE, HEL, {"id": "c", "choices": None, "base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}}),
        Fails("insufficient balance", "quota", retryable=False),
    ),
    "base_resp that is well": Case(
        "MiniMax: the last chunk is the whole answer",
        sse(
            ROLE,
            HEL,
            LO,
            {
                "id": "c",
                "object": "chat.completion",
                "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hello"}}],
                "usage": USED,
                "base_resp": {"status_code": 0, "status_msg": ""},
            },
        ),
        COUNTED,
    ),
    "an error named otherwise": Case(
        "gateways: event: exception",
        sse(ROLE, HEL) + b'event: exception\ndata: {"message": "upstream timed out"}\n\n',
        Fails("upstream timed out"),
    ),
    "an error after the end": Case(
        "OpenRouter, vLLM: the connection broke after the last choice",
        sse(ROLE, HEL, LO, STOP, {"error": {"code": 502, "message": "Provider returned error"}}),
        Fails("Provider returned error"),
    ),
    "an HTML page in the middle": Case(
        "a proxy that gives up", sse(ROLE, HEL) + b"<html><body>504 Gateway Time-out</body></html>", Fails("finish_reason")
    ),
    "a whole answer in one event": Case(
        "relays that only pretend to stream",
        sse({"id": "c", "object": "chat.completion", **chat()}, DONE),
        COUNTED,
    ),
    "an ordinary answer though a stream was asked for": Case(
        "caches of gateways",
        json.dumps(chat(), indent=2).encode(),
        COUNTED,
    ),
    "chunks as lines": Case("SageMaker, servers without event streams: one JSON object a line", lines(ROLE, HEL, LO, STOP), HELLO),
    "only the end": Case("vllm#40986", sse(DONE), Fails("too early")),
    "nothing at all": Case("a proxy that closes at once", b"", Fails("not JSON")),
    "a role and nothing else": Case("a worker that died before the first token", sse(ROLE, DONE), Fails("finish_reason")),
    "usage without an end": Case(
        "Perplexity, iFlytek: cut before the finish_reason", sse(ROLE, HEL, {**LO, "usage": USED}, DONE), Fails("finish_reason")
    ),
}
