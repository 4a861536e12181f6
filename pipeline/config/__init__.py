"""The config: frozen records (`schema`), the rules on their values, and how YAML becomes them (`load`)."""

from pipeline.config.answers import AnswersConfig, ExpectConfig
from pipeline.config.engine import Collect, EngineConfig, EngineKind, RayConfig
from pipeline.config.lanes import (
    BudgetConfig,
    ConnectionConfig,
    FromEnvironment,
    LaneConfig,
    LimitsConfig,
    PricesConfig,
    ProviderConfig,
    RoutingConfig,
    TlsConfig,
)
from pipeline.config.load import load_config, load_config_text, load_serve
from pipeline.config.schema import (
    CacheConfig,
    Config,
    Durability,
    JournalConfig,
    MetricsConfig,
    Order,
    RequestConfig,
    RetryConfig,
    Shape,
    SinkConfig,
    SourceConfig,
    TimeoutsConfig,
)
from pipeline.config.serving import ServeConfig

__all__ = [
    "AnswersConfig",
    "BudgetConfig",
    "CacheConfig",
    "Collect",
    "Config",
    "ConnectionConfig",
    "Durability",
    "EngineConfig",
    "EngineKind",
    "ExpectConfig",
    "FromEnvironment",
    "JournalConfig",
    "LaneConfig",
    "LimitsConfig",
    "MetricsConfig",
    "Order",
    "PricesConfig",
    "ProviderConfig",
    "RayConfig",
    "RequestConfig",
    "RetryConfig",
    "RoutingConfig",
    "ServeConfig",
    "Shape",
    "SinkConfig",
    "SourceConfig",
    "TimeoutsConfig",
    "TlsConfig",
    "load_config",
    "load_config_text",
    "load_serve",
]
