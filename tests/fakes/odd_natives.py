"""Streams of Anthropic, Google and OpenAI's own APIs as they are really sent; see `odd_streams`."""

from __future__ import annotations

import json

from tests.fakes.odd_streams import (
    BEGUN,
    COUNTED,
    DONE,
    GEMINI,
    HELLO,
    MESSAGES,
    RESPONSE,
    RESPONSES,
    START,
    Case,
    Fails,
    Says,
    candidate,
    message_end,
    sse,
    text_block,
)

NATIVES: dict[str, Case] = {
    "a text in the start of its block": Case(
        "relays of Anthropic's API", sse(START, *text_block("lo", begun="Hel"), *message_end()), COUNTED, MESSAGES
    ),
    "zeros in message_delta": Case(
        "ai-gateway#1631: input_tokens 0 at the end",
        sse(START, *text_block("Hello"), *message_end(input_tokens=0, cache_read_input_tokens=0)),
        COUNTED,
        MESSAGES,
    ),
    "zeros in message_start": Case(
        "sglang#20678, Kimi, Qwen: the true count comes last",
        sse(
            {**START, "message": {**START["message"], "usage": {"input_tokens": 0, "output_tokens": 0}}},
            *text_block("Hello"),
            *message_end(input_tokens=3),
        ),
        COUNTED,
        MESSAGES,
    ),
    "[DONE] behind a message": Case(
        "relays that end every stream alike", sse(START, *text_block("Hello"), *message_end(), DONE), COUNTED, MESSAGES
    ),
    "no message_start": Case(
        "relays that begin with the first block", sse(*text_block("Hello"), *message_end()), Says("Hello", tokens=(0, 2)), MESSAGES
    ),
    "pings before everything": Case(
        "Anthropic, Vertex",
        b'event: ping\ndata: {"type": "ping"}\n\n' * 2 + sse(START, *text_block("Hello"), *message_end()),
        COUNTED,
        MESSAGES,
    ),
    "two messages_delta": Case(
        "LiteLLM: an empty message_delta before the last",
        sse(
            START,
            *text_block("Hello"),
            {"type": "message_delta", "delta": {"stop_reason": None}, "usage": {"output_tokens": 1}},
            *message_end(),
        ),
        COUNTED,
        MESSAGES,
    ),
    "a search of the server's": Case(
        "Anthropic web search: blocks that are whole at their start",
        sse(
            START,
            {
                "type": "content_block_start",
                "index": 0,
                "content_block": {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
            },
            {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": '{"query": "x"}'}},
            {"type": "content_block_stop", "index": 0},
            {
                "type": "content_block_start",
                "index": 1,
                "content_block": {
                    "type": "web_search_tool_result",
                    "tool_use_id": "s",
                    "content": [{"type": "web_search_result", "url": "u", "text": "t"}],
                },
            },
            {"type": "content_block_stop", "index": 1},
            *text_block("Hello", index=2),
            *message_end(),
        ),
        COUNTED,
        MESSAGES,
    ),
    "overloaded in the middle": Case(
        "Anthropic: event error",
        sse(START, *text_block("Hel"))
        + b'event: error\ndata: {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}\n\n',
        Fails("Overloaded"),
        MESSAGES,
    ),
    "cut before message_delta": Case(
        "Anthropic: message_stop alone proves nothing",
        sse(START, *text_block("Hello"), {"type": "message_stop"}),
        Fails("stop_reason"),
        MESSAGES,
    ),
    "a message refused": Case(
        "Anthropic: stop_reason refusal",
        sse(START, *text_block("I can't"), *message_end("refusal")),
        Says("I can't", "content_filter", (3, 2)),
        MESSAGES,
    ),
    "STOP in every event": Case(
        "Gemini 1.0: finishReason in each",
        sse(
            candidate({"text": "Hel"}, finish="STOP"),
            candidate({"text": "lo"}, finish="STOP", usageMetadata={"promptTokenCount": 3, "candidatesTokenCount": 2}),
        ),
        COUNTED,
        GEMINI,
    ),
    "usage in an event of its own": Case(
        "Gemini: a last event without candidates",
        sse(candidate({"text": "Hello"}, finish="STOP"), {"usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 2}}),
        COUNTED,
        GEMINI,
    ),
    "usage before any candidate": Case(
        "Gemini: a first event without candidates",
        sse(
            {"usageMetadata": {"promptTokenCount": 3}, "modelVersion": "g"},
            candidate({"text": "Hello"}, finish="STOP", usageMetadata={"promptTokenCount": 3, "candidatesTokenCount": 2}),
        ),
        COUNTED,
        GEMINI,
    ),
    "a signature in a part of its own": Case(
        "Gemini 3: an empty text with thoughtSignature ends the answer",
        sse(candidate({"text": "Hello"}), candidate({"text": "", "thoughtSignature": "s"}, finish="STOP")),
        HELLO,
        GEMINI,
    ),
    "the end in an event without content": Case(
        "Gemini: candidates with only a finishReason",
        sse(candidate({"text": "Hello"}), {"candidates": [{"finishReason": "STOP", "index": 0}]}),
        HELLO,
        GEMINI,
    ),
    "a JSON list, pretty": Case(
        "Gemini without alt=sse",
        json.dumps([candidate({"text": "Hel"}), candidate({"text": "lo"}, finish="STOP")], indent=2).encode(),
        HELLO,
        GEMINI,
    ),
    "an error that ends the list": Case(
        "Gemini without alt=sse",
        json.dumps(
            [candidate({"text": "Hel"}), {"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}}]
        ).encode(),
        Fails("overloaded"),
        GEMINI,
    ),
    "a list that is cut": Case(
        "Gemini without alt=sse: the connection breaks",
        json.dumps([candidate({"text": "Hel"}), candidate({"text": "lo"})]).encode()[:-1],
        Fails("JSON"),
        GEMINI,
    ),
    "a call that is malformed": Case(
        "Gemini: MALFORMED_FUNCTION_CALL and no part",
        sse({"candidates": [{"finishReason": "MALFORMED_FUNCTION_CALL", "index": 0}]}),
        Fails("MALFORMED_FUNCTION_CALL"),
        GEMINI,
    ),
    "a prompt that is blocked": Case(
        "Gemini: promptFeedback alone",
        sse({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {"promptTokenCount": 3}}),
        Says(None, "content_filter", (3, 0)),
        GEMINI,
    ),
    "response.done": Case(
        "OpenRouter's and realtime's name for the last event",
        sse(
            BEGUN,
            {
                "type": "response.output_item.done",
                "output_index": 0,
                "item": {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hello"}]},
            },
            {"type": "response.done", "response": RESPONSE},
            DONE,
        ),
        COUNTED,
        RESPONSES,
    ),
    "calls whose items are not done": Case(
        "relays that leave output_item.done out",
        sse(
            BEGUN,
            {
                "type": "response.output_item.added",
                "output_index": 0,
                "item": {"type": "function_call", "call_id": "a", "name": "f", "arguments": ""},
            },
            {"type": "response.function_call_arguments.delta", "output_index": 0, "delta": "{"},
            {"type": "response.function_call_arguments.delta", "output_index": 0, "delta": "}"},
            {"type": "response.completed", "response": RESPONSE},
        ),
        Says('[{"type":"function_call","call_id":"a","name":"f","arguments":"{}"}]', "tool_calls", (3, 2)),
        RESPONSES,
    ),
    "a response that was cut by its limit": Case(
        "OpenAI Responses: response.incomplete",
        sse(
            BEGUN,
            {
                "type": "response.incomplete",
                "response": {
                    **RESPONSE,
                    "status": "incomplete",
                    "incomplete_details": {"reason": "max_output_tokens"},
                    "output": [{"type": "message", "content": [{"type": "output_text", "text": "Hel"}]}],
                },
            },
        ),
        Says("Hel", "length", (3, 2)),
        RESPONSES,
    ),
    "an error of Responses at its top": Case(
        "OpenAI Responses: type error, no object",
        sse(BEGUN, {"type": "error", "code": "rate_limit_exceeded", "message": "Rate limit reached", "param": None, "sequence_number": 2}),
        Fails("Rate limit reached", "throttle"),
        RESPONSES,
    ),
    "a response that never ends": Case(
        "openai-python: only response.in_progress came",
        sse(
            BEGUN,
            {"type": "response.in_progress", "response": BEGUN["response"]},
            {"type": "response.output_text.delta", "output_index": 0, "delta": "Hel"},
        ),
        Fails("too early"),
        RESPONSES,
    ),
    "a picture in pieces": Case(
        "OpenAI images: partial_image, then completed",
        sse(
            {"type": "image_generation.partial_image", "b64_json": "AA==", "partial_image_index": 0},
            {
                "type": "image_generation.completed",
                "b64_json": "AAEC",
                "created_at": 1,
                "size": "1x1",
                "usage": {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5},
            },
        ),
        Says([{"b64_json": "AAEC"}], None, (3, 2)),
        "/v1/images/generations",
    ),
    "a picture that never came": Case(
        "the same, broken off",
        sse({"type": "image_generation.partial_image", "b64_json": "AA==", "partial_image_index": 0}),
        Fails("too early"),
        "/v1/images/generations",
    ),
    "speakers of a transcription": Case(
        "OpenAI diarized_json: segments, then done",
        sse(
            {"type": "transcript.text.segment", "id": "s", "speaker": "A", "text": "Hello", "start": 0.0, "end": 1.0},
            {
                "type": "transcript.text.done",
                "text": "Hello",
                "usage": {"type": "tokens", "input_tokens": 3, "output_tokens": 2, "total_tokens": 5},
            },
        ),
        Says(
            "Hello",
            None,
            (3, 2),
            body={
                "text": "Hello",
                "usage": {"type": "tokens", "input_tokens": 3, "output_tokens": 2, "total_tokens": 5},
                "segments": [{"type": "transcript.text.segment", "id": "s", "speaker": "A", "text": "Hello", "start": 0.0, "end": 1.0}],
            },
        ),
        "/v1/audio/transcriptions",
    ),
}
