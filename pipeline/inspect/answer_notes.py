"""What `check` says of the answers that a run would get: whether their tokens will be known, and what they are priced by.

Told of the first request alone: the rows of a file are mostly alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from pipeline.config.answers import Feedback

if TYPE_CHECKING:
    from pipeline.config import Config
    from pipeline.records import Job
    from pipeline.runs.pricing import LanePrices

UNCOUNTED = (
    "the first request streams without `stream_options: {include_usage: true}`: OpenAI and most who imitate it then tell no tokens, "
    "so that cost, budgets and limits on tokens go by estimates"
)
REFUSED = "the first request has `stream_options`, which Mistral refuses; it tells the tokens of a stream without being asked"
ONE_LIST = "the first request's url streams without `alt=sse`: Google then sends one list, of which the first token is seen with the rest"
SAME_AGAIN = "answers.asks is {asks}, but at temperature 0 and without feedback the same answer comes again; set answers.feedback: reason"


def answer_notes(config: Config, first: Job | None, prices: LanePrices | None) -> list[str]:
    """The notes. first: the first request that would be sent. prices: of the config's lanes, None if it asks for none."""
    if first is None:
        return []
    body = _body(first)
    return [*_stream_notes(config, first.url, body), *_ask_notes(config, body), *_price_notes(prices, first)]


def _stream_notes(config: Config, url: str, body: dict[str, Any]) -> list[str]:
    if ":streamGenerateContent" in url:
        return [] if "alt=sse" in url else [ONE_LIST]
    if body.get("stream") is not True or not url.partition("?")[0].endswith("/completions"):
        return []
    options = body.get("stream_options")
    if any(".mistral.ai" in (provider.base_url or "") for provider in config.lanes):
        return [] if options is None else [REFUSED]
    asked = isinstance(options, dict) and options.get("include_usage") is True
    return [] if asked else [UNCOUNTED]


def _ask_notes(config: Config, body: dict[str, Any]) -> list[str]:
    answers = config.answers
    if answers.expect is None or answers.asks == 1 or answers.feedback is not Feedback.NONE:
        return []
    settings = body.get("generationConfig")
    temperature = settings.get("temperature") if isinstance(settings, dict) else body.get("temperature")
    return [SAME_AGAIN.format(asks=answers.asks)] if temperature == 0 else []


def _price_notes(prices: LanePrices | None, first: Job) -> list[str]:
    if prices is None:
        return []
    sources = dict.fromkeys(pricing.source for pricing in prices.by_lane.values() if pricing.source is not None)
    unknown = any(pricing.rates_of(first.body) is None for pricing in prices.by_lane.values())
    told = [f"prices are those of {source}" for source in sources]
    return (
        [*told, "no price is known for the model of the first request, so cost is unknown; write prices.prompt_per_million"]
        if unknown
        else told
    )


def _body(job: Job) -> dict[str, Any]:
    try:
        body = msgspec.json.decode(job.body)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}
