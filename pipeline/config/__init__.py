"""The config: frozen records (`schema`), the rules on their values, and how YAML becomes them (`load`)."""

from pipeline.config.answers import AnswersConfig, ExpectConfig
from pipeline.config.load import load_config, load_config_text
from pipeline.config.schema import (
    CacheConfig,
    Config,
    ConnectionConfig,
    Durability,
    FromEnvironment,
    JournalConfig,
    LimitsConfig,
    Order,
    PricesConfig,
    ProviderConfig,
    RequestConfig,
    RetryConfig,
    Shape,
    SinkConfig,
    SourceConfig,
    TimeoutsConfig,
    TlsConfig,
    Transport,
)

__all__ = [
    "AnswersConfig",
    "CacheConfig",
    "Config",
    "ConnectionConfig",
    "Durability",
    "ExpectConfig",
    "FromEnvironment",
    "JournalConfig",
    "LimitsConfig",
    "Order",
    "PricesConfig",
    "ProviderConfig",
    "RequestConfig",
    "RetryConfig",
    "Shape",
    "SinkConfig",
    "SourceConfig",
    "TimeoutsConfig",
    "TlsConfig",
    "Transport",
    "load_config",
    "load_config_text",
]
