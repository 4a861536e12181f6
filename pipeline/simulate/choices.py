"""The choices that a config of the simulated provider offers, by name. Names only; no behaviour."""

from __future__ import annotations

from enum import Enum


class Distribution(Enum):
    """How the latency is spread around its median."""

    CONSTANT = "constant"
    UNIFORM = "uniform"  # median times 1 ± spread
    LOGNORMAL = "lognormal"  # spread is sigma
    PARETO = "pareto"  # spread is 1 / alpha: 0.5 has a heavy tail, 1 has no mean


class LimitKind(Enum):
    """How a limit counts."""

    FIXED_WINDOW = "fixed_window"
    SLIDING_WINDOW = "sliding_window"
    TOKEN_BUCKET = "token_bucket"  # noqa: S105  the algorithm


class Dialect(Enum):
    """Whose headers and error bodies describe the limits."""

    OPENAI = "openai"
    AZURE = "azure"  # reset in whole seconds; -1 for a limit that is not known
    ANTHROPIC = "anthropic"
    GEMINI = "gemini"  # no headers; Google's error bodies
    RELAY = "relay"  # OpenAI's names behind `llm_provider-`, as a LiteLLM proxy passes them on
    NONE = "none"


class Vendor(Enum):
    """In whose words a key, a model or a quota is refused, and what stands in a stream beside the answer."""

    OPENAI = "openai"
    AZURE = "azure"
    ANTHROPIC = "anthropic"
    GEMINI = "gemini"
    GEMINI_LIST = "gemini_list"  # the same, in a list of one element
    VLLM = "vllm"
    MOONSHOT = "moonshot"
    ZHIPU = "zhipu"
    DASHSCOPE = "dashscope"
    DEEPSEEK = "deepseek"
    XAI = "xai"
    NEW_API = "new_api"  # a widespread relay
    OPENROUTER = "openrouter"
    GROQ = "groq"


class RetryAfter(Enum):
    """Where a refusal says how long to wait."""

    HEADER = "header"  # retry-after, seconds with a fraction
    SECONDS = "seconds"  # retry-after, whole seconds, rounded up
    MS = "ms"  # retry-after-ms, and retry-after in whole seconds
    DATE = "date"  # retry-after, HTTP date
    MESSAGE = "message"  # only in the text of the error
    RETRY_INFO = "retry_info"  # only in the error's details, as Gemini writes it: `retryDelay: "1.5s"`
    RELAY = "relay"  # llm_provider-retry-after, as behind a LiteLLM proxy
    NONE = "none"
