"""Streamed completions as servers and relays that imitate OpenAI really send them: counts, ends, choices, framing; see `odd_streams`."""

from __future__ import annotations

import json

from tests.fakes.odd_streams import COUNTED, DONE, HEL, HELLO, LO, ROLE, STOP, USED, Case, Fails, Says, chunk, sse

CHATS: dict[str, Case] = {
    "usage in the choice": Case(
        "Moonshot (higress#1568, pi#2017)",
        sse(ROLE, HEL, LO, {**chunk(), "choices": [{"index": 0, "delta": {}, "finish_reason": "stop", "usage": USED}]}, DONE),
        COUNTED,
    ),
    "usage in empty choices, then null": Case(
        "OpenAI, include_usage; relays that add a last chunk",
        sse(ROLE, HEL, LO, STOP, {**chunk(), "choices": [], "usage": USED}, {**chunk(), "choices": [], "usage": None}, DONE),
        COUNTED,
    ),
    "zeros after the usage": Case(
        "relays that end with a usage of zeros (one-api and its like)",
        sse(
            ROLE,
            HEL,
            LO,
            {**STOP, "usage": USED},
            {**chunk(), "choices": [], "usage": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}},
            DONE,
        ),
        COUNTED,
    ),
    "cumulative usage in every chunk": Case(
        "vLLM continuous_usage_stats (pydantic-ai#4056)",
        sse(
            {**ROLE, "usage": {"prompt_tokens": 3, "completion_tokens": 0}},
            {**HEL, "usage": {"prompt_tokens": 3, "completion_tokens": 1}},
            {**LO, "usage": USED},
            STOP,
            DONE,
        ),
        COUNTED,
    ),
    "finish_reason said twice": Case(
        "LiteLLM: a usage chunk that says the end again",
        sse(ROLE, HEL, LO, STOP, chunk({"content": None}, "stop", usage=USED), DONE),
        COUNTED,
    ),
    "finish_reason null after the end": Case(
        "LiteLLM: usage chunk with an empty choice", sse(ROLE, HEL, LO, STOP, chunk({"content": ""}, None, usage=USED), DONE), COUNTED
    ),
    "an unknown finish_reason": Case(
        "Mistral model_length (its API reference)", sse(ROLE, HEL, LO, chunk({}, "model_length"), DONE), Says("Hello", "length")
    ),
    "a filter under a word of its own": Case(
        "Zhipu: sensitive (its API reference)", sse(ROLE, HEL, LO, chunk({}, "sensitive"), DONE), Says("Hello", "content_filter")
    ),
    "an end that is a breakdown": Case(
        "Zhipu: network_error (its API reference)", sse(ROLE, HEL, LO, chunk({}, "network_error"), DONE), Fails("network_error")
    ),
    "an end for want of context": Case(
        "Zhipu, Anthropic: model_context_window_exceeded (opencode#18918)",
        sse(ROLE, HEL, LO, chunk({}, "model_context_window_exceeded"), DONE),
        Says("Hello", "length"),
    ),
    "message and delta in every chunk": Case(
        "Perplexity, HybridAI (hybridclaw#1325): the whole so far under message, the piece under delta",
        sse(
            {
                "id": "c",
                "choices": [
                    {
                        "index": 0,
                        "message": {"role": "assistant", "content": "Hel"},
                        "delta": {"role": "assistant", "content": "Hel"},
                        "finish_reason": None,
                    }
                ],
            },
            {
                "id": "c",
                "choices": [
                    {
                        "index": 0,
                        "message": {"role": "assistant", "content": "Hello"},
                        "delta": {"role": "assistant", "content": "lo"},
                        "finish_reason": "stop",
                    }
                ],
                "usage": USED,
            },
        ),
        COUNTED,
    ),
    "an empty message beside the delta": Case(
        "HybridAI (hybridclaw#1325)",
        sse(
            *(
                {
                    "id": "c",
                    "choices": [
                        {"index": 0, "message": {"role": "assistant", "content": ""}, "delta": {"content": text}, "finish_reason": end}
                    ],
                }
                for text, end in (("Hel", None), ("lo", "stop"))
            )
        ),
        HELLO,
    ),
    "text and delta in every chunk": Case(
        "Together: text repeats what the delta says",
        sse(
            *(
                {
                    "id": "c",
                    "object": "chat.completion.chunk",
                    "choices": [
                        {"index": 0, "text": text, "delta": {"token_id": 1, "role": "assistant", "content": text}, "finish_reason": end}
                    ],
                }
                for text, end in (("Hel", None), ("lo", "stop"))
            )
        ),
        HELLO,
    ),
    "two choices without index": Case(
        "servers that leave the index out",
        sse(
            *(
                {"id": "c", "choices": [{"delta": {"content": a}, "finish_reason": end}, {"delta": {"content": b}, "finish_reason": end}]}
                for a, b, end in (("He", "By", None), ("llo", "e", "stop"))
            )
        ),
        Says(["Hello", "Bye"]),
    ),
    "three choices interleaved": Case(
        "OpenAI, n = 3",
        sse(
            *(chunk({"content": text}, None, index) for index, text in ((2, "c"), (0, "a"), (1, "b"), (0, "A"), (2, "C"), (1, "B"))),
            *(chunk({}, "stop", index) for index in (1, 2, 0)),
            DONE,
        ),
        Says(["aA", "bB", "cC"]),
    ),
    "one of three choices never ends": Case(
        "vLLM, n = 3 with an abort",
        sse(*(chunk({"content": "x"}, None, index) for index in (0, 1, 2)), chunk({}, "stop", 0), chunk({}, "stop", 2), DONE),
        Fails("choice 1"),
    ),
    "the first event says nothing": Case("gateways that open with an empty object", sse({}, ROLE, HEL, LO, STOP, DONE), HELLO),
    "null, text and numbers as events": Case(
        "proxies that keep the connection open with data of their own",
        sse(b"null", b"ping", ROLE, b'""', HEL, b"0", LO, b": keep-alive", STOP, DONE),
        HELLO,
    ),
    "events without blank lines": Case(
        "servers that write one line an event (read so by clients that go line by line)",
        sse(ROLE, HEL, LO, STOP, DONE).replace(b"\n\n", b"\n"),
        HELLO,
    ),
    "events named delta and done": Case(
        "gateways that name every event",
        b"".join(b"event: delta\nid: %d\n%b" % (at, sse(each)) for at, each in enumerate((ROLE, HEL, LO, STOP)))
        + b"event: done\ndata: [DONE]\n\n",
        HELLO,
    ),
    "a comment within an event": Case(
        "WHATWG HTML, 9.2.6", sse(ROLE, HEL) + b"data: {\n: waiting\ndata: " + json.dumps(LO).encode()[1:] + b"\n\n" + sse(STOP), HELLO
    ),
    "tabs, blanks and a mark": Case("hand-made servers", b"\xef\xbb\xbf" + sse(ROLE, HEL, LO, STOP).replace(b"data: ", b"data:\t"), HELLO),
    "halves of a character": Case(
        "relays in JavaScript that cut by UTF-16 (eliza#30904, rakazo#416)",
        sse(
            ROLE,
            b'{"choices":[{"index":0,"delta":{"content":"a\\ud83d"},"finish_reason":null}]}',
            b'{"choices":[{"index":0,"delta":{"content":"\\ude00b"},"finish_reason":null}]}',
            STOP,
            DONE,
        ),
        Says("a\U0001f600b"),
    ),
    "half a character that stays one": Case(
        "the same, cut by a length limit",
        sse(ROLE, b'{"choices":[{"index":0,"delta":{"content":"a\\ud83d"},"finish_reason":null}]}', chunk({}, "length"), DONE),
        Says("a\ufffd", "length"),
    ),
}
