"""The faults by name: what a provider may do to a request, each a thing that was seen in the wild. Names only; no behaviour.

A quirk is odd but right: the client must read the expected answer out of it. Everything else is a failure. Most failures pass
when the request is sent again; `LASTING` says of a request or a key what no other attempt would change.
"""

from __future__ import annotations

from enum import Enum


class Fault(Enum):
    """What falls on a request; the value is the name in a config."""

    # answers with another status
    HTTP_400 = "http_400"
    FORBIDDEN_403 = "forbidden_403"
    HTTP_408 = "http_408"
    HTTP_409 = "http_409"
    HTTP_425 = "http_425"
    HTTP_429 = "http_429"  # in the configured dialect, with the configured wait
    HTTP_500 = "http_500"
    HTTP_502 = "http_502"  # a gateway's HTML page
    HTTP_503 = "http_503"
    HTTP_504 = "http_504"  # a gateway's HTML page
    HTTP_524 = "http_524"  # Cloudflare's HTML page: the server behind it took too long
    HTTP_529 = "http_529"
    PLAIN_500 = "plain_500"  # text/plain, as a crashed worker of a proxy
    RATE_LIMIT_500 = "rate_limit_500"  # a relay's throttle: 500 with body code `rate_limit`
    THROTTLED_400 = "throttled_400"  # Bedrock's `ThrottlingException`
    THROTTLED_403 = "throttled_403"  # 403 with code `rate_limit_exceeded`
    LOADING_503 = "loading_503"  # llama.cpp while it loads its model
    ESTIMATED_503 = "estimated_503"  # Hugging Face while it loads a model: the wait is `estimated_time` in the body
    INSUFFICIENT_QUOTA = "insufficient_quota"  # 429 that no waiting cures
    PAYMENT_402 = "payment_402"
    UNAUTHORIZED_401 = "unauthorized_401"
    STRING_ERROR_401 = "string_error_401"  # vLLM's: `error` is a string
    REDIRECT_307 = "redirect_307"  # elsewhere: no client may carry its key there
    MOVED_301 = "moved_301"  # to the same path with a slash behind it, which is answered
    MOVED_307 = "moved_307"
    MOVED_308 = "moved_308"
    # in the words of the configured vendor
    WRONG_KEY = "wrong_key"
    MODEL_NOT_FOUND = "model_not_found"
    QUOTA_EXHAUSTED = "quota_exhausted"
    SPEND_LIMIT = "spend_limit"
    DAILY_QUOTA = "daily_quota"  # asks for a wait of hours
    # with a header that says whether to try again
    FORBIDDEN_RETRY = "forbidden_retry"  # 500 with x-should-retry: false
    DEMANDED_RETRY = "demanded_retry"  # 400 with x-should-retry: true
    # 200, yet no result
    ERROR_200 = "error_200"
    BROKEN_JSON = "broken_json"
    BAD_UTF8 = "bad_utf8"
    EMPTY_200 = "empty_200"
    HTML = "html"
    BAD_GZIP = "bad_gzip"
    EMPTY_OBJECT = "empty_object"  # {}
    CHOICES_NULL = "choices_null"  # null where the answer should stand, in any shape
    CHOICES_EMPTY = "choices_empty"  # an empty list there
    CHOICE_ERROR = "choice_error"  # OpenRouter's: an error inside a choice
    STATUS_FAILED = "status_failed"  # of the Responses API
    BASE_RESP = "base_resp"  # MiniMax's: the cause in `base_resp`, no choices
    OBJECT_ERROR = "object_error"  # FastChat's and vLLM's: {"object": "error"}
    # 200 with an answer that may not be wanted
    TRUNCATED = "truncated"  # half of the content; max_tokens ended it
    CONTENT_FILTER = "content_filter"
    DECLINED = "declined"  # the model refuses
    EMPTY_ANSWER = "empty_answer"  # no content, though tokens were used
    # in a stream; they do not fall on requests that ask for none
    STREAM_CUT = "stream_cut"  # the body ends in the middle of the answer, as if it were whole
    STREAM_STALL = "stream_stall"  # silence from the middle on
    STREAM_PING_ONLY = "stream_ping_only"  # pings or comments for ever, and no content
    STREAM_ERROR = "stream_error"  # an error event in the middle
    STREAM_DONE_ONLY = "stream_done_only"  # the end without an answer before it
    # on the wire
    CUT_BODY = "cut_body"  # fewer bytes than content-length says, then a close
    CUT_CHUNKED = "cut_chunked"  # no last chunk
    RESET_BEFORE = "reset_before"
    RESET_IN_BODY = "reset_in_body"
    CLOSE_BEFORE = "close_before"
    STALL = "stall"  # never answers
    STALL_IN_BODY = "stall_in_body"
    DRIP = "drip"  # a byte of body now and then, for ever
    DRIP_HEADERS = "drip_headers"
    ENDLESS = "endless"  # a body without end, as fast as it is read
    HUGE_HEADER = "huge_header"  # 1 MiB in one header
    GARBAGE = "garbage"  # not HTTP
    TWO_LENGTHS = "two_lengths"  # contradicting content-lengths, as in response smuggling
    # quirks
    CHUNKED = "chunked"  # with extensions and trailers
    INFORMATIONAL = "informational"  # 102 and 103 before the answer
    CLOSE_UNANNOUNCED = "close_unannounced"
    CLOSE_ANNOUNCED = "close_announced"
    CLOSE_DELIMITED = "close_delimited"  # HTTP/1.1 without a length
    HTTP10 = "http10"
    GZIP = "gzip"
    TRICKLE = "trickle"  # byte by byte
    PRETTY = "pretty"  # JSON over many lines
    EXTRA_BYTES = "extra_bytes"  # after the end of the answer
    DOUBLED = "doubled"  # the whole answer once more, a moment later: the next request on the connection may get it
    STREAM_NO_DONE = "stream_no_done"  # a whole answer without the event that says that the stream is over
    SSE_UNASKED = "sse_unasked"  # a stream though none was asked for
    COMMENTS_BEFORE = "comments_before"  # comment lines before the JSON
    BLANKS_BEFORE = "blanks_before"  # two kilobytes of blank lines before the JSON
    DONE_BEHIND = "done_behind"  # `data: [DONE]` after the JSON
    EMPTY_ERROR = "empty_error"  # an error object without a message beside the answer
    FLOAT_USAGE = "float_usage"  # usage in floats


QUIRKS = frozenset(list(Fault)[list(Fault).index(Fault.CHUNKED) :])

LASTING = frozenset(
    {
        Fault.HTTP_400,
        Fault.FORBIDDEN_403,
        Fault.INSUFFICIENT_QUOTA,
        Fault.PAYMENT_402,
        Fault.REDIRECT_307,
        Fault.MODEL_NOT_FOUND,
        Fault.QUOTA_EXHAUSTED,
        Fault.SPEND_LIMIT,
        Fault.DAILY_QUOTA,
        Fault.FORBIDDEN_RETRY,
    }
)
STREAMED = frozenset(
    {
        Fault.STREAM_CUT,
        Fault.STREAM_STALL,
        Fault.STREAM_PING_ONLY,
        Fault.STREAM_ERROR,
        Fault.STREAM_DONE_ONLY,
        Fault.STREAM_NO_DONE,
    }
)
MOVED = {Fault.MOVED_301: 301, Fault.MOVED_307: 307, Fault.MOVED_308: 308}
SPENT = (Fault.QUOTA_EXHAUSTED, Fault.INSUFFICIENT_QUOTA, Fault.SPEND_LIMIT, Fault.DAILY_QUOTA, Fault.PAYMENT_402)
