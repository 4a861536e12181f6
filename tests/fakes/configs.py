"""A config that is accepted, and the problems of one that is not."""

from __future__ import annotations

import pytest

from pipeline.config import load_config_text
from pipeline.errors import ConfigError

GOOD = """\
source: {path: in.jsonl}
request:
  url: /v1/chat/completions
  body: {model: m, messages: [{role: user, content: "{prompt}"}], temperature: 0.5, stop: null, stream: false}
provider:
  base_url: https://api.example.com/v1
  api_key_env: EXAMPLE_API_KEY
sink: {path: out.jsonl}
"""
NO_PATH = "url must be a path that starts with '/', such as /v1/chat/completions"
NO_KEY = "a key is never in a config; name the environment variable that holds it in provider.api_key_env"


def problems_of(text: str, *overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_config_text(text, "c.yaml", overrides)
    return str(caught.value).splitlines()


def problem_with(*overrides: str) -> str:
    (problem,) = problems_of(GOOD, *overrides)
    return problem
