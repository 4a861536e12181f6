"""What tokens cost. Pure: rates in, whole numbers of PICO out, so that a million small costs add up exactly.

A model's rates may depend on the size of a request (Anthropic, Google and OpenAI charge all tokens of a long one more), so cost
is counted answer by answer, never from sums. A model of which no price is known costs None, and never 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from pipeline.core.pacing.budget import PICO
from pipeline.patterns import later

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.records import Usage

MILLION = 1_000_000
HOUR = 2  # Anthropic, "Prompt caching": 1-hour cache writes cost twice the base rate of input tokens, 5-minute ones 1.25 times
# `-2024-08-06`, `-20241022`, `-0125`, `-latest`, `-preview-05-20`, `@20241022`: what providers put behind a model's name
SUFFIX = later(r"(?:[-@](?:20\d\d-?\d\d-?\d\d|\d{4}|latest|preview(?:-\d\d-\d\d(?:\d{2})?)?))+$")


class Tier(Struct, frozen=True, gc=False):
    """Rates of requests with more than `above` prompt tokens, in PICO a token."""

    above: int
    prompt: int
    output: int
    cached: int
    cache_write: int

    @classmethod
    def per_million(
        cls, prompt: float, output: float, cached: float | None = None, cache_write: float | None = None, above: int = 0
    ) -> Tier:
        """Rates as price lists have them. cached, cache_write: None for the rate of other prompt tokens."""
        rates = (prompt, output, prompt if cached is None else cached, prompt if cache_write is None else cache_write)
        return cls(above, *(round(rate * (PICO // MILLION)) for rate in rates))


class Rates(Struct, frozen=True, gc=False):
    """What one model costs. tiers: at least one, by rising `above`, the first from 0."""

    tiers: tuple[Tier, ...]

    def cost(self, usage: Usage, answers: int = 1) -> int:
        """What an answer costs, in PICO; or several to one row, whose requests are about alike in size."""
        tier = self._tier(usage.prompt_tokens // max(1, answers))
        plain = max(0, usage.prompt_tokens - usage.cached_tokens - usage.cache_write_tokens)
        prompt = plain * tier.prompt + usage.cached_tokens * tier.cached + usage.cache_write_tokens * tier.cache_write
        if tier.cache_write > tier.prompt:  # who charges for writing (Anthropic) charges twice the prompt's rate for an hour
            prompt += usage.cache_write_hour_tokens * (HOUR * tier.prompt - tier.cache_write)
        return prompt + usage.output_tokens * tier.output

    def most(self, prompt_tokens: int, output_tokens: int) -> int:
        """The most that an answer of this size may cost, in PICO: nothing comes from a cache, or all of it is written to one."""
        tier = self._tier(prompt_tokens)
        return prompt_tokens * max(tier.prompt, tier.cache_write) + output_tokens * tier.output

    def _tier(self, prompt_tokens: int) -> Tier:
        return next((tier for tier in reversed(self.tiers) if prompt_tokens > tier.above), self.tiers[0])


class PriceTable(Struct, frozen=True):
    """Rates by model. date, source: of the prices, for people. A name that ends in `*` stands for all that begin so."""

    date: str
    source: str
    models: dict[str, list[list[float]]]

    def rates(self, model: str) -> Rates | None:
        """The rates of a model; None if it is not in the table.

        The name may have its maker before it (`openai/gpt-4o`), and a date or `-latest` behind it. A variant (`deepseek-chat:free`,
        `llama3:8b`) has a price of its own, or none.
        """
        for name in _names(model):
            tiers = self.models.get(name) or (None if ":" in name else self._by_beginning(name))
            if tiers is not None:
                return Rates(
                    tuple(Tier.per_million(prompt, output, cached, written, int(above)) for above, prompt, output, cached, written in tiers)
                )
        return None

    def _by_beginning(self, name: str) -> Sequence[Sequence[float]] | None:
        fitting = [known for known in self.models if known.endswith("*") and name.startswith(known[:-1])]
        return self.models[max(fitting, key=len)] if fitting else None


def _names(model: str) -> list[str]:
    """The names under which a model may stand, as it is first."""
    name = model.lower()
    bare = name.rpartition("/")[2]
    return [name, bare, SUFFIX.sub("", bare)]
