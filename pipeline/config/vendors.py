"""What a starter config says of each provider: address, key, a model and what people should know. Plain values.

Sources: the providers' own pages on their OpenAI-compatible endpoints, and docs/how-to/providers.md.
"""

from __future__ import annotations

from msgspec import Struct


class VendorFacts(Struct, frozen=True, kw_only=True):
    """The facts of one provider. key_env: None needs no key. limits: lines of the `limits` section. note: shown above the config."""

    title: str
    base_url: str
    key_env: str | None
    model: str
    limits: tuple[str, ...]
    note: str
    key_header: str | None = None


CLOUD = ("max_in_flight: 50",)

VENDORS = {
    "openai": VendorFacts(
        title="OpenAI",
        base_url="https://api.openai.com/v1",
        key_env="OPENAI_API_KEY",
        model="gpt-4o-mini",
        limits=CLOUD,
        note="Limits differ by account and model: https://platform.openai.com/settings/organization/limits",
    ),
    "anthropic": VendorFacts(
        title="Anthropic",
        base_url="https://api.anthropic.com/v1",
        key_env="ANTHROPIC_API_KEY",
        model="claude-sonnet-4-5",
        limits=("max_in_flight: 20",),
        note="Its OpenAI-compatible endpoint. Limits differ by tier: https://console.anthropic.com/settings/limits",
    ),
    "azure": VendorFacts(
        title="Azure OpenAI",
        base_url="https://my-resource.openai.azure.com/openai/v1",
        key_env="AZURE_OPENAI_API_KEY",
        model="my-deployment",
        limits=CLOUD,
        note="Put the name of your resource into base_url; the model is the name of your deployment.",
        key_header="api-key",
    ),
    "gemini": VendorFacts(
        title="Google Gemini",
        base_url="https://generativelanguage.googleapis.com/v1beta/openai",
        key_env="GEMINI_API_KEY",
        model="gemini-2.5-flash",
        limits=CLOUD,
        note="Its OpenAI-compatible endpoint. Free keys allow only a few requests a minute; the pace is found by itself.",
    ),
    "mistral": VendorFacts(
        title="Mistral",
        base_url="https://api.mistral.ai/v1",
        key_env="MISTRAL_API_KEY",
        model="mistral-small-latest",
        limits=("max_in_flight: 20",),
        note="Limits are kept per second and per minute of tokens: https://admin.mistral.ai/plateforme/limits",
    ),
    "groq": VendorFacts(
        title="Groq",
        base_url="https://api.groq.com/openai/v1",
        key_env="GROQ_API_KEY",
        model="llama-3.1-8b-instant",
        limits=("max_in_flight: 20",),
        note="Its headers tell the limits of each model, and headrace follows them.",
    ),
    "deepseek": VendorFacts(
        title="DeepSeek",
        base_url="https://api.deepseek.com/v1",
        key_env="DEEPSEEK_API_KEY",
        model="deepseek-chat",
        limits=CLOUD,
        note="There is no fixed limit; under load the server answers more slowly.",
    ),
    "openrouter": VendorFacts(
        title="OpenRouter",
        base_url="https://openrouter.ai/api/v1",
        key_env="OPENROUTER_API_KEY",
        model="openai/gpt-4o-mini",
        limits=CLOUD,
        note="A model's name has its maker in front.",
    ),
    "holysheep": VendorFacts(
        title="HolySheep",
        base_url="https://api.holysheep.ai/v1",
        key_env="HOLYSHEEP_API_KEY",
        model="gpt-4o",
        limits=("requests_per_second: 100", "max_in_flight: 50"),
        note="An OpenAI-compatible relay: https://www.holysheep.ai",
    ),
    "vllm": VendorFacts(
        title="vLLM",
        base_url="http://127.0.0.1:8000/v1",
        key_env=None,
        model="Qwen/Qwen2.5-7B-Instruct",
        limits=("max_in_flight: 256              # --max-num-seqs of the server; more would only wait there",),
        note="A server of your own: vllm serve MODEL --port 8000",
    ),
    "ollama": VendorFacts(
        title="Ollama",
        base_url="http://127.0.0.1:11434/v1",
        key_env=None,
        model="llama3.2",
        limits=("max_in_flight: 4                # OLLAMA_NUM_PARALLEL; more waits in Ollama's queue",),
        note="On this machine: ollama pull MODEL",
    ),
    "litellm": VendorFacts(
        title="LiteLLM proxy",
        base_url="http://127.0.0.1:4000/v1",
        key_env="LITELLM_API_KEY",
        model="gpt-4o",
        limits=CLOUD,
        note="The key is a virtual key of the proxy, and the model a model_name of its model_list.",
    ),
    "simulate": VendorFacts(
        title="the embedded provider",
        base_url="",
        key_env=None,
        model="gpt-4o",
        limits=CLOUD,
        note="Nothing leaves this machine: the answers are made up. For trying a config out.",
    ),
}
