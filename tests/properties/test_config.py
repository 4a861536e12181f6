"""Laws of the config: whatever it is given, it loads it exactly or says what is wrong, and never shows a key."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.config import Config, load_config_text
from pipeline.config.build import all_keys
from pipeline.config.nodes import Node, parse
from pipeline.errors import ConfigError
from tests.strategies import json_objects, json_values

GOOD = """\
source: {path: in.jsonl}
request: {url: /v1/chat/completions, body: {model: m, prompt: "{prompt}"}}
provider: {simulate: {}}
sink: {path: out.jsonl}
"""
KEYS = list(all_keys(Config))


def plain(node: Node) -> object:
    if isinstance(node.value, dict):
        return {name: plain(child) for name, child in node.value.items()}
    return [plain(child) for child in node.value] if isinstance(node.value, list) else node.value


def loaded(*overrides: str, text: str = GOOD) -> Config | ConfigError:
    try:
        return load_config_text(text, "c.yaml", overrides)
    except ConfigError as error:
        return error


@given(json_objects)
def test_json_is_read_as_what_it_is(value: dict[str, Any]) -> None:
    problems: list[Any] = []
    text = json.dumps(value).replace("\x7f", "\\u007f")  # the one character that JSON writes and YAML does not take as it is

    found = plain(parse(text, "c.yaml", problems))

    assert not problems
    assert found == value
    assert repr(found) == repr(value)  # types too: 1 == 1.0 == True


@given(st.text() | st.text("{}[]:,-#&*!|>'\"%@ \n\tab1.~<=?"))
@example("a: !<tag:yaml.org,2002:int> x")
@example("? ? a")
@example("- - -\n- &a [*a]")
@example("%YAML 1.1\n---\nsource: no")
@example("\ufeffsource: {}")
def test_any_text_is_a_config_or_a_list_of_problems(text: str) -> None:
    found = loaded(text=text)

    assert isinstance(found, Config) or found.problems


@given(st.sampled_from(KEYS), json_values)
def test_any_value_of_any_key_is_taken_or_told_under_that_key(key: str, value: Any) -> None:
    found = loaded(f"{key}={json.dumps(value)}")

    if isinstance(found, ConfigError):
        assert all(problem.source in {f"--set {key}", "c.yaml"} for problem in found.problems)
        assert all(problem.message for problem in found.problems)
        assert all(problem.key.partition(".")[0] == key.partition(".")[0] for problem in found.problems)


@given(st.sampled_from([key for key in KEYS if "simulate." not in key]), st.integers(0, 30), st.sampled_from("xz_"))
def test_misspelt_key_never_passes(key: str, place: int, letter: str) -> None:
    path, _, name = key.rpartition(".")
    misspelt = name[:place] + letter + name[place:]

    found = loaded(f"{f'{path}.' if path else ''}{misspelt}=null")

    assert isinstance(found, ConfigError)
    assert any(problem.message.startswith("unknown key") for problem in found.problems)


SECRETS = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-", min_size=16, max_size=60).map("sk-{}".format)


@given(SECRETS, st.sampled_from(["provider.api_key_env", "provider.api_key_header", "provider.headers", "provider.base_url", "api_key"]))
def test_key_in_the_wrong_place_is_never_shown(secret: str, place: str) -> None:
    shape = {"provider.headers": f"{{authorization: Bearer {secret}, x-note: {secret}}}", "provider.base_url": f"https://{secret}@x"}

    found = loaded(f"{place}={shape.get(place, secret)}")

    assert secret not in (repr(found) if isinstance(found, Config) else str(found)) or place == "provider.api_key_header"
